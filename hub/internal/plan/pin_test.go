package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/internal/store"
)

// TestReleasePin plans the revision that an operator pinned a release to: with the next walk, after a restart, and when
// its row is damaged. Then nobody knows who pinned it.
func TestReleasePin(t *testing.T) {
	const key = "c0000/Kustomization/flux-system/root"
	s := newStory(t, fleet(1))
	path := s.onDisk()
	for _, line := range []string{"apply hub.yaml", "plan", "fetch fleet main@sha1:1 one", "plan"} {
		s.play(strings.Fields(line))
	}
	pinned := func(when string, want uint32, by string) {
		t.Helper()
		s.round()
		row := get(s, store.Resources, key)
		got := s.plan("c0000").Applications[0].PinnedRevision
		if got != want || row.Pin.Revision != want || row.Pin.By != by {
			t.Errorf("%s: the plan has %d, the row %+v, want %d", when, got, row.Pin, want)
		}
	}
	pinned("before", 0, "")
	s.change(key, func(r *store.Resource) {
		r.Pin = store.ReleasePin{Revision: 3, At: time.Unix(0, 0), By: "alice"}
	})
	pinned("pinned", 3, "alice")
	s.restart()
	pinned("restarted", 3, "alice")
	s.play(strings.Fields("fetch fleet main@sha1:2 two"))
	pinned("with another revision", 3, "alice")
	s.damage(path, "resources", key, "{rubbish")
	pinned("damaged", 3, "")
	s.change(key, func(r *store.Resource) { r.Pin = store.ReleasePin{} })
	pinned("ended", 0, "")
	s.quiet()
}
