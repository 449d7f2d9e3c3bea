package release

import (
	"reflect"
	"strings"
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
	var got []store.Release
	for _, c := range []Cluster{
		{Name: "west", Plan: plan}, {Name: "east", Plan: plan, Last: last}, {Name: "empty", Last: last},
	} {
		got = append(got, Next(c))
	}
	whole := store.Release{
		Applications: plan.Applications, Pending: plan.Pending, Incomplete: true, Removals: plan.Removals, ChangedAt: now,
	}
	if want := []store.Release{whole, whole, {}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestNext_turns releases what the turns of a cluster let through. Each text lists applications with their content.
func TestNext_turns(t *testing.T) {
	of := func(text string) (entries []store.Entry) {
		for _, word := range strings.Fields(text) {
			app, content, _ := strings.Cut(word, "=")
			fleet := "paced"
			if strings.HasPrefix(app, "free") {
				fleet = "free"
			}
			entries = append(entries, entry(app, fleet, content, store.Control{}))
		}
		return entries
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	turn := func(state rollout.State, target string, offered bool) store.Turn {
		p := rollout.Progress{State: state, Target: DigestOf("paced", of(target))}
		if offered {
			p.Offered = now
		}
		return store.Turn{Progress: p}
	}
	restoring := turn(rollout.ClusterRestoring, "a=2", true)
	for _, e := range of("a=1 gone=1") {
		restoring.Before = append(restoring.Before, e.Content)
	}
	for title, tt := range map[string]struct {
		plan, last string
		turn       store.Turn
		want       string
	}{
		"no_turn_yet":                   {"a=2 free=2", "a=1 free=1", store.Turn{}, "a=1 free=2"},
		"waits":                         {"a=2", "a=1", turn(rollout.ClusterWaiting, "a=2", false), "a=1"},
		"offered":                       {"a=2", "a=1", turn(rollout.ClusterUnderWay, "a=2", true), "a=2"},
		"offered_something_else":        {"a=3", "a=1", turn(rollout.ClusterUnderWay, "a=2", true), "a=1"},
		"new_cluster_waits":             {"a=2 free=2", "", turn(rollout.ClusterWaiting, "a=2", false), "free=2"},
		"new_application_waits":         {"a=1 b=1", "a=1", turn(rollout.ClusterWaiting, "a=1 b=1", false), "a=1"},
		"removed_application_waits":     {"a=1", "a=1 b=1", turn(rollout.ClusterWaiting, "a=1", false), "a=1 b=1"},
		"leaving_waits":                 {"", "a=1", turn(rollout.ClusterLeaving, "", false), "a=1"},
		"leaving":                       {"", "a=1", turn(rollout.ClusterLeaving, "", true), ""},
		"restored":                      {"a=2", "a=2", restoring, "a=1! gone=1!"},
		"newer_applications_stay":       {"a=2 new=2", "a=2 new=2", restoring, "a=1! gone=1! new=2!"},
		"restored_beside_another_fleet": {"a=2 free=2", "a=2 free=1", restoring, "a=1! free=2 gone=1!"},
	} {
		t.Run(title, func(t *testing.T) {
			r := Next(Cluster{Name: "one", Plan: store.Plan{Applications: of(tt.plan)},
				Last: store.Release{Applications: of(tt.last)}, Turns: map[string]store.Turn{"paced": tt.turn}})
			var got []string
			for _, e := range r.Applications {
				word := e.Name.Name + "=" + e.Revision
				if e.KeepsObjects {
					word += "!"
				}
				got = append(got, word)
			}
			if text := strings.Join(got, " "); text != tt.want {
				t.Errorf("released %s, want %s", text, tt.want)
			}
		})
	}
}

// TestNext_revision lets a revision through that changes no application: the cluster runs it already.
func TestNext_revision(t *testing.T) {
	was, is := entry("a", "paced", "1", store.Control{}), entry("a", "paced", "1", store.Control{})
	is.Revision = "main@sha1:newer"
	r := Next(Cluster{Plan: store.Plan{Applications: []store.Entry{is}}, Turns: map[string]store.Turn{"paced": {}},
		Last: store.Release{Applications: []store.Entry{was}}})
	if got := r.Applications[0].Revision; got != is.Revision {
		t.Errorf("released %s", got)
	}
}

// TestNext_rolledback removes the applications that a rollback brought back, once the next content goes out.
func TestNext_rolledback(t *testing.T) {
	a, gone := entry("a", "paced", "2", store.Control{}), entry("gone", "paced", "1", store.Control{})
	turn := store.Turn{Progress: rollout.Progress{State: rollout.ClusterRestoring}, Before: []store.Content{gone.Content}}
	c := Cluster{Plan: store.Plan{Applications: []store.Entry{a}}, Last: store.Release{Applications: []store.Entry{a}},
		Turns: map[string]store.Turn{"paced": turn}}
	c.Last = Next(c)
	if len(c.Last.Applications) != 2 || len(c.Last.Restored) != 1 || len(c.Last.Removals) > 0 {
		t.Errorf("rolled back: %+v", c.Last)
	}
	c.Plan.Applications[0].Digest = manifest.DigestOf([]byte("3"))
	c.Turns["paced"] = store.Turn{Progress: rollout.Progress{State: rollout.ClusterWaiting}}
	if c.Last = Next(c); len(c.Last.Applications) != 2 || len(c.Last.Restored) != 1 || len(c.Last.Removals) > 0 {
		t.Errorf("held: %+v", c.Last)
	}
	c.Turns["paced"] = store.Turn{Progress: rollout.Progress{State: rollout.ClusterUnderWay, Offered: time.Now(),
		Target: DigestOf("paced", c.Plan.Applications)}}
	if c.Last = Next(c); len(c.Last.Applications) != 1 || len(c.Last.Removals) != 1 {
		t.Errorf("offered the next content: %+v", c.Last)
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
