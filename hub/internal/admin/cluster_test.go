package admin

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
)

const eastYAML = "apiVersion: fleet.nave.io/v1alpha1\nkind: Cluster\nmetadata: {name: east, labels: {env: %}}\n"

// east is a Cluster with a label.
func east(env string) string { return strings.ReplaceAll(eastYAML, "%", env) }

// TestTakeover gives a Cluster whose removal is held to the operator who applies it, and refuses one that Git gives.
func TestTakeover(t *testing.T) {
	for _, c := range []struct {
		name string
		held bool
		code codes.Code
	}{
		{"held", true, codes.OK},
		{"in_git", false, codes.FailedPrecondition},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			owner := api.Key{Kind: "Kustomization", Namespace: "flux-system", Name: "hub"}
			r.put(store.Resource{Key: api.ClusterKey("east"), UID: "kept", Owner: &owner, Held: c.held},
				`{"apiVersion":"fleet.nave.io/v1alpha1","kind":"Cluster","metadata":{"name":"east","labels":{"env":"prod"}}}`)
			_, err := r.Apply(t.Context(), &adminv1.ApplyRequest{Manifest: []byte(east("prod"))})
			wantCode(t, err, c.code)
			row, _ := r.resource(api.ClusterKey("east"))
			if taken := row.Owner == nil && !row.Held; taken != c.held || row.UID != "kept" {
				t.Errorf("the row is %+v", row)
			}
			if event := r.eventOf(api.ClusterKey("east"), condition.TakenOver); (event != "") != c.held {
				t.Errorf("the event is %q", event)
			}
		})
	}
}

// TestRemove_held removes a Cluster whose removal is held, with the identity of its spoke.
func TestRemove_held(t *testing.T) {
	r := newRig(t)
	owner := api.Key{Kind: "Kustomization", Namespace: "flux-system", Name: "hub"}
	r.put(store.Resource{Key: api.ClusterKey("east"), Owner: &owner, Held: true},
		`{"apiVersion":"fleet.nave.io/v1alpha1","kind":"Cluster","metadata":{"name":"east"}}`)
	_, err := r.Delete(t.Context(), &adminv1.DeleteRequest{Confirmed: true,
		Key: &adminv1.ObjectKey{Kind: "Cluster", Name: "east"}})
	must(t, err)
	if _, there := r.resource(api.ClusterKey("east")); there {
		t.Error("the Cluster is still there")
	}
}

// TestConfirm_held_cluster names the ways out if the removal of the Cluster itself is held, and nothing in its graph.
func TestConfirm_held_cluster(t *testing.T) {
	r := newRig(t)
	owner := api.Key{Kind: "Kustomization", Namespace: "flux-system", Name: "hub"}
	r.put(store.Resource{Key: api.ClusterKey("east"), Owner: &owner, Held: true},
		`{"apiVersion":"fleet.nave.io/v1alpha1","kind":"Cluster","metadata":{"name":"east"}}`)
	_, err := r.Confirm(t.Context(), &adminv1.ConfirmRequest{Key: &adminv1.ObjectKey{Kind: "clusters", Name: "east"}})
	wantCode(t, err, codes.FailedPrecondition, "nave cluster remove east", "nave confirm hub")
}

// TestApply_replaces changes an object only if it is as the caller has seen it.
func TestApply_replaces(t *testing.T) {
	r := newRig(t)
	r.apply(east("one"))
	change := func(from, to string) error {
		_, err := r.Apply(t.Context(), &adminv1.ApplyRequest{Manifest: []byte(east(to)), Replaces: []byte(east(from))})
		return err
	}
	must(t, change("one", "two"))
	wantCode(t, change("one", "three"), codes.Aborted)
	if row, _ := r.resource(api.ClusterKey("east")); row.Object.Marks().Labels["env"] != "two" {
		t.Errorf("the Cluster has labels %v", row.Object.Marks().Labels)
	}
}

// TestJoinToken_ends_certificate ends the registration of the spoke with the token that replaces it, and the tokens
// that nobody used yet: they may have leaked with the certificate, or be those of a rotation before.
func TestJoinToken_ends_certificate(t *testing.T) {
	r := newRig(t)
	r.apply(east("one"))
	must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
		return store.Spokes.Put(tx, "east", store.Spoke{Registration: "first", RegisteredAt: time.Now(),
			CertificateIssued: time.Now(), CertificateExpiry: time.Now().Add(time.Hour)})
	}))
	valid := func() bool {
		return r.store.View(t.Context(), func(tx *store.Tx) error {
			_, err := store.CheckNotRevoked(tx, "east", "first", time.Now())
			return err
		}) == nil
	}
	var tokens []string
	for i, end := range []bool{false, true, true} {
		answer, err := r.CreateJoinToken(t.Context(), &adminv1.CreateJoinTokenRequest{Cluster: "east", EndCertificate: end})
		must(t, err)
		if valid() == end || answer.GetCertificateEnded() != end {
			t.Errorf("a token with end_certificate %t: the certificate is valid: %t; answered %v", end, valid(), answer)
		}
		tokens = append(tokens, answer.Token)
		must(t, r.store.View(t.Context(), func(tx *store.Tx) error {
			for n, token := range tokens {
				_, there, err := store.JoinTokens.Get(tx, store.TokenKey(token))
				if err != nil || there != (n == i) {
					t.Errorf("after token %d: token %d is there: %t, %v", i, n, there, err)
				}
			}
			return nil
		}))
		must(t, r.store.View(t.Context(), func(tx *store.Tx) error {
			row, _, err := store.Spokes.Get(tx, "east")
			if row.CertificateExpiry.IsZero() != end {
				t.Errorf("a token with end_certificate %t: the certificate ends at %s", end, row.CertificateExpiry)
			}
			return err
		}))
	}
}
