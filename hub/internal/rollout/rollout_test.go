package rollout

import (
	"reflect"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/manifest"
)

func TestNext(t *testing.T) {
	digest := func(text string) manifest.Digest { return manifest.DigestOf([]byte(text)) }
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, tt := range map[string]struct {
		in   Input
		want Decision
	}{
		"nobody_waits": {in: Input{Fleet: "all", Now: now}},
		"new_cluster": {
			in:   Input{Fleet: "all", Now: now, Waiting: []Member{{Cluster: "east", Planned: digest("a")}}},
			want: Decision{Move: []string{"east"}},
		},
		"all_at_once": {
			in: Input{Fleet: "all", Now: now, Waiting: []Member{
				{Cluster: "east", Released: digest("a"), Planned: digest("b")},
				{Cluster: "north", Planned: digest("b")},
				{Cluster: "west", Released: digest("c"), Planned: digest("b")},
			}},
			want: Decision{Move: []string{"east", "north", "west"}},
		},
		"leaves_the_fleet": {
			in:   Input{Fleet: "all", Now: now, Waiting: []Member{{Cluster: "east", Released: digest("a")}}},
			want: Decision{Move: []string{"east"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Next(tt.in); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}
