package rollout

import (
	"errors"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/manifest"
)

// canary is a Strategy that lets one cluster move, and the other clusters after that one.
func canary(members []Member, _ time.Time) (move []string) {
	for _, m := range members {
		if m.Cluster == "canary" && m.Waits() {
			return []string{m.Cluster}
		}
		move = append(move, m.Cluster)
	}
	return move
}

func TestNext(t *testing.T) {
	one, two := manifest.DigestOf([]byte("1")), manifest.DigestOf([]byte("2"))
	unread := errors.New("the disk is full")
	done, waits := Member{Released: two, Planned: two}, Member{Released: one, Planned: two}
	for name, tt := range map[string]struct {
		strategy Strategy
		canary   Member
		unread   error
		fails    bool
		moves    bool
		west     bool
	}{
		"all_at_once":    {unread: unread, moves: true, west: true},
		"canary_waits":   {strategy: canary, canary: waits, moves: true},
		"canary_is_done": {strategy: canary, canary: done, moves: true, west: true},
		"unread_members": {strategy: canary, unread: unread, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			tt.canary.Cluster = "canary"
			d, err := Next(Input{Fleet: "all", Strategy: tt.strategy, Members: func() ([]Member, error) {
				return []Member{tt.canary, {Cluster: "west", Released: one, Planned: two}}, tt.unread
			}})
			if failed := errors.Is(err, unread); failed != tt.fails {
				t.Errorf("error %v", err)
			}
			if d.Moves("canary") != tt.moves || d.Moves("west") != tt.west {
				t.Errorf("decided %+v", d)
			}
		})
	}
}
