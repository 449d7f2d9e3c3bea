package status

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
)

// TestVerdict_pinned reads the verdicts about an application of a cluster that is pinned while Git moves on.
func TestVerdict_pinned(t *testing.T) {
	const pinned = "pinned to bundle 3 since 2026-01-02T03:06:00Z by eve"
	const waits = ". Revision main@sha1:c waits: the cluster is " + pinned + "; to go on: nave release east"
	name := well(nil).Resource.Key.Application()
	old := store.Content{Name: name, Digest: digest, Revision: "main@sha1:b"}
	for _, tt := range []struct {
		name, ready, message string
		has                  bool // the pin has the application
		change               func(*Facts)
	}{
		{"git_moved_on", "True ReconciliationSucceeded", "Applied revision: main@sha1:b" + waits, true, nil},
		{"git_as_pinned", "True ReconciliationSucceeded", "Applied revision: main@sha1:b", true,
			func(f *Facts) { f.Condition.Revision = "main@sha1:b" }},
		{"fails_in_cluster", "False HealthCheckFailed", "sick" + waits, true,
			func(f *Facts) {
				f.Report.Ready, f.Report.Reason, f.Report.Message = "False", "HealthCheckFailed", "sick"
			}},
		{"going_back", "Unknown Progressing", "The spoke is applying revision main@sha1:b", true,
			func(f *Facts) { f.Report.Digest, f.Report.Revision = []byte("new"), "main@sha1:c" }},
		{"released_after_pinned_release", "True ReconciliationSucceeded", "Applied revision: main@sha1:b" + waits, false, nil},
		{"never_released", "Unknown Pinned", "Revision main@sha1:c is rendered and waits. The cluster is " + pinned +
			", which is without it; to go on: nave release east", false, func(f *Facts) { f.Report = nil }},
		{"never_released_offline", "Unknown Offline", "The spoke of cluster east has been offline since " +
			"2026-01-02T03:01:00Z; waiting for it", false, func(f *Facts) { f.Report, f.Spoke.Connected = nil, false }},
		{"build_fails", "False BuildFailed", "no. The cluster keeps main@sha1:b", true,
			func(f *Facts) {
				f.Condition.Ready, f.Condition.Reason, f.Condition.Message = "False", "BuildFailed", "no"
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := well(func(f *Facts) {
				f.Condition.Revision, f.Pin = "main@sha1:c", &store.Pin{PinnedAt: at(6), By: "spiffe://nave/operator/eve"}
				f.Entry = &store.Entry{Content: store.Content{Name: name, Digest: digest, Revision: "main@sha1:c"}}
				f.Pin.Bundle = bundle.ID{Sequence: 3}
				if tt.has {
					f.Entry.Content, f.Pin.Applications = old, []store.Content{old}
				}
				if tt.change != nil {
					tt.change(f)
				}
			})
			if v := f.verdict(); v.ready+" "+v.reason != tt.ready || v.message != tt.message {
				t.Errorf("got %s %s %q\nwant %s %q", v.ready, v.reason, v.message, tt.ready, tt.message)
			}
		})
	}
}

// TestCluster_pinned reads the verdict and the condition of a pinned cluster that fails, and the verdict of its Fleet.
func TestCluster_pinned(t *testing.T) {
	const text = "Pinned to the applications of bundle 3 since 2026-01-02T03:06:00Z by eve: changes in Git wait"
	cluster := member("east", application("sick", "", func(f *Facts) {
		f.Report.Ready, f.Report.Reason, f.Report.Message = "False", "HealthCheckFailed", "sick"
	}))
	cluster.Pin = &store.Pin{PinnedAt: at(6), By: "spiffe://nave/operator/eve"}
	cluster.Pin.Bundle = bundle.ID{Sequence: 3}
	if v := cluster.verdict(); v.ready != "False" || !strings.HasSuffix(v.message, "sick. "+text) {
		t.Errorf("%s %q", v.ready, v.message)
	}
	folded, err := Fold(cluster)
	if err != nil {
		t.Fatal(err)
	}
	want := `"type":"Pinned","status":"True","lastTransitionTime":"2026-01-02T03:06:00Z","reason":"Pinned","message":"` +
		text + `"`
	if !strings.Contains(string(folded), want) {
		t.Errorf("%s lacks %s", folded, want)
	}
	list := Explain(newWorld(cluster, cluster.Covered[0]), api.ClusterKey("east"))
	if got := lines(list); strings.Count(got, text) != 1 {
		t.Errorf("explained:\n%s", got)
	}
	fleet := Facts{Resource: store.Resource{Key: api.FleetKey("prod")}, Members: []Facts{cluster, member("west")}}
	if v := fleet.withPin(verdict{message: "1 of 2 clusters are ready"}); v.message !=
		"1 of 2 clusters are ready; pinned: east" {
		t.Errorf("the Fleet: %q", v.message)
	}
}

// TestExplain_pinned explains a pinned cluster with an application that waits for the end of the pin, and another that
// includes it in its readiness, which the Cluster tells of: nothing fails.
func TestExplain_pinned(t *testing.T) {
	pin := func(f *Facts) { f.Pin = &store.Pin{PinnedAt: at(6), By: "admin"} }
	fresh := application("fresh", "", func(f *Facts) { pin(f); f.Report = nil })
	parent := application("parent", `,"wait":true`, func(f *Facts) {
		pin(f)
		f.Awaited = &peer{fresh.Resource.Key, fresh.verdict()}
	})
	cluster := member("east", fresh, parent)
	pin(&cluster)
	cluster.Bundle = &store.SignedBundle{}
	list := Explain(newWorld(cluster, fresh, parent), api.Key{})
	if len(list) != 1 || len(list[0].Affects) != 2 {
		t.Fatalf("got\n%s", lines(list))
	}
	list = append(list, Explain(newWorld(cluster, fresh, parent), fresh.Resource.Key)...)
	list = append(list, Explain(newWorld(cluster, fresh, parent), parent.Resource.Key)...)
	for _, e := range list {
		if e.Reason != condition.Pinned || !strings.HasSuffix(e.Advice, "nave release east") {
			t.Errorf("%s %s %q: %s", e.Object.Name, e.Reason, e.Message, e.Advice)
		}
	}
}

// TestPinProgress counts what a pin has by the reports of the spoke: neither Git nor a failure from before ends a wait.
func TestPinProgress(t *testing.T) {
	name := well(nil).Resource.Key.Application()
	content := store.Content{Name: name, Digest: digest, Revision: "main@sha1:b"}
	report := func(f *Facts, reason string, minute int) {
		f.Report.Ready, f.Report.Reason, f.Report.Message = "False", reason, "sick"
		f.Report.Since = timestamppb.New(at(minute))
	}
	for _, tt := range []struct {
		name   string
		want   pinProgress
		change func(app, cluster *Facts)
	}{
		{"ready", pinProgress{Total: 1, Ready: 1}, nil},
		{"build_of_git_fails", pinProgress{Total: 1, Ready: 1}, func(app, _ *Facts) {
			app.Condition.Ready, app.Condition.Reason = "False", "BuildFailed"
		}},
		{"on_its_way", pinProgress{Total: 1, Waits: "Kustomization flux-system/apps: The spoke is applying revision main@sha1:b"}, func(app, _ *Facts) { app.Report.Revision = "main@sha1:c" }},
		{"sick_before", pinProgress{Total: 1, Waits: "Kustomization flux-system/apps: sick"}, func(app, _ *Facts) { report(app, "HealthCheckFailed", 5) }},
		{"sick_since", pinProgress{Total: 1, Failed: "Kustomization flux-system/apps: sick"}, func(app, _ *Facts) { report(app, "HealthCheckFailed", 7) }},
		{"apply_fails", pinProgress{Total: 1, Failed: "Kustomization flux-system/apps: sick"}, func(app, _ *Facts) { report(app, "ReconciliationFailed", 5) }},
		{"dependency", pinProgress{Total: 1, Waits: "Kustomization flux-system/apps: sick"}, func(app, _ *Facts) { report(app, "DependencyNotReady", 7) }},
		{"suspended", pinProgress{Total: 1, Ready: 1}, func(app, _ *Facts) {
			app.Resource.Suspended = true
			report(app, "ReconciliationFailed", 7)
		}},
		{"not_planned_yet", pinProgress{Total: 1, Ready: 1}, func(app, _ *Facts) { app.Entry = nil }},
		{"not_of_the_pin", pinProgress{}, func(app, _ *Facts) { app.Pin.Applications = nil }},
		{"rejected", pinProgress{Total: 1, Ready: 1, Failed: "No"}, func(_, cluster *Facts) { cluster.Spoke.Rejected = "no" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pin := &store.Pin{PinnedAt: at(6)}
			pin.Applications = []store.Content{content}
			app := well(func(f *Facts) { f.Pin = pin })
			cluster := member("east", app)
			cluster.Pin = pin
			if tt.change != nil {
				tt.change(&cluster.Covered[0], &cluster)
			}
			if got := cluster.pinProgress(); got != tt.want {
				t.Errorf("got %+v\nwant %+v", got, tt.want)
			}
		})
	}
}
