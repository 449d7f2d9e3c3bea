package release

import (
	"reflect"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

func name(s string) bundle.ApplicationName {
	return bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: s}
}

// entry is an application of a Fleet with some content.
func entry(app, fleet, content string, control store.Control) store.Entry {
	return store.Entry{
		Content: store.Content{Name: name(app), Fleet: fleet, Digest: manifest.DigestOf([]byte(content)), Revision: content},
		Control: control,
	}
}

// TestNext releases to clusters what was planned for them, all of it at once.
func TestNext(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	plan := store.Plan{
		Applications: []store.Entry{
			entry("a", "all", "2", store.Control{Suspended: true}), entry("b", "other", "1", store.Control{}),
			entry("orphan", "", "1", store.Control{}),
		},
		Pending: []bundle.ApplicationName{name("pending")}, Incomplete: true,
		Removals:  []bundle.Removal{{Name: name("gone"), Policy: bundle.Delete}},
		Undecided: []bundle.Removal{{Name: name("undecided")}}, ChangedAt: now,
	}
	last := store.Release{Applications: []store.Entry{
		entry("a", "all", "1", store.Control{}), entry("gone", "all", "1", store.Control{}),
	}}
	got, err := Next([]Cluster{
		{Name: "west", Plan: plan}, {Name: "east", Plan: plan, Last: last}, {Name: "empty", Last: last},
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	whole := store.Release{
		Applications: plan.Applications, Pending: plan.Pending, Incomplete: true, Removals: plan.Removals, ChangedAt: now,
	}
	if want := []store.Release{whole, whole, {}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestCompose holds the Fleet "held" and lets the others through.
func TestCompose(t *testing.T) {
	free, suspended := store.Control{}, store.Control{Suspended: true, RequestedAt: "now"}
	for title, tt := range map[string]struct {
		plan store.Plan
		last store.Release
		want store.Release
	}{
		"content_waits": {
			plan: store.Plan{Applications: []store.Entry{entry("a", "held", "2", free), entry("b", "free", "2", free)}},
			last: store.Release{Applications: []store.Entry{entry("a", "held", "1", free), entry("b", "free", "1", free)}},
			want: store.Release{Applications: []store.Entry{entry("a", "held", "1", free), entry("b", "free", "2", free)}},
		},
		"control_does_not": {
			plan: store.Plan{Applications: []store.Entry{entry("a", "held", "2", suspended)}},
			last: store.Release{Applications: []store.Entry{entry("a", "held", "1", free)}},
			want: store.Release{Applications: []store.Entry{entry("a", "held", "1", suspended)}},
		},
		"new": {
			plan: store.Plan{Applications: []store.Entry{entry("a", "held", "1", free)}},
		},
		"removed": {
			plan: store.Plan{
				Pending:  []bundle.ApplicationName{name("a"), name("b")},
				Removals: []bundle.Removal{{Name: name("c")}, {Name: name("d")}},
			},
			last: store.Release{Applications: []store.Entry{
				entry("a", "held", "1", free), entry("c", "held", "1", free), entry("d", "free", "1", free),
			}},
			want: store.Release{
				Applications: []store.Entry{entry("a", "held", "1", free), entry("c", "held", "1", free)},
				Pending:      []bundle.ApplicationName{name("b")}, Removals: []bundle.Removal{{Name: name("d")}},
			},
		},
		"moves_into_the_fleet": {
			plan: store.Plan{Applications: []store.Entry{entry("a", "held", "2", free)}},
			last: store.Release{Applications: []store.Entry{entry("a", "free", "1", free)}},
			want: store.Release{Applications: []store.Entry{entry("a", "free", "1", free)}},
		},
	} {
		t.Run(title, func(t *testing.T) {
			got := compose(tt.plan, tt.last, map[string]bool{"held": true})
			if len(got.Pending) == 0 {
				got.Pending = nil
			}
			if len(got.Removals) == 0 {
				got.Removals = nil
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}
