package dispatch

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics carry no cluster labels: their number does not grow with the fleet, and a deleted cluster leaves none behind.
type metrics struct {
	commitToLive prometheus.Histogram
	acks         *prometheus.CounterVec
	fetched      prometheus.Counter
}

// liveBuckets reach from a small change on a quiet hub to a spoke that was away for an hour.
var liveBuckets = []float64{.025, .05, .1, .15, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600}

func newMetrics(r prometheus.Registerer, connected func() int) *metrics {
	m := &metrics{
		commitToLive: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "nave_commit_to_live_seconds",
			Help:    "From the moment the hub first saw a change to the spoke's word that it is applied.",
			Buckets: liveBuckets,
		}),
		acks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nave_acks_total",
			Help: "Acknowledgements of spokes by stage.",
		}, []string{"stage"}),
		fetched: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nave_fetch_bytes_total",
			Help: "Bytes of blobs sent to spokes, compressed: fetched by them or enclosed in offers.",
		}),
	}
	if r != nil {
		r.MustRegister(m.commitToLive, m.acks, m.fetched, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "nave_connected_spokes",
			Help: "Spokes that have a session now.",
		}, func() float64 { return float64(connected()) }))
	}
	return m
}

// live observes that a change from changedAt is applied now.
func (m *metrics) live(changedAt, now time.Time) {
	if !changedAt.IsZero() {
		m.commitToLive.Observe(max(0, now.Sub(changedAt).Seconds()))
	}
}
