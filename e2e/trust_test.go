package e2e_test

import (
	"strings"
	"testing"
	"time"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
)

const (
	applied  = spokev1.AckStage_ACK_STAGE_APPLIED
	rejected = spokev1.AckStage_ACK_STAGE_REJECTED
)

// value is a bundle's content: a ConfigMap with a value.
func value(v string) string {
	return "apiVersion: v1\nkind: Namespace\nmetadata: {name: trust}\n---\n" +
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app, namespace: trust}\ndata: {value: " + v + "}\n"
}

// Whatever a hub, or somebody in its place, offers: a spoke runs only what its hub signed for it and later than what it
// has. It says why, leaves the cluster as it is, goes on repairing it, and takes the next good bundle.
func TestSpokeTrust(t *testing.T) {
	needsLab(t)
	ctx := t.Context()
	h := newScriptedHub(t, "east")
	east := lab.Clusters[0]
	spoke := h.spoke(ctx, east)

	first, firstEnvelope := h.envelope(h.signer, h.bundle(5, value("five")))
	h.offer(first, firstEnvelope)
	h.waitAck(ctx, first, applied)

	foreign := func(change func(*bundle.Bundle)) (bundle.ID, []byte) {
		b := h.bundle(6, value("evil"))
		change(b)
		return h.envelope(h.signer, b)
	}
	for _, tt := range []struct {
		name string
		make func() (bundle.ID, []byte)
		want string
	}{
		{"changed_byte", func() (bundle.ID, []byte) {
			id, envelope := foreign(func(*bundle.Bundle) {})
			i := strings.Index(string(envelope), "main@sha1:6")
			envelope[i+len("main@sha1:")] = '7'
			return id, envelope
		}, "not signed by a trusted key"},
		{"other_signer", func() (bundle.ID, []byte) { return h.envelope(newSigner(t), h.bundle(6, value("evil"))) },
			"not signed by a trusted key"},
		{"no_envelope", func() (bundle.ID, []byte) {
			id, _ := foreign(func(*bundle.Bundle) {})
			return id, []byte("nonsense")
		}, "malformed"},
		{"other_cluster", func() (bundle.ID, []byte) {
			return foreign(func(b *bundle.Bundle) {
				b.Cluster = identity.ID{TrustDomain: h.cluster.TrustDomain, Role: identity.Cluster, Name: "west"}.String()
			})
		}, "for another cluster"},
		{"other_trust_domain", func() (bundle.ID, []byte) {
			return foreign(func(b *bundle.Bundle) {
				b.Cluster = identity.ID{TrustDomain: "nave-0000000000000000", Role: identity.Cluster, Name: "east"}.String()
			})
		}, "for another cluster"},
		{"older", func() (bundle.ID, []byte) { return foreign(func(b *bundle.Bundle) { b.Sequence = 4 }) },
			"older"},
		{"same_sequence", func() (bundle.ID,
			[]byte) {
			return foreign(func(b *bundle.Bundle) { b.Sequence = 5 })
		}, "two hubs sign"},
		{"expired", func() (bundle.ID, []byte) {
			return foreign(func(b *bundle.Bundle) {
				b.IssuedAt, b.ExpiresAt = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
			})
		}, "expired"},
		{"other_name", func() (bundle.ID, []byte) {
			id, envelope := foreign(func(*bundle.Bundle) {})
			id.Sequence = 60
			return id, envelope
		}, "malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id, envelope := tt.make()
			h.offer(id, envelope)
			if a := h.waitAck(ctx, id, applied, rejected); a.GetStage() != rejected ||
				!strings.Contains(a.GetReason(), tt.want) {
				t.Errorf("got %s %q, want it rejected: %s", a.GetStage(), a.GetReason(), tt.want)
			}
			o, err := east.Get(ctx, "ConfigMap", "trust", "app")
			must(t, err)
			if got, _ := field(o, ".data.value"); got != "five" {
				t.Errorf("the cluster has %q", got)
			}
		})
	}

	must(t, east.Edit(ctx, "ConfigMap", "trust", "app", `{"data":{"value":"edited"}}`))
	waitLive(t, "east ConfigMap trust/app .data.value five")
	must(t, spoke.Kill())
	must(t, east.Delete(ctx, "ConfigMap", "trust", "app"))
	must(t, spoke.Start(ctx))
	waitLive(t, "east ConfigMap trust/app .data.value five")

	// It remembers what it had across the restart, too.
	older, envelope := foreign(func(b *bundle.Bundle) { b.Sequence = 3 })
	h.offer(older, envelope)
	if a := h.waitAck(ctx, older, applied, rejected); a.GetStage() != rejected {
		t.Error("an older bundle was applied after a restart")
	}
	next, envelope := h.envelope(h.signer, h.bundle(7, value("seven")))
	h.offer(next, envelope)
	h.waitAck(ctx, next, applied)
	waitLive(t, "east ConfigMap trust/app .data.value seven")
}

// waitLive is "eventually live …" of the stories.
func waitLive(t *testing.T, line string) {
	t.Helper()
	if err := eventually(t.Context(), &story{}, append([]string{"live"}, strings.Fields(line)...)); err != nil {
		t.Fatal(err)
	}
}
