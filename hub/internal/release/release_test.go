package release

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/internal/rollout"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

func name(s string) bundle.ApplicationName {
	return bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: s}
}

// entry returns the entry of an application of a Fleet with some content.
func entry(app, fleet, content string, control store.Control) store.Entry {
	return store.Entry{
		Content: store.Content{Name: name(app), Fleet: fleet, Digest: manifest.DigestOf([]byte(content)), Revision: content},
		Control: control,
	}
}

// TestNext releases the whole plans of clusters at once.
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
	round := &Round{Now: now, Members: func(fleet string) ([]rollout.Member, error) {
		t.Errorf("the clusters of %s were listed, although all move at once", fleet)
		return nil, nil
	}}
	var got []store.Release
	for _, c := range []Cluster{
		{Name: "west", Plan: plan}, {Name: "east", Plan: plan, Last: last}, {Name: "empty", Last: last},
	} {
		r, err := round.Next(c)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	whole := store.Release{
		Applications: plan.Applications, Pending: plan.Pending, Incomplete: true, Removals: plan.Removals, ChangedAt: now,
	}
	if want := []store.Release{whole, whole, {}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestNext_strategy asks a Fleet once for all clusters of a round, with its members that do not wait, too.
func TestNext_strategy(t *testing.T) {
	of := func(content string) []store.Entry { return []store.Entry{entry("a", "all", content, store.Control{})} }
	east := Cluster{Name: "east", Plan: store.Plan{Applications: of("2")}, Last: store.Release{Applications: of("1")}}
	north := Cluster{Name: "north", Plan: store.Plan{Applications: of("1")}, Last: store.Release{Applications: of("1")}}
	west := Cluster{Name: "west", Plan: store.Plan{Applications: of("2")}}
	var asked [][]rollout.Member
	round := &Round{
		Strategies: map[string]rollout.Strategy{"all": func(members []rollout.Member, _ time.Time) []string {
			asked = append(asked, members)
			return []string{"west"}
		}},
		Members: func(fleet string) (members []rollout.Member, err error) {
			for _, c := range []Cluster{east, north, west, {Name: "other"}} {
				if m, ok := MemberOf(fleet, c); ok {
					members = append(members, m)
				}
			}
			return members, nil
		},
	}
	for _, tt := range []struct {
		cluster Cluster
		want    []store.Entry
	}{{east, of("1")}, {north, of("1")}, {west, of("2")}} {
		got, err := round.Next(tt.cluster)
		if err != nil || !reflect.DeepEqual(got.Applications, tt.want) {
			t.Errorf("%s: %+v, %v, want %+v", tt.cluster.Name, got.Applications, err, tt.want)
		}
	}
	one, two := digestOf("all", of("1")), digestOf("all", of("2"))
	want := []rollout.Member{
		{Cluster: "east", Released: one, Planned: two}, {Cluster: "north", Released: one, Planned: one},
		{Cluster: "west", Planned: two},
	}
	if !reflect.DeepEqual(asked, [][]rollout.Member{want}) {
		t.Errorf("asked with %+v, want once with %+v", asked, want)
	}
	round = &Round{Strategies: round.Strategies,
		Members: func(string) ([]rollout.Member, error) { return nil, errors.New("the disk is full") }}
	if r, err := round.Next(east); err == nil {
		t.Errorf("released %+v although the clusters of the Fleet are not known", r)
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
			got := compose(tt.plan, tt.last, func(fleet string) bool { return fleet == "held" })
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
