package admin

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/signer"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/wording"
)

// maxWaiting is how many clusters that lack a key are listed.
const maxWaiting = 20

// The states of a signing key.
const (
	keySigning  = "Signing"
	keyAccepted = "Accepted"
	keyRetired  = "Retired"
)

// SigningKeys has the key that signs bundles, and rotates it.
type SigningKeys interface {
	Public() ed25519.PublicKey
	Rotate(ctx context.Context, overlap time.Duration, note func(*store.Tx) error) error
	Retire(ctx context.Context, note func(*store.Tx) error) error
}

// ListSigningKeys implements adminv1.AdminServiceServer.
func (s *Server) ListSigningKeys(ctx context.Context,
	_ *adminv1.ListSigningKeysRequest) (*adminv1.ListSigningKeysResponse, error) {
	if _, err := s.operator(ctx); err != nil {
		return nil, err
	}
	public := s.keys.Public()
	var answer *adminv1.ListSigningKeysResponse
	err := s.store.View(ctx, func(tx *store.Tx) error {
		answer = &adminv1.ListSigningKeysResponse{}
		return errors.Join(listKeys(tx, public, answer), countReached(tx, signing.KeyID(public), answer))
	})
	return answer, s.fail(err)
}

// listKeys adds the keys to an answer, the newest first.
func listKeys(tx *store.Tx, public ed25519.PublicKey, answer *adminv1.ListSigningKeysResponse) error {
	add := func(key ed25519.PublicKey, since *timestamppb.Timestamp) {
		answer.Keys = append(answer.Keys, &adminv1.SigningKey{Id: signing.KeyID(key), State: keySigning, Since: since})
	}
	err := store.SigningKeys.Scan(tx, "", func(_ string, row store.KeyStatement) error {
		said, err := signing.OpenStatement(row.Envelope)
		if err != nil {
			return err
		}
		if len(answer.Keys) == 0 {
			add(said.Previous, nil)
		}
		before := answer.Keys[len(answer.Keys)-1]
		answer.Statement = said.Number
		if said.Keys[0].Equal(said.Previous) { // the key before it is retired
			retired := answer.Keys[len(answer.Keys)-2]
			retired.State, retired.Retires = keyRetired, timestamppb.New(said.IssuedAt)
			return nil
		}
		before.State = keyAccepted
		if !row.RetiresAt.IsZero() {
			before.Retires = timestamppb.New(row.RetiresAt)
		}
		add(said.Keys[0], timestamppb.New(said.IssuedAt))
		return nil
	})
	if len(answer.Keys) == 0 {
		add(public, nil)
	}
	slices.Reverse(answer.Keys)
	return err
}

// countReached adds to an answer which clusters have accepted a bundle that a key signed.
func countReached(tx *store.Tx, keyID string, answer *adminv1.ListSigningKeysResponse) error {
	return store.Spokes.ScanApart(tx, "", func(cluster string, row store.Spoke) error {
		if !row.HasRegistered() {
			return nil
		}
		answer.Clusters++
		signed, ok, err := store.SignedBundles.GetIntact(tx, cluster)
		if err != nil {
			return err
		}
		switch {
		case ok && row.Acks[bundle.Received] == signed.Bundle && isSignedBy(signed.Envelope, keyID):
			answer.Reached++
		case len(answer.Waiting) < maxWaiting:
			answer.Waiting = append(answer.Waiting, cluster)
		}
		return nil
	}, func(string, error) error { return nil })
}

// isSignedBy reports whether the hub signed an envelope of its store with a key.
func isSignedBy(envelope []byte, keyID string) bool {
	e, err := signing.DecodeEnvelope(envelope)
	return err == nil && slices.ContainsFunc(e.Signatures, func(s signing.Signature) bool { return s.KeyID == keyID })
}

// RotateSigningKey implements adminv1.AdminServiceServer.
func (s *Server) RotateSigningKey(ctx context.Context,
	r *adminv1.RotateSigningKeyRequest) (*adminv1.RotateSigningKeyResponse, error) {
	who, err := s.operator(ctx)
	if err != nil {
		return nil, err
	}
	overlap := r.GetOverlap().AsDuration()
	if overlap < 0 {
		return nil, status.Errorf(codes.InvalidArgument, "an overlap of %s: want none, or more than nothing", overlap)
	}
	if !r.GetForce() {
		if err := s.requireStatements(ctx); err != nil {
			return nil, s.fail(err)
		}
	}
	before := signing.KeyID(s.keys.Public())
	err = s.keys.Rotate(ctx, overlap, func(tx *store.Tx) error {
		if err := requireOperate(ctx, tx); err != nil {
			return err
		}
		return s.audit(ctx, tx, "rotated", "another key signs from now on", keyOfSigningKey(before))
	})
	if err != nil {
		return nil, s.fail(ofKeys(err))
	}
	s.log.Info("operator rotated the signing key", telemetry.Peer(who), slog.Duration("overlap", overlap))
	key, err := s.signingKey(ctx, 0)
	return &adminv1.RotateSigningKeyResponse{Key: key}, err
}

// requireStatements returns FAILED_PRECONDITION if there are spokes that would not know a new key.
func (s *Server) requireStatements(ctx context.Context) error {
	var old []string
	err := s.store.View(ctx, func(tx *store.Tx) error {
		old = nil
		return store.Spokes.ScanApart(tx, "", func(cluster string, row store.Spoke) error {
			if row.HasRegistered() && !row.Knows(bundle.KeyStatements) {
				old = append(old, cluster)
			}
			return nil
		}, func(string, error) error { return nil })
	})
	if err != nil || len(old) == 0 {
		return err
	}
	return status.Errorf(codes.FailedPrecondition, "nothing was changed: %s too old to learn of a new key would refuse "+
		"every bundle until upgraded or given a new join manifest: %s. Upgrade first, or rotate all the same with --force",
		wording.Count(len(old), "spoke"), strings.Join(old[:min(len(old), maxWaiting)], ", "))
}

// RetireSigningKey implements adminv1.AdminServiceServer.
func (s *Server) RetireSigningKey(ctx context.Context,
	r *adminv1.RetireSigningKeyRequest) (*adminv1.RetireSigningKeyResponse, error) {
	who, err := s.operator(ctx)
	if err != nil {
		return nil, err
	}
	key, err := s.signingKey(ctx, 1)
	if err != nil {
		return nil, err
	}
	if id := r.GetId(); id != "" && (key.GetState() != keyAccepted || !strings.HasPrefix(key.GetId(), id)) {
		return nil, status.Errorf(codes.FailedPrecondition, "nothing was changed: key %s is not one that was rotated and is "+
			"still accepted: see `nave keys list`", id)
	}
	err = s.keys.Retire(ctx, func(tx *store.Tx) error {
		if err := requireOperate(ctx, tx); err != nil {
			return err
		}
		return s.audit(ctx, tx, "retired", "spokes accept it no more", keyOfSigningKey(key.GetId()))
	})
	if err != nil {
		return nil, s.fail(ofKeys(err))
	}
	s.log.Info("operator retired the signing key before", telemetry.Peer(who))
	key, err = s.signingKey(ctx, 1)
	return &adminv1.RetireSigningKeyResponse{Key: key}, err
}

// keyOfSigningKey returns the key under which the audit log names a signing key.
func keyOfSigningKey(id string) api.Key { return api.Key{Kind: "SigningKey", Name: id} }

// signingKey returns one of the keys, 0 being the newest; nil if there are fewer.
func (s *Server) signingKey(ctx context.Context, n int) (*adminv1.SigningKey, error) {
	public := s.keys.Public()
	var answer *adminv1.ListSigningKeysResponse
	err := s.store.View(ctx, func(tx *store.Tx) error {
		answer = &adminv1.ListSigningKeysResponse{}
		return listKeys(tx, public, answer)
	})
	if err != nil || n >= len(answer.Keys) {
		return nil, s.fail(err)
	}
	return answer.Keys[n], nil
}

// ofKeys returns FAILED_PRECONDITION for what the keys do not allow now.
func ofKeys(err error) error {
	if errors.Is(err, signer.ErrState) {
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	return err
}
