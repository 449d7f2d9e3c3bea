package release

import (
	"reflect"
	"testing"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
)

// TestNext_pinned composes the releases of a pinned cluster.
func TestNext_pinned(t *testing.T) {
	free, suspended := store.Control{}, store.Control{Suspended: true}
	pin := &store.Pin{Past: store.Past{Applications: []store.Content{
		entry("a", "x", "1", free).Content, entry("b", "x", "1", free).Content,
	}}}
	for title, tt := range map[string]struct {
		plan store.Plan
		last store.Release
		want []store.Entry
	}{
		"content_stays": {
			plan: store.Plan{Applications: []store.Entry{entry("a", "x", "3", free), entry("b", "", "3", free)}},
			want: []store.Entry{entry("a", "x", "1", free), entry("b", "x", "1", free)},
		},
		"control_does_not": {
			plan: store.Plan{Applications: []store.Entry{entry("a", "x", "3", suspended), entry("b", "x", "3", free)}},
			want: []store.Entry{entry("a", "x", "1", suspended), entry("b", "x", "1", free)},
		},
		"removed_in_git": {
			plan: store.Plan{Applications: []store.Entry{entry("a", "x", "3", free)},
				Pending: []bundle.ApplicationName{name("b")}, Removals: []bundle.Removal{{Name: name("b")}, {Name: name("d")}}},
			want: []store.Entry{entry("a", "x", "1", free), entry("b", "x", "1", free)},
		},
		"newer_than_the_pin": {
			plan: store.Plan{Applications: []store.Entry{entry("c", "x", "3", free), entry("d", "x", "3", free)}},
			last: store.Release{Applications: []store.Entry{entry("a", "x", "2", free), entry("c", "x", "2", free)}},
			want: []store.Entry{entry("a", "x", "1", free), entry("b", "x", "1", free), entry("c", "x", "2", free)},
		},
	} {
		t.Run(title, func(t *testing.T) {
			got := Next(Cluster{Name: "one", Plan: tt.plan, Last: tt.last, Pin: pin})
			for i := range tt.want {
				tt.want[i].KeepsObjects = true
			}
			if !reflect.DeepEqual(got.Applications, tt.want) || len(got.Removals)+len(got.Handovers)+len(got.Pending) > 0 {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

// TestNext_restored pins a cluster to a release with an application that Git has removed since, and ends the pin.
func TestNext_restored(t *testing.T) {
	a, gone := entry("a", "x", "2", store.Control{}), entry("gone", "x", "1", store.Control{})
	c := Cluster{
		Name: "one", Plan: store.Plan{Applications: []store.Entry{a}}, Last: store.Release{Applications: []store.Entry{a}},
		Pin: &store.Pin{Past: store.Past{Applications: []store.Content{gone.Content}}},
	}
	next := func() store.Release {
		t.Helper()
		c.Last = Next(c)
		return c.Last
	}
	if r := next(); len(r.Applications) != 2 || len(r.Restored) != 1 || len(r.Removals) > 0 {
		t.Errorf("pinned: %+v", r)
	}
	c.Applied = true // of the pinned bundle
	c.Pin, c.Plan.Incomplete = nil, true
	if r := next(); len(r.Removals) > 0 || len(r.Restored) != 1 || r.Applications[0].KeepsObjects {
		t.Errorf("the plan is incomplete: %+v", r)
	}
	c.Plan.Incomplete = false
	removal := []bundle.Removal{{Name: gone.Name, Policy: bundle.MirrorPrune}}
	if r := next(); len(r.Applications) != 1 || !reflect.DeepEqual(r.Removals, removal) {
		t.Errorf("released: %+v", r)
	}
	c.Applied = false
	if r := next(); !reflect.DeepEqual(r.Removals, removal) {
		t.Errorf("not applied yet: %+v", r)
	}
	c.Applied = true
	if r := next(); len(r.Removals)+len(r.Restored) > 0 {
		t.Errorf("applied: %+v", r)
	}
	c.Last.Restored = []bundle.ApplicationName{gone.Name}
	c.Plan.Applications = append(c.Plan.Applications, gone)
	if r := next(); len(r.Removals)+len(r.Restored) > 0 || len(r.Applications) != 2 {
		t.Errorf("back in Git: %+v", r)
	}
}
