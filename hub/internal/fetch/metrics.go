package fetch

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/navefleet/nave/hub/internal/store"
)

type metrics struct {
	seconds  *prometheus.HistogramVec
	failures *prometheus.CounterVec
	sources  *sourceMetrics
}

// newMetrics registers the metrics of the loop; r may be nil.
func newMetrics(r prometheus.Registerer) metrics {
	f, sources := promauto.With(r), &sourceMetrics{series: map[string]*sourceSeries{}}
	if r != nil {
		r.MustRegister(sources)
	}
	return metrics{
		sources: sources,
		seconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "nave_source_fetch_seconds", Help: "How long one fetch of a source took, by whether it brought something new.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 14),
		}, []string{"result"}),
		failures: f.NewCounterVec(prometheus.CounterOpts{
			Name: "nave_source_fetch_failures_total", Help: "Fetches of sources that failed, by the reason of the condition.",
		}, []string{"reason"}),
	}
}

// observe counts one fetch, which makes now the row of its source.
func (m metrics) observe(r result, now store.Fetched) {
	label := "unchanged"
	switch {
	case r.err != nil:
		label = "failed"
		m.failures.WithLabelValues(now.Reason).Inc()
	case !r.source.row.Artifact.Equal(now.Artifact):
		label = "new"
	}
	m.seconds.WithLabelValues(label).Observe(r.took.Seconds())
}
