package status

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/condition"
)

// TestReleasePin never shows a pinned HelmRelease as better than it is.
func TestReleasePin(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	key := api.Key{Cluster: "a", Kind: "HelmRelease", Namespace: "apps", Name: "web"}
	const by = " since 2026-01-02T12:00:00Z by alice"
	for name, c := range map[string]struct {
		pin, reported uint32
		hub           string // the hub's own readiness
		ready, reason string // the spoke's
		want          string
		condition     string // Pinned
	}{
		"none":            {0, 0, "True", "True", "ReconciliationSucceeded", "True ReconciliationSucceeded: said", ""},
		"asked":           {3, 0, "True", "True", "ReconciliationSucceeded", "Unknown Progressing: The release is to go back to revision 3. said. Pinned to revision 3" + by + ", main waits;", "Unknown"},
		"other":           {3, 2, "True", "Unknown", "Pinned", "Unknown Progressing: The release is to go back to revision 3. said", "Unknown"},
		"there":           {3, 3, "True", "Unknown", "Pinned", "Unknown Pinned: said. Pinned to revision 3" + by + ", main waits; to go on with what is in Git: nave release helmrelease web -n apps --cluster a", "True"},
		"as_in_git":       {3, 3, "True", "True", "ReconciliationSucceeded", "True ReconciliationSucceeded: said. Pinned to revision 3" + by + "; to go on", "True"},
		"fails":           {3, 0, "True", "False", "RollbackFailed", "False RollbackFailed: said. Pinned to revision 3", "Unknown"},
		"unbuilt":         {3, 3, "False", "Unknown", "Pinned", "False BuildFailed: hub", "True"},
		"ended":           {0, 3, "True", "Unknown", "Pinned", "Unknown Progressing: The pin has ended; the release is to go on with what is in Git. said", ""},
		"ended_as_in_git": {0, 3, "True", "True", "ReconciliationSucceeded", "Unknown Progressing: The pin has ended", ""},
		"ended_and_fails": {0, 3, "True", "False", "UpgradeFailed", "False UpgradeFailed: said", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := Facts{Resource: store.Resource{Key: key, Object: api.StoredObject(key, []byte(`{}`))},
				Entry:     &store.Entry{Content: store.Content{Revision: "main"}},
				Condition: &store.Condition{Ready: c.hub, Reason: "BuildSucceeded", Revision: "main"},
				Spoke:     &store.Spoke{RegisteredAt: noon, Connected: true},
				Report: &spokev1.ApplicationReport{Ready: c.ready, Reason: c.reason, Message: "said", Revision: "main",
					Digest: make([]byte, 32), Since: timestamppb.New(noon),
					Release: &spokev1.ReleaseReport{PinnedRevision: c.reported}}}
			if c.hub == condition.False {
				f.Condition.Reason, f.Condition.Message = condition.BuildFailed, "hub"
			}
			if c.pin != 0 {
				f.Resource.Pin = store.ReleasePin{Revision: c.pin, At: noon, By: "alice"}
			}
			v := f.verdict()
			if got := v.ready + " " + v.reason + ": " + v.message; !strings.HasPrefix(got, c.want) {
				t.Errorf("%s\nwant %s", got, c.want)
			}
			set, status := &conditions{}, fields{}
			f.details(set, status)
			got := ""
			for _, one := range set.list {
				if one.Type == condition.Pinned {
					got = string(one.Status)
				}
			}
			if _, told := status["pinned"]; got != c.condition || told != (c.pin != 0) {
				t.Errorf("condition Pinned %q, want %q; status %v", got, c.condition, status["pinned"])
			}
		})
	}
}
