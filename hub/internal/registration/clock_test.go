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
	"github.com/navefleet/nave/shared/wording"
)

const year = 365 * 24 * time.Hour

// set moves the clock of everybody, and gives the server a certificate of the new time, as the hub does.
func (r *rig) set(by time.Duration) {
	r.t.Helper()
	r.later(by)
	fresh := r.credential(r.authority, identity.Hub, "hub")
	r.server.Set(*fresh.Certificate(), []*x509.Certificate{r.authority.Certificate()})
}

// spoke is a key and the certificate that the hub gave for it.
type spoke struct {
	*rig
	key         crypto.Signer
	certificate *registrationv1.Certificate
}

// register shows a token; a nil spoke has no key yet.
func (r *rig) register(token string, s *spoke) (*spoke, error) {
	r.t.Helper()
	var key crypto.Signer
	if s != nil {
		key = s.key
	} else {
		key, _ = newCSR(r.t)
	}
	csr, err := identity.NewCSR(key)
	must(r.t, err)
	answer, err := r.stranger().Register(r.t.Context(), &registrationv1.RegisterRequest{Token: token, Csr: csr})
	return &spoke{r, key, answer.GetCertificate()}, err
}

// renew asks for another certificate with the one that the spoke has, and takes it.
func (s *spoke) renew() error {
	s.t.Helper()
	c := &identity.Credential{}
	c.Set(tls.Certificate{Certificate: s.certificate.Chain, PrivateKey: s.key},
		[]*x509.Certificate{s.authority.Certificate()})
	key, csr := newCSR(s.t)
	answer, err := s.dial(identity.ClientTLS(c, identity.ID{TrustDomain: s.authority.TrustDomain()})).Renew(s.t.Context(),
		&registrationv1.RenewRequest{Csr: csr})
	if err == nil {
		s.key, s.certificate = key, answer.Certificate
	}
	return err
}

// TestClock_registration: a spoke that registered while the clocks were wrong gets in, and is renewed, when they are
// right.
func TestClock_registration(t *testing.T) {
	for name, off := range map[string]time.Duration{
		"minutes_ahead": 4 * time.Minute, "minutes_behind": -4 * time.Minute, "year_ahead": year, "right": 0,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.set(off)
			r.token("secret", "a")
			s, err := r.register("secret", nil)
			must(t, err)
			r.set(-off)
			if off == year {
				if err := s.renew(); err == nil {
					t.Fatal("a certificate that begins in a year is let in")
				}
				s, err = r.register("secret", s) // the same request, again
				must(t, err)
			}
			must(t, s.renew())
			must(t, s.renew())
			leaf, err := x509.ParseCertificate(s.certificate.Chain[0])
			must(t, err)
			if at := identity.IssuedAt(leaf); time.Since(at).Abs() > time.Minute {
				t.Errorf("the certificate is of %s, now is %s", at, time.Now())
			}
		})
	}
}

// TestClock_reregistration: what a second token ends stays ended, although the clock was ahead when the first was used,
// so that the older certificate has the later date.
func TestClock_reregistration(t *testing.T) {
	r := newRig(t)
	r.token("first", "a")
	r.token("second", "a")
	r.set(4 * time.Minute)
	old, err := r.register("first", nil)
	must(t, err)
	r.set(-4 * time.Minute)
	fresh, err := r.register("second", nil)
	must(t, err)
	must(t, fresh.renew())
	wantCode(t, old.renew(), codes.PermissionDenied)
	_, err = r.register("first", old)
	refused(t, err)
}

// TestClock_older_hub: where an older hub wrote down only when the cluster registered, a certificate counts from then
// on. None is given that would not count.
func TestClock_older_hub(t *testing.T) {
	for name, tt := range map[string]struct {
		registered time.Duration // from now
		later      time.Duration // until the certificate that is shown was issued
		want       codes.Code
		says       string
	}{
		"registered_before": {registered: -time.Hour, want: codes.OK},
		"registered_after": {registered: time.Minute, want: codes.PermissionDenied,
			says: "before it registered last"},
		"clock_went_back": {registered: time.Minute, later: 2 * time.Minute, want: codes.Unavailable,
			says: "try again"},
		"clock_went_back_a_little": {registered: 0, later: time.Minute, want: codes.OK},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
				return store.Spokes.Put(tx, "a", store.Spoke{RegisteredAt: r.clock().Add(tt.registered).Truncate(time.Second)})
			}))
			r.set(tt.later)
			client := r.as(identity.Cluster, "a")
			r.set(-tt.later)
			_, csr := newCSR(t)
			_, err := client.Renew(t.Context(), &registrationv1.RenewRequest{Csr: csr})
			wantCode(t, err, tt.want)
			if !strings.Contains(status.Convert(err).Message(), tt.says) {
				t.Errorf("it says %v", err)
			}
		})
	}
}

// TestClock_token: a join token holds for as long as it was made for, however the clock was set. Operators see both
// times.
func TestClock_token(t *testing.T) {
	for name, tt := range map[string]struct {
		off    time.Duration // of the clock that makes the token; it is to hold for an hour
		refuse string
	}{
		"right":       {0, ""},
		"half_ahead":  {30 * time.Minute, ""},
		"half_behind": {-30 * time.Minute, ""},
		"year_ahead":  {year, "made by a clock that was ahead, at "},
		"year_behind": {-year, "expired at "},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			made := r.clock().Add(tt.off)
			must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
				return store.JoinTokens.Put(tx, store.TokenKey("secret"),
					store.JoinToken{Cluster: "a", CreatedAt: made, ExpiresAt: made.Add(time.Hour)})
			}))
			_, err := r.register("secret", nil)
			if tt.refuse == "" {
				must(t, err)
				return
			}
			refused(t, err)
			got := strings.Join(r.events(api.ClusterKey("a")), "\n")
			for _, part := range []string{tt.refuse, ", and it is " + wording.Time(r.clock()) + " now", "nave cluster add"} {
				if !strings.Contains(got, part) {
					t.Errorf("the event %q lacks %q", got, part)
				}
			}
		})
	}
}
