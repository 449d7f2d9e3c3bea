package agent

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/apply"
)

// Metrics are the numbers of an agent.
type Metrics struct {
	sequence prometheus.Gauge
	stage    prometheus.Gauge
	ready    *prometheus.GaugeVec
	applies  *prometheus.CounterVec
	seconds  prometheus.Histogram
	drifted  prometheus.Counter
	repaired prometheus.Counter
	repair   prometheus.Histogram
}

// NewMetrics returns metrics, registered when there is a registry.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	name := func(s string) string { return prometheus.BuildFQName(telemetry.Namespace, "spoke", s) }
	m := &Metrics{
		sequence: prometheus.NewGauge(prometheus.GaugeOpts{Name: name("bundle_sequence"),
			Help: "Sequence of the accepted bundle."}),
		stage: prometheus.NewGauge(prometheus.GaugeOpts{Name: name("bundle_stage"),
			Help: "How far the accepted bundle has come: 1 received, 2 applied, 3 healthy."}),
		ready: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name("application_ready"),
			Help: "1 ready, 0 not, -1 not known yet."}, []string{"kind", "namespace", "name"}),
		applies: prometheus.NewCounterVec(prometheus.CounterOpts{Name: name("objects_applied_total"),
			Help: "Objects by what became of them."}, []string{"action"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: name("apply_seconds"),
			Help: "Duration of one application's apply.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 14)}),
		drifted: prometheus.NewCounter(prometheus.CounterOpts{Name: name("drift_seen_total"),
			Help: "Objects seen to differ from what was applied."}),
		repaired: prometheus.NewCounter(prometheus.CounterOpts{Name: name("drift_repaired_total"),
			Help: "Objects whose drift was repaired."}),
		repair: prometheus.NewHistogram(prometheus.HistogramOpts{Name: name("drift_repair_seconds"),
			Help: "From drift seen to repaired.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 14)}),
	}
	if registry != nil {
		registry.MustRegister(m.sequence, m.stage, m.ready, m.applies, m.seconds, m.drifted, m.repaired, m.repair)
	}
	return m
}

func (m *Metrics) count(c *apply.ChangeSet) {
	m.seconds.Observe(c.Duration.Seconds())
	for _, e := range c.Entries {
		m.applies.WithLabelValues(string(e.Action)).Inc()
	}
}

func labels(o bundle.ApplicationName) []string { return []string{o.Kind, o.Namespace, o.Name} }

func readiness(status string) float64 {
	switch status {
	case condition.True:
		return 1
	case condition.False:
		return 0
	}
	return -1
}
