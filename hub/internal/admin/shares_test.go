package admin

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/navefleet/nave/shared/identity"
)

// TestShares checks that an operator with all of their shares leaves the other half to others, and waits only for a
// share of their own.
func TestShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, one, other, third := newShares(4), identity.ID{Name: "one"}, identity.ID{Name: "other"}, identity.ID{Name: "third"}
		take := func(who identity.ID) bool {
			_, ok := s.take(who)
			return ok
		}
		for i, c := range []struct {
			who  identity.ID
			want bool
		}{{one, true}, {one, true}, {one, false}, {other, true}, {third, true}, {other, false}} {
			if take(c.who) != c.want {
				t.Fatalf("%d: %s: one operator has more than half, or all have more than the limit", i, c.who.Name)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.wait(ctx, one); err == nil {
			t.Error("an operator has more than half")
		}
		waited := make(chan error, 1)
		go func() { waited <- s.wait(t.Context(), other) }()
		synctest.Wait()
		s.give(third)
		if err := <-waited; err != nil {
			t.Error(err)
		}
		if all, own := s.count(other); all != 4 || own != 2 {
			t.Errorf("%d shares are taken, %d of them by the other operator", all, own)
		}
		for _, who := range []identity.ID{one, one, other, other} {
			s.give(who)
		}
		if all, _ := s.count(one); all != 0 || len(s.taken) != 0 {
			t.Errorf("%d shares are taken, by %d operators", all, len(s.taken))
		}
	})
}
