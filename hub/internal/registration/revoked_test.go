package registration

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
	"github.com/navefleet/nave/shared/identity"
)

// join registers a cluster's spoke with a token.
func (r *rig) join(token string, key crypto.Signer, csr []byte) registrationv1.RegistrationServiceClient {
	r.t.Helper()
	answer, err := r.stranger().Register(r.t.Context(), &registrationv1.RegisterRequest{Token: token, Csr: csr})
	must(r.t, err)
	c := &identity.Credential{}
	c.Set(tls.Certificate{Certificate: answer.Certificate.Chain, PrivateKey: key},
		[]*x509.Certificate{r.authority.Certificate()})
	return r.dial(identity.ClientTLS(c, identity.ID{TrustDomain: r.authority.TrustDomain()}))
}

// past moves all that was registered and spent so far into the past: registrations within one second are one to a
// certificate.
func (r *rig) past(cluster string, by time.Duration) {
	r.t.Helper()
	must(r.t, r.store.Update(r.t.Context(), func(tx *store.Tx) error {
		row, _, err := store.Spokes.Get(tx, cluster)
		must(r.t, err)
		row.RegisteredAt = row.RegisteredAt.Add(-by)
		must(r.t, store.Spokes.Put(tx, cluster, row))
		return store.JoinTokens.Scan(tx, "", func(key string, token store.JoinToken) error {
			if token.UsedAt.IsZero() {
				return nil
			}
			token.UsedAt = token.UsedAt.Add(-by)
			return store.JoinTokens.Put(tx, key, token)
		})
	}))
}

func TestRenew_registration(t *testing.T) {
	for name, tt := range map[string]struct {
		registered time.Duration // from now
		none       bool
		want       codes.Code
		says       string
	}{
		"issued_at_registration": {want: codes.OK},
		"issued_after":           {registered: -48 * time.Hour, want: codes.OK},
		"issued_before": {registered: 2 * time.Second, want: codes.PermissionDenied,
			says: "before it registered last"},
		"issued_before_valid_then": {registered: 4 * time.Minute, want: codes.PermissionDenied,
			says: "before it registered last"},
		"not_registered": {none: true, want: codes.PermissionDenied, says: "not registered"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			client := r.as(identity.Cluster, "a")
			if !tt.none {
				must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
					// to the second, as certificates count time; Register writes it so
					at := identity.IssuedAt(r.leaf(identity.Cluster, "a")).Add(tt.registered)
					return store.Spokes.Put(tx, "a", store.Spoke{RegisteredAt: at})
				}))
			}
			_, csr := newCSR(t)
			_, err := client.Renew(t.Context(), &registrationv1.RenewRequest{Csr: csr})
			wantCode(t, err, tt.want)
			if !strings.Contains(status.Convert(err).Message(), tt.says) {
				t.Errorf("it says %v", err)
			}
		})
	}
}

// leaf is a certificate of now.
func (r *rig) leaf(role, name string) *x509.Certificate {
	r.t.Helper()
	leaf, err := x509.ParseCertificate(r.credential(r.authority, role, name).Certificate().Certificate[0])
	must(r.t, err)
	return leaf
}

func TestReregistration(t *testing.T) {
	r := newRig(t)
	r.token("first", "a")
	r.token("second", "a")
	key, csr := newCSR(t)
	old := r.join("first", key, csr)
	renew := func(c registrationv1.RegistrationServiceClient) error {
		_, csr := newCSR(t)
		_, err := c.Renew(t.Context(), &registrationv1.RenewRequest{Csr: csr})
		return err
	}
	must(t, renew(old))
	r.past("a", time.Minute)
	must(t, renew(old))
	newKey, newRequest := newCSR(t)
	fresh := r.join("second", newKey, newRequest)
	if row := r.spoke("a"); time.Since(row.RegisteredAt) > 10*time.Second {
		t.Fatalf("registered at %s", row.RegisteredAt)
	}
	must(t, renew(fresh))
	must(t, r.store.Update(t.Context(), func(tx *store.Tx) error { // had it been a second later
		row, _, err := store.Spokes.Get(tx, "a")
		row.RegisteredAt = row.RegisteredAt.Add(time.Second)
		must(t, store.Spokes.Put(tx, "a", row))
		return err
	}))
	wantCode(t, renew(old), codes.PermissionDenied)
	_, err := r.stranger().Register(t.Context(), &registrationv1.RegisterRequest{Token: "first", Csr: csr})
	refused(t, err)
	if got := strings.Join(r.events(api.ClusterKey("a")), "\n"); !strings.Contains(got, "registered with another since") {
		t.Errorf("events: %s", got)
	}
}

func TestRegister_lost_answer(t *testing.T) {
	r := newRig(t)
	r.token("secret", "a")
	key, csr := newCSR(t)
	r.join("secret", key, csr)
	r.past("a", time.Minute)
	before := r.spoke("a").RegisteredAt
	client := r.join("secret", key, csr)
	if at := r.spoke("a").RegisteredAt; !at.Equal(before) {
		t.Errorf("registered at %s, then at %s", before, at)
	}
	_, next := newCSR(t)
	_, err := client.Renew(t.Context(), &registrationv1.RenewRequest{Csr: next})
	must(t, err)
}
