package dispatch

import (
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
)

// events counts the events of a reason.
func (r *rig) events(reason string) (n int) {
	r.t.Helper()
	must(r.t, r.store.View(r.t.Context(), func(tx *store.Tx) error {
		n = 0
		return store.Events.Scan(tx, "", func(_ string, e store.Event) error {
			if e.Reason == reason {
				n++
			}
			return nil
		})
	}))
	return n
}

// TestPresence: events tell that a spoke connected and went, and the row says when it was last heard from. A session
// that takes over is no event.
func TestPresence(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	client := r.dial(identity.Cluster, "a")
	r.open(client, bundle.ID{}, 0)
	e := r.awaitEvent(condition.Online)
	if e.Type != condition.Normal || !strings.Contains(e.Message, " connected from ") {
		t.Errorf("event is %+v", e)
	}
	second := r.open(client, bundle.ID{}, 0)
	must(t, second.CloseSend())
	e = r.awaitEvent(condition.Offline)
	if e.Type != condition.Warning ||
		!strings.HasPrefix(e.Message, "the spoke ended the session; the spoke was last heard") {
		t.Errorf("event is %+v", e)
	}
	if n := r.events(condition.Online); n != 1 {
		t.Errorf("%d events say that the spoke connected, want 1", n)
	}
	r.awaitSpoke("a", "disconnected", func(s store.Spoke) bool {
		return !s.Connected && !s.Heard.IsZero() && !s.Heard.After(s.Since)
	})
	r.open(client, bundle.ID{}, 0)
	r.awaitSpoke("a", "connected", func(s store.Spoke) bool { return s.Connected && s.Heard.IsZero() })
}

// TestPresence_drain: a hub that stops blames no spoke.
func TestPresence_drain(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	r.open(r.dial(identity.Cluster, "a"), bundle.ID{}, 0)
	r.server.Drain()
	r.awaitSpoke("a", "disconnected", func(s store.Spoke) bool { return !s.Connected })
	r.written()
	if n := r.events(condition.Offline); n != 0 {
		t.Errorf("%d events say that the spoke disconnected", n)
	}
}

// TestPresence_flaps bounds the events of a spoke that connects and goes again and again.
func TestPresence_flaps(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	client := r.dial(identity.Cluster, "a")
	for range 2 * warningBurst {
		must(t, r.open(client, bundle.ID{}, 0).CloseSend())
		r.awaitSpoke("a", "disconnected", func(s store.Spoke) bool { return !s.Connected && !s.Since.IsZero() })
	}
	r.written()
	for _, reason := range []string{condition.Online, condition.Offline} {
		if n := r.events(reason); n > warningBurst+1 {
			t.Errorf("%d events %s, want at most %d", n, reason, warningBurst+1)
		}
	}
}
