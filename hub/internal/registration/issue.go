package registration

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/internal/store"
	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/wording"
)

// readCSR returns the public key of a request and the key's digest.
func readCSR(der []byte) (crypto.PublicKey, manifest.Digest, error) {
	key, err := identity.ParseCSR(der)
	if err != nil {
		return nil, manifest.Digest{}, status.Errorf(codes.InvalidArgument, "certificate request: %v", err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, manifest.Digest{}, status.Errorf(codes.InvalidArgument, "certificate request: %v", err)
	}
	return key, manifest.DigestOf(spki), nil
}

// check returns the row of a token. If the token is not accepted, check returns the row, if there is one, and why.
func (s *Server) check(tx *store.Tx, digest string, key manifest.Digest) (store.JoinToken, error) {
	token, ok, err := store.JoinTokens.Get(tx, digest)
	if err == nil && !ok {
		err = errUnknown
	}
	if err != nil {
		return token, err
	}
	used := !token.UsedAt.IsZero()
	if used && token.UsedBy != key {
		return token, errUsed
	}
	if err := checkToken(token, s.now()); err != nil {
		return token, err
	}
	err = store.RequireActiveCluster(tx, token.Cluster)
	if isDenied(err) {
		err = errDenied
	}
	if err != nil || !used {
		return token, err
	}
	row, _, err := store.Spokes.Get(tx, token.Cluster)
	if err == nil && !row.Counts(registrationOf(digest), token.UsedAt) {
		err = errStale
	}
	return token, err
}

// checkToken returns an error if a token has expired. It also refuses an unused token that was made in the future by
// more than its lifetime: a clock was ahead then, and the token would live too long.
func checkToken(token store.JoinToken, now time.Time) error {
	life := token.ExpiresAt.Sub(token.CreatedAt)
	switch {
	case !now.Before(token.ExpiresAt):
		return fmt.Errorf("%w at %s, and it is %s now", errExpired, wording.Time(token.ExpiresAt), wording.Time(now))
	case token.UsedAt.IsZero() && !token.CreatedAt.IsZero() && now.Add(life).Before(token.CreatedAt):
		return fmt.Errorf("%w, at %s, and it is %s now", errEarly, wording.Time(token.CreatedAt), wording.Time(now))
	}
	return nil
}

// registrationOf returns the name of the registration by a join token, which is from the token's digest: a token is
// used once.
func registrationOf(digest string) string { return shorten(digest) }

// isDenied reports whether err means that an operator lets no spoke of the cluster in, or none without a join token.
func isDenied(err error) bool {
	return errors.Is(err, store.ErrNoCluster) || errors.Is(err, store.ErrBlocked) || errors.Is(err, store.ErrUnregistered)
}

// issue returns a certificate of a cluster and a registration, and when it was issued.
func (s *Server) issue(key crypto.PublicKey, cluster, registration string) (*registrationv1.Certificate, time.Time,
	error) {
	id := identity.ID{TrustDomain: s.authority.TrustDomain(), Role: identity.Cluster, Name: cluster}
	chain, err := s.authority.IssueRegistered(key, id, s.ttl, registration)
	var leaf *x509.Certificate
	if err == nil {
		leaf, err = x509.ParseCertificate(chain[0])
	}
	if err != nil {
		s.log.Error("a certificate cannot be issued", telemetry.Cluster(cluster), telemetry.Err(err))
		return nil, time.Time{}, status.Error(codes.Internal, "the hub cannot issue certificates now")
	}
	return &registrationv1.Certificate{
		Chain:       chain,
		Authorities: [][]byte{s.authority.Certificate().Raw},
		ExpiresAt:   timestamppb.New(leaf.NotAfter),
	}, identity.IssuedAt(leaf), nil
}
