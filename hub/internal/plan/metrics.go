package plan

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are the metrics of the planner.
type metrics struct {
	rounds prometheus.Histogram
	walks  prometheus.Counter
}

// newMetrics registers the metrics, unless there is no registry.
func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	return &metrics{
		rounds: f.NewHistogram(prometheus.HistogramOpts{
			Name: "nave_plan_round_seconds", Help: "How long one round of planning took, renders included.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}),
		walks: f.NewCounter(prometheus.CounterOpts{
			Name: "nave_plan_walks_total", Help: "Graphs of clusters, or of the hub, that were walked.",
		}),
	}
}
