package dispatch

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
)

// TestHeldBack has a spoke from before a feature run a bundle. A bundle with the feature is not sent to it, and neither
// rejected; bundles without it are, and so is the one with it to the upgraded spoke.
func TestHeldBack(t *testing.T) {
	for name, features := range map[string][]string{"lists_none": nil, "lists_others": {"parents", "pending"}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.cluster("a", false)
			plain, hooks := r.application("plain", "1"), r.application("hooks", "2")
			hooks.Features = "hooks"
			first := r.desire("a", 1, plain)
			old := r.helloWith(r.dial(identity.Cluster, "a"), bundle.ID{}, &spokev1.Hello{Features: features})
			old.welcome()
			if got := old.offer(); got.Bundle.Sequence != 1 {
				t.Fatalf("offered %v", got.Bundle)
			}
			old.ack(first.Bundle, spokev1.AckStage_ACK_STAGE_HEALTHY, "")
			held := r.desire("a", 2, plain, hooks)
			if e := r.awaitEvent(condition.BundleHeldBack); !strings.Contains(e.Message, "does not know bundle feature hooks; "+
				"upgrade the spoke") {
				t.Errorf("the event says %q", e.Message)
			}
			r.awaitSpoke("a", "healthy, nothing rejected", func(s store.Spoke) bool {
				return s.Acks[bundle.Healthy] == first.Bundle && s.Rejected == "" && s.Lacks(held) == "hooks"
			})
			r.desire("a", 3, plain)
			if got := old.offer(); got.Bundle.Sequence != 3 { // the one with the feature was never sent
				t.Errorf("offered %v", got.Bundle)
			}
			last := r.desire("a", 4, plain, hooks)
			again := r.helloWith(r.dial(identity.Cluster, "a"), first.Bundle, &spokev1.Hello{Features: features,
				Stage: spokev1.AckStage_ACK_STAGE_HEALTHY})
			again.welcome()
			upgraded := r.helloWith(r.dial(identity.Cluster, "a"), first.Bundle, &spokev1.Hello{Features: []string{"hooks"},
				Stage: spokev1.AckStage_ACK_STAGE_HEALTHY})
			upgraded.welcome()
			if got := upgraded.offer(); got.Bundle.Sequence != 4 {
				t.Errorf("the upgraded spoke is offered %v", got.Bundle)
			}
			r.awaitSpoke("a", "upgraded", func(s store.Spoke) bool { return s.Features == "hooks" && s.Lacks(last) == "" })
			if _, err := again.Recv(); err == nil || !strings.Contains(err.Error(), "took over") {
				t.Errorf("the spoke that reconnected got something else than its end: %v", err)
			}
		})
	}
}

// TestFetchWhileHeldBack has a spoke fetch the bundle that it was offered last while a newer one is held back, until it
// has all of it.
func TestFetchWhileHeldBack(t *testing.T) {
	for name, entries := range map[string]int{"inline": 1, "by_digest": 400} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.cluster("a", false)
			plain := make([]bundle.Entry, entries)
			for i := range plain {
				plain[i] = r.application(fmt.Sprintf("plain-%d", i), `{"x":1}`)
			}
			client, wanted := r.dial(identity.Cluster, "a"), manifest.DigestOf([]byte(`{"x":1}`))
			c := r.open(client, bundle.ID{}, 0)
			first := r.desire("a", 1, plain...)
			if o := c.offer(); (len(o.Envelope) > 0) != (entries == 1) {
				t.Fatalf("the envelope in the offer has %d bytes", len(o.Envelope))
			}
			hooks := r.application("hooks", `{"x":2}`)
			hooks.Features = "hooks"
			r.desire("a", 2, hooks)
			r.awaitEvent(condition.BundleHeldBack)
			r.fetch(client, manifest.DigestOf(first.Envelope), plain[0].Digest, wanted)
			r.fetch(client, hooks.Digest)
			_, err := r.tryFetch(client, manifest.DigestOf([]byte("nothing")))
			wantCode(t, err, codes.NotFound)
			c.ack(first.Bundle, spokev1.AckStage_ACK_STAGE_RECEIVED, "")
			r.awaitSpoke("a", "the ack", func(s store.Spoke) bool { return s.Acks[bundle.Received] == first.Bundle })
			_, err = r.tryFetch(client, wanted)
			wantCode(t, err, codes.NotFound)
		})
	}
}

func TestMalformedFeatures(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	c := r.helloWith(r.dial(identity.Cluster, "a"), bundle.ID{}, &spokev1.Hello{Features: []string{"\x1b[2J"}})
	_, err := c.Recv()
	wantCode(t, err, codes.InvalidArgument)
}
