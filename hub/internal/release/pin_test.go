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
			got, err := (&Round{}).Next(Cluster{Name: "one", Plan: tt.plan, Last: tt.last, Pin: pin})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Applications, tt.want) || len(got.Removals)+len(got.Handovers)+len(got.Pending) > 0 {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}
