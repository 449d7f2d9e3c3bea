package registration

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
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

// check returns the cluster that the token is for. With an error, the cluster is set if it is known.
func (s *Server) check(tx *store.Tx, digest string, key manifest.Digest) (string, error) {
	token, ok, err := store.JoinTokens.Get(tx, digest)
	switch {
	case err != nil:
		return "", err
	case !ok:
		return "", errUnknown
	case !token.UsedAt.IsZero() && token.UsedBy != key:
		return token.Cluster, errUsed
	case !s.now().Before(token.ExpiresAt):
		return token.Cluster, errExpired
	}
	if err := admitted(tx, token.Cluster); err != nil || token.UsedAt.IsZero() {
		return token.Cluster, err
	}
	row, _, err := store.Spokes.Get(tx, token.Cluster)
	if err == nil && token.UsedAt.Before(row.RegisteredAt) {
		err = errStale
	}
	return token.Cluster, err
}

// admitted returns errDenied unless the cluster exists and is not blocked.
func admitted(tx *store.Tx, cluster string) error {
	row, ok, err := store.Resources.Get(tx, clusterKey(cluster).Path())
	if err != nil {
		return err
	}
	if !ok {
		return errDenied
	}
	var c api.Cluster
	if err := json.Unmarshal(row.Object, &c); err != nil {
		return fmt.Errorf("read cluster %s: %w", cluster, err)
	}
	if c.Spec.Blocked {
		return errDenied
	}
	return nil
}

func clusterKey(name string) api.Key { return api.Key{Kind: "Cluster", Name: name} }

// issue makes the certificate of a cluster, and says when.
func (s *Server) issue(key crypto.PublicKey, cluster string) (*registrationv1.Certificate, time.Time, error) {
	id := identity.ID{TrustDomain: s.authority.TrustDomain(), Role: identity.Cluster, Name: cluster}
	chain, err := s.authority.Issue(key, id, s.ttl, nil, nil)
	if err != nil {
		s.log.Error("issue certificate", telemetry.Cluster(cluster), telemetry.Err(err))
		return nil, time.Time{}, status.Error(codes.Internal, "the hub cannot issue certificates now")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, time.Time{}, status.Error(codes.Internal, "the hub cannot issue certificates now")
	}
	return &registrationv1.Certificate{
		Chain:       chain,
		Authorities: [][]byte{s.authority.Certificate().Raw},
		ExpiresAt:   timestamppb.New(leaf.NotAfter),
	}, identity.IssuedAt(leaf), nil
}
