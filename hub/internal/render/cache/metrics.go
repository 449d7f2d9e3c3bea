package cache

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are the metrics of a cache.
type metrics struct {
	renders prometheus.Histogram
	answers *prometheus.CounterVec // by origin: memory, store, render, failed
}

// newMetrics registers the metrics, unless there is no registry.
func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	return &metrics{
		renders: f.NewHistogram(prometheus.HistogramOpts{
			Name: "nave_render_seconds", Help: "How long one render took.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
		}),
		answers: f.NewCounterVec(prometheus.CounterOpts{
			Name: "nave_render_answers_total",
			Help: "Requests for renders, by origin of the result: memory, store, render, failed.",
		}, []string{"by"}),
	}
}
