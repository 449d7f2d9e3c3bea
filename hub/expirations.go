package hub

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/shared/identity"
)

// maxOperators is how many operators the hub remembers the certificates of.
const maxOperators = 1000

// expirations knows when the certificates of the hub and of its operators expire. It is a prometheus.Collector.
type expirations struct {
	server, authority func() time.Time
	now               func() time.Time

	mu        sync.Mutex
	operators map[string]time.Time // by name: the latest end of those that called since the start
}

var expiration = prometheus.GaugeOpts{
	Name: "nave_certificate_expiration_timestamp_seconds",
	Help: "When a certificate expires: the hub's own, that of its authority, or of an operator who called since the " +
		"start.",
}

var expirationDesc = prometheus.NewDesc(expiration.Name, expiration.Help, []string{"certificate", "name"}, nil)

func (h *Hub) newExpirations() *expirations {
	e := &expirations{
		server: h.credential.NotAfter, authority: func() time.Time { return h.authority.Certificate().NotAfter },
		now: h.config.Now, operators: map[string]time.Time{},
	}
	h.registry.MustRegister(e)
	return e
}

// saw notes the certificate of an operator who called.
func (e *expirations) saw(c identity.Caller) {
	if c.Role != identity.Operator {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if last, known := e.operators[c.Name]; c.ExpiresAt.After(last) && (known || len(e.operators) < maxOperators) {
		e.operators[c.Name] = c.ExpiresAt
	}
}

// Describe implements prometheus.Collector.
func (e *expirations) Describe(to chan<- *prometheus.Desc) { to <- expirationDesc }

// Collect implements prometheus.Collector. It forgets operators whose certificates have expired: they cannot call.
func (e *expirations) Collect(to chan<- prometheus.Metric) {
	send := func(at time.Time, labels ...string) {
		to <- prometheus.MustNewConstMetric(expirationDesc, prometheus.GaugeValue, float64(at.Unix()), labels...)
	}
	send(e.server(), "server", "")
	send(e.authority(), "authority", "")
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, at := range e.operators {
		if at.Before(e.now()) {
			delete(e.operators, name)
			continue
		}
		send(at, "operator", name)
	}
}
