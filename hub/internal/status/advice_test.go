package status

import (
	"maps"
	"regexp"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/condition"
)

// waits matches an advice to do nothing.
var waits = regexp.MustCompile("(?i)no action is needed|should (become|pass)")

// hopeless are the states of an application that does not become ready by itself.
var hopeless = map[string]func(*Facts){
	"failed":         func(f *Facts) { f.Report.Ready = condition.False },
	"failed_object":  func(f *Facts) { f.Report.Failed = 1 },
	"failed_install": func(f *Facts) { f.Report.Release = &spokev1.ReleaseReport{InstallFailures: 1} },
	"failed_upgrade": func(f *Facts) { f.Report.Release = &spokev1.ReleaseReport{UpgradeFailures: 1} },
	"overdue":        func(f *Facts) { f.Report.Since = timestamppb.New(at(3).Add(-time.Hour)) },
	"failed_peer":    func(f *Facts) { f.Report.Message = "waiting for health: Kustomization flux-system/failed is not ready" },
	"timed_out_peer": func(f *Facts) {
		f.Report.Ready, f.Report.Message = condition.False, "not healthy after 5m0s: Kustomization flux-system/x is not ready"
	},
	"awaited_failure": func(f *Facts) { f.Awaited = &peer{appsKey, failing("BuildFailed", "no such file", at(1))} },
}

// TestAdvice_never_waits advises nobody to wait for an object that has failed, that waits for one that has failed, or
// whose time is over, whatever the reason.
func TestAdvice_never_waits(t *testing.T) {
	reasons := append(slices.Sorted(maps.Keys(advices)), "an unknown one")
	for _, reason := range reasons {
		for state, spoil := range hopeless {
			for _, applied := range []bool{true, false} {
				app := application("app", "", func(f *Facts) {
					f.Report.Ready, f.Report.Reason, f.Report.Message = condition.Unknown, reason, "waiting for health: x"
					if applied {
						f.Report.AppliedDigest = f.Report.Digest
					}
					if state == "awaited_failure" {
						f.Report.Ready = condition.True
					}
					spoil(f)
				})
				w := newWorld(app, application("failed", "", fails))
				w.now = at(4)
				for _, e := range Explain(w, app.Resource.Key) {
					if waits.MatchString(e.Advice) {
						t.Errorf("%s, %s, applied %t: %s", reason, state, applied, e.Advice)
					}
				}
			}
		}
	}
}

// TestAdvice_waits advises to wait for what has only begun, and not if another object has waited for it in vain.
func TestAdvice_waits(t *testing.T) {
	starts := application("k0", "", reported(condition.Unknown, condition.Progressing, "waiting for health: Deployment x"))
	late := application("k1", "", reported(condition.False, condition.HealthCheckFailed,
		"not healthy after 5m0s: Kustomization flux-system/k0 is not ready"))
	for name, c := range map[string]struct {
		others []Facts
		want   string
	}{
		"begun":   {nil, awaitAdvice},
		"in_vain": {[]Facts{late}, notWaitingAdvice},
	} {
		t.Run(name, func(t *testing.T) {
			list := Explain(newWorld(append(c.others, starts)...), api.Key{})
			if len(list) == 0 || list[0].Object.Name != "k0" || list[0].Advice != c.want ||
				list[0].InVain != (len(c.others) > 0) {
				t.Errorf("got %v, want %s", list, c.want)
			}
		})
	}
}
