package admin

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/signing"
)

// states returns the states of the keys, the newest first.
func states(t *testing.T, r *rig) string {
	t.Helper()
	answer, err := r.ListSigningKeys(t.Context(), &adminv1.ListSigningKeysRequest{})
	must(t, err)
	var all []string
	for _, key := range answer.GetKeys() {
		all = append(all, key.GetState())
	}
	return strings.Join(all, " ")
}

// TestSigningKeys rotates twice. An old spoke is in the way of the first rotation.
func TestSigningKeys(t *testing.T) {
	r := newRig(t)
	put := func(features bundle.FeatureSet) {
		t.Helper()
		must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
			payload := []byte("bundle")
			envelope, err := r.server.keys.(interface {
				Sign(string, []byte) *signing.Envelope
			}).Sign("type", payload).Encode()
			if err != nil {
				return err
			}
			id := bundle.ID{Epoch: 1, Sequence: 1, Digest: manifest.DigestOf(payload)}
			if err := store.SignedBundles.Put(tx, "east", store.SignedBundle{Bundle: id, Envelope: envelope}); err != nil {
				return err
			}
			return store.Spokes.Put(tx, "east", store.Spoke{RegisteredAt: time.Now(), Features: features,
				Acks: map[bundle.Stage]bundle.ID{bundle.Received: id}})
		}))
	}
	put(bundle.Baseline)
	_, err := r.RotateSigningKey(t.Context(), &adminv1.RotateSigningKeyRequest{})
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "1 spoke too old") {
		t.Errorf("rotated with an old spoke: %v", err)
	}
	put(bundle.Known)
	if got := states(t, r); got != "Signing" {
		t.Errorf("keys are %s", got)
	}
	answer, err := r.RotateSigningKey(t.Context(), &adminv1.RotateSigningKeyRequest{Overlap: durationpb.New(time.Hour)})
	must(t, err)
	if got := states(t, r); got != "Signing Accepted" || answer.GetKey().GetState() != keySigning {
		t.Errorf("keys are %s, answered %v", got, answer)
	}
	listed, err := r.ListSigningKeys(t.Context(), &adminv1.ListSigningKeysRequest{})
	must(t, err)
	if listed.GetClusters() != 1 || listed.GetReached() != 0 || len(listed.GetWaiting()) != 1 ||
		listed.GetKeys()[1].GetRetires() == nil {
		t.Errorf("listed %v; the bundle is of the key before", listed)
	}
	put(bundle.Known)
	if listed, err = r.ListSigningKeys(t.Context(), &adminv1.ListSigningKeysRequest{}); err != nil ||
		listed.GetReached() != 1 {
		t.Errorf("listed %v, %v; the bundle is of the new key", listed, err)
	}
	if _, err = r.RotateSigningKey(t.Context(), &adminv1.RotateSigningKeyRequest{}); status.Code(err) !=
		codes.FailedPrecondition {
		t.Errorf("rotated within the overlap: %v", err)
	}
	_, err = r.RetireSigningKey(t.Context(), &adminv1.RetireSigningKeyRequest{Id: answer.GetKey().GetId()})
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("retired the key that signs: %v", err)
	}
	if _, err = r.RetireSigningKey(t.Context(), &adminv1.RetireSigningKeyRequest{}); err != nil {
		t.Error(err)
	}
	if got := states(t, r); got != "Signing Retired" {
		t.Errorf("keys are %s", got)
	}
	if _, err = r.RetireSigningKey(t.Context(), &adminv1.RetireSigningKeyRequest{}); status.Code(err) !=
		codes.FailedPrecondition {
		t.Errorf("retired the only key: %v", err)
	}
	_, err = r.RotateSigningKey(t.Context(), &adminv1.RotateSigningKeyRequest{})
	must(t, err)
	if got := states(t, r); got != "Signing Accepted Retired" {
		t.Errorf("keys are %s", got)
	}
	log, err := r.ListAudit(t.Context(), &adminv1.ListAuditRequest{})
	must(t, err)
	text := log.String()
	if strings.Count(text, "another key signs") != 2 || strings.Count(text, "accept it no more") != 1 {
		t.Errorf("the audit log is %s", text)
	}
	r.apply(`{"apiVersion":"fleet.nave.io/v1alpha1","kind":"Cluster","metadata":{"name":"west"}}`)
	join, err := r.CreateJoinToken(t.Context(), &adminv1.CreateJoinTokenRequest{Cluster: "west"})
	must(t, err)
	if join.GetSigningKeys() != signing.MarshalPublicKeys(r.server.keys.Public()) {
		t.Errorf("a join manifest has the keys %q", join.GetSigningKeys())
	}
}

// TestSigningKeys_revoked changes no key for an operator who lost the role while the call was under way.
func TestSigningKeys_revoked(t *testing.T) {
	r := newRig(t)
	bob := identity.Caller{ID: identity.ID{TrustDomain: r.authority.TrustDomain(), Role: identity.Operator, Name: "bob"}}
	must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
		return store.Operators.Put(tx, "bob", store.Operator{Role: store.RoleReadOnly})
	}))
	ctx, key := identity.WithCaller(t.Context(), bob), r.server.keys.Public()
	_, err := r.server.RotateSigningKey(ctx, &adminv1.RotateSigningKeyRequest{})
	wantCode(t, err, codes.PermissionDenied)
	if got := states(t, r); got != "Signing" || !key.Equal(r.server.keys.Public()) {
		t.Errorf("keys are %s", got)
	}
	_, err = r.RotateSigningKey(t.Context(), &adminv1.RotateSigningKeyRequest{})
	must(t, err)
	_, err = r.server.RetireSigningKey(ctx, &adminv1.RetireSigningKeyRequest{})
	wantCode(t, err, codes.PermissionDenied)
	if got := states(t, r); got != "Signing Accepted" {
		t.Errorf("keys are %s", got)
	}
}
