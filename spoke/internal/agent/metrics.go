package agent

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/spoke/internal/apply"
)

// metrics are the Prometheus metrics of an agent.
type metrics struct {
	sequence prometheus.Gauge
	stage    prometheus.Gauge
	verified prometheus.Gauge
	expires  prometheus.Gauge
	ready    *prometheus.GaugeVec
	applies  *prometheus.CounterVec
	seconds  prometheus.Histogram
	drifted  prometheus.Counter
	repaired prometheus.Counter
	repair   prometheus.Histogram
}

// newMetrics registers the metrics of an agent; r may be nil.
func newMetrics(r prometheus.Registerer) metrics {
	f := promauto.With(r)
	return metrics{
		sequence: f.NewGauge(prometheus.GaugeOpts{Name: "nave_spoke_bundle_sequence",
			Help: "Sequence of the accepted bundle."}),
		stage: f.NewGauge(prometheus.GaugeOpts{Name: "nave_spoke_bundle_stage",
			Help: "Stage of the accepted bundle: 1 received, 2 applied, 3 healthy."}),
		verified: f.NewGauge(prometheus.GaugeOpts{Name: "nave_spoke_bundle_verified_timestamp_seconds",
			Help: "When the accepted bundle was verified: when it came, or when the spoke started with it."}),
		expires: f.NewGauge(prometheus.GaugeOpts{Name: "nave_spoke_bundle_expiration_timestamp_seconds",
			Help: "When the accepted bundle expires; 0: there is none."}),
		ready: f.NewGaugeVec(prometheus.GaugeOpts{Name: "nave_spoke_application_ready",
			Help: "1 ready, 0 not, -1 not known yet."}, []string{"kind", "namespace", "name"}),
		applies: f.NewCounterVec(prometheus.CounterOpts{Name: "nave_spoke_objects_applied_total",
			Help: "Objects by the result of their apply or deletion."}, []string{"action"}),
		seconds: f.NewHistogram(prometheus.HistogramOpts{Name: "nave_spoke_apply_seconds",
			Help: "Duration of one application's apply.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 14)}),
		drifted: f.NewCounter(prometheus.CounterOpts{Name: "nave_spoke_drift_seen_total",
			Help: "Objects seen to differ from what was applied."}),
		repaired: f.NewCounter(prometheus.CounterOpts{Name: "nave_spoke_drift_repaired_total",
			Help: "Objects whose drift was repaired."}),
		repair: f.NewHistogram(prometheus.HistogramOpts{Name: "nave_spoke_drift_repair_seconds",
			Help: "From drift seen to repaired.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 14)}),
	}
}

// adopted notes the bundle that was verified now.
func (m metrics) adopted(b adopt, now time.Time) {
	m.sequence.Set(float64(b.id.Sequence))
	m.verified.Set(float64(now.Unix()))
	m.expires.Set(float64(b.expires.Unix()))
}

func (m metrics) count(c *apply.ChangeSet) {
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
