package registration

import (
	"context"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
)

// Register implements registrationv1.RegistrationServiceServer.
func (s *Server) Register(ctx context.Context, r *registrationv1.RegisterRequest) (*registrationv1.RegisterResponse,
	error) {
	key, print, err := readCSR(r.Csr)
	if err != nil {
		return nil, err
	}
	if r.Token == "" || len(r.Token) > maxToken {
		s.refuse(ctx, "", errUnknown, "")
		return nil, errToken
	}
	digest := store.TokenKey(r.Token)
	var token store.JoinToken
	err = s.store.View(ctx, func(tx *store.Tx) (err error) {
		token, err = s.check(tx, digest, print)
		return err
	})
	cluster := token.Cluster
	if err != nil {
		return nil, s.answer(ctx, cluster, err, digest)
	}
	if !s.issuing.Allow(cluster, 1, s.now()) {
		return nil, errTooOften
	}
	// before the token is spent: the spoke can try again after an error
	certificate, issued, err := s.issue(key, cluster, registrationOf(digest))
	if err != nil {
		return nil, err
	}
	err = s.store.Update(ctx, func(tx *store.Tx) error { return s.spend(tx, digest, print, certificate, issued) })
	if err != nil {
		return nil, s.answer(ctx, cluster, err, digest)
	}
	s.issued.Inc()
	s.log.Info("cluster registered", telemetry.Cluster(cluster))
	return &registrationv1.RegisterResponse{Certificate: certificate}, nil
}

// spend checks the token again, alone among the writers, and marks it used, so that only one of two callers gets in.
// From then on certificates of the cluster's other registrations are not valid. If a caller lost the answer and asks
// again with the same key, the registration is the same.
func (s *Server) spend(tx *store.Tx, digest string, key manifest.Digest, c *registrationv1.Certificate,
	issued time.Time) error {
	tx.NamesNoBlobs()
	token, err := s.check(tx, digest, key)
	if err != nil {
		return err
	}
	if token.UsedAt.IsZero() {
		token.UsedAt, token.UsedBy = issued, key
	}
	if err := store.JoinTokens.Put(tx, digest, token); err != nil {
		return err
	}
	err = s.note(tx, token.Cluster, c, func(row *store.Spoke) {
		row.RegisteredAt, row.Registration = token.UsedAt, registrationOf(digest)
		if row.Since.IsZero() { // offline until its first session
			row.Since = token.UsedAt
		}
	})
	if err != nil {
		return err
	}
	if err := s.audit(tx, identity.Caller{}, token.Cluster, "registered", "with key "+key.String()); err != nil {
		return err
	}
	return store.Record(tx, store.Event{
		Time: s.now().UTC(), Object: api.ClusterKey(token.Cluster), Type: condition.Normal, Reason: condition.Registered,
		Message: "a spoke registered with key " + key.String(),
	})
}

// audit records that a cluster got a certificate. The caller is empty when the cluster registers.
func (s *Server) audit(tx *store.Tx, caller identity.Caller, cluster, verb, what string) error {
	id := identity.ID{TrustDomain: s.authority.TrustDomain(), Role: identity.Cluster, Name: cluster}
	return store.Audit(tx, store.AuditCertificate, store.AuditEntry{Time: s.now(), By: id.String(),
		Serial: caller.Serial, Verb: verb,
		Objects: []store.AuditedObject{{Key: api.ClusterKey(cluster), Change: what}}})
}

// note applies change to the cluster's Spoke row and writes when the new certificate ends.
func (s *Server) note(tx *store.Tx, cluster string, c *registrationv1.Certificate, change func(*store.Spoke)) error {
	row, _, err := store.Spokes.Get(tx, cluster)
	if err != nil {
		return err
	}
	change(&row)
	row.CertificateExpiry, row.CertificateIssued, row.Expiring = c.ExpiresAt.AsTime(), s.now().UTC(), false
	return store.Spokes.Put(tx, cluster, row)
}
