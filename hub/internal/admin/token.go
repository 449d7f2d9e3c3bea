package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/shared/wording"
)

// Lifetimes of join tokens.
const (
	defaultTokenTTL = time.Hour
	maxTokenTTL     = 30 * 24 * time.Hour
	keepTokens      = 7 * 24 * time.Hour // after they expired, so that a late use is named as such
	sweepTokens     = time.Hour          // between two looks for those to delete, which read all of them
)

// tokenPrefix makes a token recognisable, for people and for scanners of leaked secrets.
const tokenPrefix = "nave-join-"

// CreateJoinToken implements adminv1.AdminServiceServer. The token is returned once and stored as a digest.
func (s *Server) CreateJoinToken(ctx context.Context,
	r *adminv1.CreateJoinTokenRequest) (*adminv1.CreateJoinTokenResponse, error) {
	who, err := s.operator(ctx)
	if err != nil {
		return nil, err
	}
	ttl, err := tokenTTL(r.TtlSeconds)
	if err != nil {
		return nil, err
	}
	key := api.ClusterKey(r.Cluster)
	token, now := tokenPrefix+rand.Text()+rand.Text(), s.now().UTC() // 2 × 130 random bits, base32
	row := store.JoinToken{Cluster: r.Cluster, CreatedAt: now, ExpiresAt: now.Add(ttl)}
	sweep := s.sweptTokens.Load()
	due := sweep == nil || now.Sub(*sweep).Abs() >= sweepTokens
	err = s.update(ctx, func(tx *store.Tx) error {
		if err := joinable(tx, key); err != nil {
			return err
		}
		if r.EndCertificate {
			if err := store.EndRegistration(tx, r.Cluster); err != nil {
				return err
			}
		}
		old := func(t store.JoinToken) bool { return t.ExpiresAt.Before(now.Add(-keepTokens)) }
		if due {
			if err := store.DeleteTokens(tx, old); err != nil {
				return err
			}
		}
		did := "expires at " + wording.Time(row.ExpiresAt)
		if r.EndCertificate {
			did += "; ended the present certificate"
		}
		return errors.Join(store.JoinTokens.Put(tx, store.TokenKey(token), row),
			s.audit(ctx, tx, "created a join token", did, key))
	})
	if err != nil {
		return nil, s.fail(err)
	}
	if due {
		s.sweptTokens.Store(&now)
	}
	s.did(who, "create join token", key)
	if r.EndCertificate {
		s.did(who, "end certificate", key)
	}
	return &adminv1.CreateJoinTokenResponse{
		Token: token, ExpiresAt: timestamppb.New(row.ExpiresAt),
		CaPin: s.join.CAPin, HubAddress: s.join.Address, SigningKeys: signing.MarshalPublicKeys(s.keys.Public()),
		TrustDomain: s.join.TrustDomain, SpokeImage: s.join.SpokeImage,
		CertificateEnded: r.EndCertificate,
	}, nil
}

func tokenTTL(seconds int64) (time.Duration, error) {
	if seconds < 0 || seconds > int64(maxTokenTTL/time.Second) {
		return 0, status.Errorf(codes.InvalidArgument, "ttl of %d seconds: want at most %d", seconds,
			int64(maxTokenTTL/time.Second))
	}
	if seconds == 0 {
		return defaultTokenTTL, nil
	}
	return time.Duration(seconds) * time.Second, nil
}

// joinable returns nil if the cluster exists and is not blocked.
func joinable(tx *store.Tx, key api.Key) error {
	err := store.RequireActiveCluster(tx, key.Name)
	switch {
	case errors.Is(err, store.ErrNoCluster):
		return notFound(key)
	case errors.Is(err, store.ErrBlocked):
		return status.Errorf(codes.FailedPrecondition, "%s is blocked: unset its spec.blocked first", key)
	}
	return err
}
