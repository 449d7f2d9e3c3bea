// Package registration gives clusters their identity: a join token, once, for a first certificate, and from then on a
// new certificate for the old one. The name in a certificate is the one that the operator made the token for, or that
// the caller's certificate already has; nothing that a request says about names counts.
package registration

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/hub/internal/pace"
	"github.com/navefleet/nave/hub/internal/store"
	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
	"github.com/navefleet/nave/shared/identity"
)

// DefaultTTL is how long a cluster's certificate is valid unless Config says otherwise. It is renewed at half-life, so
// this much outage of hub or spoke is survived without joining again: a blocked or removed cluster is refused whatever
// its certificate says, so that a short life would guard little.
const DefaultTTL = 90 * 24 * time.Hour

// How often one cluster may be heard: by certificates that are issued for it, which are logged and written, and by
// refusals that are logged and recorded. Those who know no token share the refusals of the cluster without a name.
const (
	issueRate   = 0.2 // per second
	issueBurst  = 10
	recordRate  = 0.2
	recordBurst = 20
)

// Config is what a Server needs. Store and Authority must be set.
type Config struct {
	Store     *store.Store
	Authority *identity.Authority
	TTL       time.Duration         // of certificates; DefaultTTL
	Log       *slog.Logger          // slog.Default()
	Metrics   prometheus.Registerer // nil: none are exposed
	Now       func() time.Time      // time.Now
}

// Server serves registrationv1.RegistrationService.
type Server struct {
	registrationv1.UnimplementedRegistrationServiceServer

	store     *store.Store
	authority *identity.Authority
	ttl       time.Duration
	log       *slog.Logger
	now       func() time.Time
	issued    prometheus.Counter
	refused   *prometheus.CounterVec
	issuing   *pace.Paces
	recording *pace.Paces // of refusals; beyond it, they are only counted
}

// New returns a Server.
func New(c Config) *Server {
	s := &Server{
		store: c.Store, authority: c.Authority, ttl: c.TTL, log: c.Log, now: c.Now,
		issuing: pace.New(issueRate, issueBurst), recording: pace.New(recordRate, recordBurst),
		issued: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nave_certificates_issued_total", Help: "Certificates issued to clusters.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nave_registrations_refused_total", Help: "Join tokens that were not accepted, by cause.",
		}, []string{"cause"}),
	}
	if s.ttl <= 0 {
		s.ttl = DefaultTTL
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.now == nil {
		s.now = time.Now
	}
	if c.Metrics != nil {
		c.Metrics.MustRegister(s.issued, s.refused)
	}
	return s
}
