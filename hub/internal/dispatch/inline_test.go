package dispatch

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
)

const received = spokev1.AckStage_ACK_STAGE_RECEIVED

// heard waits until the hub has taken an ack, and so knows what the spoke holds.
func (c *call) heard(r *rig, cluster string, id bundle.ID) {
	c.t.Helper()
	c.ack(id, received, "")
	r.awaitSpoke(cluster, "ack", func(s store.Spoke) bool { return s.Acks[bundle.Received] == id })
}

// noise is text that hardly shrinks.
func noise(n int) string {
	b := make([]byte, n/2)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// wantEnclosed compares the blobs of an offer with what the digests should be.
func wantEnclosed(t testing.TB, o *spokev1.Offer, want ...manifest.Digest) {
	t.Helper()
	left := map[manifest.Digest]bool{}
	for _, d := range want {
		left[d] = true
	}
	for _, b := range o.Blobs {
		d := manifest.Digest(b.Digest)
		if !left[d] {
			t.Errorf("%s is enclosed, unasked or twice", d)
		}
		delete(left, d)
	}
	if len(left) > 0 {
		t.Errorf("%d of %d blobs are not enclosed", len(left), len(want))
	}
	if n := proto.Size(&spokev1.SessionResponse{
		Message: &spokev1.SessionResponse_Offer{Offer: o},
	}); n > maxSessionMessage {
		t.Errorf("the message has %d bytes", n)
	}
}

func TestInlineBlobs(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	stays := r.application("stays", `{"stays":1}`)
	first := r.desire("a", 1, r.application("app", `{"x":1}`, `{"y":1}`), stays)
	c := r.open(r.dial(identity.Cluster, "a"), bundle.ID{}, 0)
	wantEnclosed(t, c.offer()) // nobody knows what this spoke has
	c.heard(r, "a", first.Bundle)

	app := r.application("app", `{"x":2}`, `{"y":1}`)
	second := r.desire("a", 2, app, stays)
	o := c.offer()
	wantEnclosed(t, o, app.Digest, manifest.DigestOf([]byte(`{"x":2}`)))
	for _, b := range o.Blobs {
		frame, size, err := r.store.Blobs().Compressed(t.Context(), manifest.Digest(b.Digest))
		must(t, err)
		if string(frame) != string(b.Frame) || size != b.Size {
			t.Errorf("%x is not what is stored", b.Digest)
		}
	}
	c.heard(r, "a", second.Bundle)
	r.desire("a", 3, app, stays) // signed anew
	wantEnclosed(t, c.offer())
}

func TestInlineAfterAck(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	first := r.desire("a", 1, r.application("app", `{"x":1}`, `{"y":1}`))
	c := r.open(r.dial(identity.Cluster, "a"), bundle.ID{}, 0)
	c.offer()
	c.heard(r, "a", first.Bundle)
	r.desire("a", 2, r.application("app", `{"x":2}`, `{"y":1}`))
	c.offer() // and is lost: no ack
	app := r.application("app", `{"x":2}`, `{"y":2}`)
	r.desire("a", 3, app)
	wantEnclosed(t, c.offer(), app.Digest, manifest.DigestOf([]byte(`{"x":2}`)), manifest.DigestOf([]byte(`{"y":2}`)))
}

func TestInlineAfterHello(t *testing.T) {
	for name, stale := range map[string]bool{"newest": false,
		"older_bundle": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.cluster("a", false)
			row := r.desire("a", 1, r.application("app", `{"x":1}`))
			client := r.dial(identity.Cluster, "a")
			app := r.application("app", `{"x":2}`)
			if stale {
				r.desire("a", 2, app)
			}
			c := r.open(client, row.Bundle, received)
			if stale {
				wantEnclosed(t, c.offer())
				return
			}
			r.desire("a", 2, app)
			wantEnclosed(t, c.offer(), app.Digest, manifest.DigestOf([]byte(`{"x":2}`)))
		})
	}
}

func TestInlineLimit(t *testing.T) {
	big := make([]string, 0, 400)
	for i := range 400 {
		big = append(big, fmt.Sprintf(`{"n":%d,"noise":%q}`, i, noise(64)))
	}
	for name, objects := range map[string][]string{
		"one_large_object":                 {noise(2 * maxBlobsInline)},
		"many_small_objects":               big,
		"just_more_than_there_is_room_for": {noise(maxBlobsInline), noise(maxBlobsInline)},
		"one_small_and_one_too_big":        {`{"x":2}`, noise(4 * maxBlobsInline)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.cluster("a", false)
			first := r.desire("a", 1, r.application("app", `{"x":1}`))
			c := r.open(r.dial(identity.Cluster, "a"), bundle.ID{}, 0)
			c.offer()
			c.heard(r, "a", first.Bundle)
			r.desire("a", 2, r.application("app", objects...))
			wantEnclosed(t, c.offer())
		})
	}
}

func TestInlineOwnBlobsOnly(t *testing.T) {
	r := newRig(t)
	calls := map[string]*call{}
	for _, name := range []string{"a", "b"} {
		r.cluster(name, false)
		first := r.desire(name, 1, r.application("app", `{"shared":1}`))
		calls[name] = r.open(r.dial(identity.Cluster, name), bundle.ID{}, 0)
		calls[name].offer()
		calls[name].heard(r, name, first.Bundle)
	}
	for _, name := range []string{"a", "b"} {
		object := fmt.Sprintf(`{"only":%q}`, name)
		app := r.application("app", object)
		r.desire(name, 2, app)
		wantEnclosed(t, calls[name].offer(), app.Digest, manifest.DigestOf([]byte(object)))
	}
}

func TestInlineCache(t *testing.T) {
	r := newRig(t)
	before, after := r.application("app", `{"x":1}`), r.application("app", `{"x":2}`)
	c := newChanges(newReachableSets(r.store.Blobs()))
	between := func(went, came manifest.Digest) []*spokev1.Blob {
		blobs, err := c.between(t.Context(), []manifest.Digest{went}, []manifest.Digest{came})
		must(t, err)
		return blobs
	}
	one, two := between(before.Digest, after.Digest), between(before.Digest, after.Digest)
	if len(one) != 2 || len(two) != 2 || &one[0] != &two[0] {
		t.Errorf("%d and %d blobs, not the same", len(one), len(two))
	}
	if back := between(after.Digest, before.Digest); len(back) != 2 || &back[0] == &one[0] {
		t.Errorf("the way back brings %d blobs", len(back))
	}
	for i := range 3 * maxChanges {
		between(manifest.DigestOf([]byte{byte(i), byte(i >> 8)}), after.Digest) // what went was swept long ago
	}
	if len(c.blobs) > maxChanges {
		t.Errorf("%d changes are remembered", len(c.blobs))
	}
}

func TestEarlyAck(t *testing.T) {
	m := newMailbox()
	m.post(&offer{id: bundle.ID{Epoch: 1, Sequence: 1}, message: &spokev1.SessionResponse{}})
	m.holds(bundle.ID{Epoch: 1, Sequence: 1})
	if o := m.collect(); o != nil {
		t.Fatalf("took %v, which the spoke has", o)
	}
	if o := m.latest(); o == nil || o.id.Sequence != 1 {
		t.Fatalf("the newest is %v", o)
	}
}
