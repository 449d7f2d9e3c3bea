// Package registration issues the certificates of clusters. A join token gives the first certificate, once; from then
// on a valid certificate gives the next one. The name in a certificate is the cluster of the join token, or the name in
// the caller's certificate. Names in requests do not count.
package registration

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/hub/internal/pace"
	"github.com/navefleet/nave/hub/internal/store"
	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
	"github.com/navefleet/nave/shared/identity"
)

// DefaultTTL is how long a cluster's certificate is valid by default. A spoke renews its certificate at half-life, so
// that it need not join again after an outage of hub or spoke of less than half of DefaultTTL. A shorter life would
// protect little: the hub refuses a blocked or removed cluster whatever its certificate.
const DefaultTTL = 90 * 24 * time.Hour

// How often the hub issues certificates for one cluster, and how often it logs and records refusals about one. Callers
// with an unknown token share the refusals of the cluster "".
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
	recording *pace.Paces // of refusals; further ones are only counted
}

// New returns a Server.
func New(c Config) *Server {
	s := &Server{
		store: c.Store, authority: c.Authority, ttl: cmp.Or(c.TTL, DefaultTTL), log: cmp.Or(c.Log, slog.Default()),
		now:     c.Now,
		issuing: pace.New(issueRate, issueBurst), recording: pace.New(recordRate, recordBurst),
		issued: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nave_certificates_issued_total", Help: "Certificates issued to clusters.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nave_registrations_refused_total", Help: "Join tokens that were not accepted, by cause.",
		}, []string{"cause"}),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if c.Metrics != nil {
		c.Metrics.MustRegister(s.issued, s.refused)
	}
	return s
}
