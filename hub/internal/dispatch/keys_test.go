package dispatch

import (
	"bytes"
	"crypto/ed25519"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
)

// state writes statements about signing keys. What is in them is for the spoke.
func (r *rig) state(numbers ...uint64) {
	r.update(func(tx *store.Tx) error {
		for _, n := range numbers {
			row := store.KeyStatement{Envelope: []byte{byte(n)}}
			if err := store.SigningKeys.Put(tx, store.KeyStatementKey(n), row); err != nil {
				return err
			}
		}
		return nil
	})
}

// keys returns the statements of the next message, each one byte.
func (c *call) keys() []byte {
	c.t.Helper()
	m, err := c.Recv()
	if err != nil || m.GetKeys() == nil {
		c.t.Fatalf("want statements about keys, got %v, %v", m, err)
	}
	return bytes.Join(m.GetKeys().GetEnvelopes(), nil)
}

// TestKeyStatements sends a spoke the statements that it lacks, before the offer that needs them, and those that come
// later; a spoke that does not know statements gets none.
func TestKeyStatements(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	r.cluster("old", false)
	r.state(1, 2, 3)
	r.desire("a", 1, r.application("app", `{"x":1}`))
	r.desire("old", 1, r.application("app", `{"x":1}`))
	hello := func(known uint64) *spokev1.Hello {
		return &spokev1.Hello{Features: bundle.Known.Names(), KeyStatement: known}
	}

	c := r.helloWith(r.dial(identity.Cluster, "a"), bundle.ID{}, hello(1))
	c.welcome()
	if got := c.keys(); !bytes.Equal(got, []byte{2, 3}) {
		t.Errorf("got statements %v, want 2 and 3", got)
	}
	c.offer()
	r.state(4)
	r.desire("a", 2, r.application("app", `{"x":2}`))
	if got := c.keys(); !bytes.Equal(got, []byte{4}) {
		t.Errorf("got statements %v, want 4", got)
	}
	c.offer()

	old := r.open(r.dial(identity.Cluster, "old"), bundle.ID{}, 0)
	old.offer()

	c = r.helloWith(r.dial(identity.Cluster, "a"), bundle.ID{}, hello(5))
	c.welcome()
	c.offer()
	if e := r.awaitEvent(condition.HubBehind); e.Object.Name != "a" {
		t.Errorf("event %+v", e)
	}
}

// TestStatements_size keeps a long chain within the size of messages.
func TestStatements_size(t *testing.T) {
	var s statements
	var chain [][]byte
	for range 1000 {
		chain = append(chain, bytes.Repeat([]byte{1}, 6*ed25519.SignatureSize))
	}
	if !s.post(chain) || s.post(chain) {
		t.Error("statements are posted once")
	}
	sent := 0
	for _, m := range s.collect() {
		sent += len(m.GetKeys().GetEnvelopes())
		if n := proto.Size(m); n > maxSessionMessage {
			t.Errorf("a message of %d bytes", n)
		}
	}
	if sent != len(chain) || len(s.collect()) > 0 {
		t.Errorf("sent %d of %d", sent, len(chain))
	}
}
