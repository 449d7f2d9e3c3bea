package status

import (
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
)

// TestVerdict_pinned reads the verdicts about an application of a cluster that is pinned while Git moves on.
func TestVerdict_pinned(t *testing.T) {
	const waits = ". Revision main@sha1:c waits: the cluster is pinned to bundle 3; to go on: nave release east"
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
		{"never_released", "Unknown Pinned", "Revision main@sha1:c is rendered and waits. The cluster is pinned to bundle " +
			"3, which is without it; to go on: nave release east", false, func(f *Facts) { f.Report = nil }},
		{"never_released_offline", "Unknown Offline", "The spoke of cluster east has been offline since " +
			"2026-01-02T03:01:00Z; waiting for it", false, func(f *Facts) { f.Report, f.Spoke.Connected = nil, false }},
		{"build_fails", "False BuildFailed", "no. The cluster keeps main@sha1:b", true,
			func(f *Facts) {
				f.Condition.Ready, f.Condition.Reason, f.Condition.Message = "False", "BuildFailed", "no"
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := well(func(f *Facts) {
				f.Condition.Revision, f.Pin = "main@sha1:c", &store.Pin{PinnedAt: at(6)}
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

// TestExplain_pinned explains a pinned cluster with an application that waits for the end of the pin, and another that
// includes it in its readiness: nothing fails.
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
	if len(list) != 3 {
		t.Fatalf("got\n%s", lines(list))
	}
	for _, e := range list {
		if e.Reason != condition.Pinned || !strings.HasSuffix(e.Advice, "nave release east") {
			t.Errorf("%s %s %q: %s", e.Object.Name, e.Reason, e.Message, e.Advice)
		}
	}
}
