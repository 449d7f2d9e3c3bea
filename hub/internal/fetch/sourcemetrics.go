package fetch

import (
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/hub/api"
)

// maxSourceSeries is how many sources have series of their own. If there are more, only those that the hub has an
// object of have.
const maxSourceSeries = 5000

// sourceMetrics knows how the fetches of each source went. It is a prometheus.Collector. A fetch that objects share has
// the name of one of them, of the hub if it has one.
type sourceMetrics struct {
	mu     sync.Mutex
	series map[string]*sourceSeries // by api.Source.FetchKey
}

// sourceSeries are the series of one source.
type sourceSeries struct {
	name     api.Key
	path     string // of name
	idle     bool   // all members are suspended: nothing is due
	success  time.Time
	interval time.Duration
	failures int
}

var sourceLabels = []string{"kind", "namespace", "name", "cluster"}

func sourceDesc(o prometheus.GaugeOpts) *prometheus.Desc {
	return prometheus.NewDesc(o.Name, o.Help, sourceLabels, nil)
}

var (
	lastSuccess = sourceDesc(prometheus.GaugeOpts{Name: "nave_source_last_success_timestamp_seconds",
		Help: "When the source was fetched successfully last, whether it brought something new or not."})
	sourceInterval = sourceDesc(prometheus.GaugeOpts{Name: "nave_source_interval_seconds",
		Help: "How often the source is to be fetched."})
	sourceFailures = sourceDesc(prometheus.GaugeOpts{Name: "nave_source_consecutive_failures",
		Help: "Fetches of the source that failed since the last one that did not."})
)

// place gives the series of a source the name of its first member; without members the series go.
func (m *sourceMetrics) place(s *scheduled) {
	m.mu.Lock()
	defer m.mu.Unlock()
	of := m.series[s.key]
	if of == nil {
		of = &sourceSeries{}
		m.series[s.key] = of
	}
	if s.members[of.path] == nil {
		of.path = ""
	}
	if of.path == "" {
		for path, member := range s.members {
			of.take(path, member)
		}
	}
	if of.idle = s.idle(); of.path == "" {
		delete(m.series, s.key)
	}
}

// joined is place after one more member.
func (m *sourceMetrics) joined(s *scheduled, path string) {
	m.place(s)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.series[s.key].take(path, s.members[path])
}

// take takes the name of a member if it comes first.
func (s *sourceSeries) take(path string, by *member) {
	if s.path == "" || strings.Compare(path, s.path) < 0 {
		s.path, s.name = path, by.key
	}
}

// note notes how far a source is after a fetch.
func (m *sourceMetrics) note(s *scheduled) {
	m.mu.Lock()
	defer m.mu.Unlock()
	of := m.series[s.key]
	if of == nil {
		return
	}
	of.interval, of.failures = s.interval(), s.failures
	if s.row.Error == "" && s.row.CheckedAt.After(of.success) {
		of.success = s.row.CheckedAt
	}
}

// Describe implements prometheus.Collector.
func (m *sourceMetrics) Describe(to chan<- *prometheus.Desc) {
	to <- lastSuccess
	to <- sourceInterval
	to <- sourceFailures
}

// Collect implements prometheus.Collector.
func (m *sourceMetrics) Collect(to chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.series {
		if s.idle || len(m.series) > maxSourceSeries && s.name.Cluster != "" {
			continue
		}
		send := func(d *prometheus.Desc, value float64) {
			to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, s.name.Kind, s.name.Namespace, s.name.Name,
				s.name.Cluster)
		}
		send(sourceFailures, float64(s.failures))
		if s.interval > 0 {
			send(sourceInterval, s.interval.Seconds())
		}
		if !s.success.IsZero() {
			send(lastSuccess, float64(s.success.UnixMilli())/1000)
		}
	}
}
