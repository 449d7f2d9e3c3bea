package publish

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are the metrics of the publisher.
type metrics struct {
	signed prometheus.Counter
	swept  prometheus.Counter
	rounds prometheus.Histogram
}

// newMetrics registers the metrics, unless there is no registry.
func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	return &metrics{
		signed: f.NewCounter(prometheus.CounterOpts{
			Name: "nave_bundles_signed_total", Help: "Bundles that were signed.",
		}),
		swept: f.NewCounter(prometheus.CounterOpts{
			Name: "nave_blobs_swept_total", Help: "Unreachable blobs that were deleted.",
		}),
		rounds: f.NewHistogram(prometheus.HistogramOpts{
			Name: "nave_publish_round_seconds", Help: "How long it took to sign and write the bundles of one round.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
		}),
	}
}
