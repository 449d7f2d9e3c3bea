package statemetrics

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/shared/condition"
)

const (
	maxLabel   = 128 // bytes of a revision or a reason
	maxReasons = 100 // of a kind; the rest count as otherReason
)

const otherReason = "Other"

// names are the labels that name an object.
var names = []string{"kind", "namespace", "name", "cluster"}

// A metric has a description that e2e/reference finds by its Opts.
func desc(o prometheus.GaugeOpts, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(o.Name, o.Help, labels, nil)
}

var (
	resourceReady = desc(prometheus.GaugeOpts{Name: "nave_resource_ready",
		Help: "1 ready, 0 not ready, -1 in progress or unknown."}, names...)
	resourceInfo = desc(prometheus.GaugeOpts{Name: "nave_resource_info",
		Help: "Always 1; the labels are the status of the object."},
		append(slices.Clone(names), "ready", "suspended", "reason", "revision")...)
	resources = desc(prometheus.GaugeOpts{Name: "nave_resources",
		Help: "Objects of the hub and of the graphs of clusters."}, "kind", "ready", "suspended")
	unready = desc(prometheus.GaugeOpts{Name: "nave_unready_resources",
		Help: "Objects that are not ready, or not known to be, by the reason of their status."}, "kind", "reason")
	unlisted = desc(prometheus.GaugeOpts{Name: "nave_unlisted_resources",
		Help: "Objects of the graphs of clusters without series of their own, because they are too many."})
	heldRemovals = desc(prometheus.GaugeOpts{Name: "nave_held_removals",
		Help: "Objects whose removal, or the removal of what they gave, waits for nave confirm."}, "cluster")
	clusters   = desc(prometheus.GaugeOpts{Name: "nave_clusters", Help: "Clusters of the hub."})
	registered = desc(prometheus.GaugeOpts{Name: "nave_registered_clusters",
		Help: "Clusters that are registered and not blocked: each should have a session."})
	connected = desc(prometheus.GaugeOpts{Name: "nave_cluster_connected",
		Help: "1 if the spoke of a registered cluster that is not blocked has a session, else 0."}, "cluster")
	certificate = desc(prometheus.GaugeOpts{Name: "nave_cluster_certificate_expiration_timestamp_seconds",
		Help: "When the last certificate of the spoke expires."}, "cluster")
	bundleExpiry = desc(prometheus.GaugeOpts{Name: "nave_cluster_bundle_expiration_timestamp_seconds",
		Help: "When the newest bundle of the cluster expires."}, "cluster")
	lagging = desc(prometheus.GaugeOpts{Name: "nave_cluster_lagging_since_timestamp_seconds",
		Help: "When the oldest content became available that is not live on the cluster yet."}, "cluster")
	refreshed = desc(prometheus.GaugeOpts{Name: "nave_resource_metrics_timestamp_seconds",
		Help: "When the metrics about objects were up to date last."})
)

// Describe implements prometheus.Collector.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		resourceReady, resourceInfo, resources, unready, unlisted, heldRemovals, clusters, registered, connected,
		certificate, bundleExpiry, lagging, refreshed,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector. Before the first refresh has ended it collects nothing: a part of the
// objects would read as all of them.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	c.ask()
	for _, m := range c.metrics() {
		to <- m
	}
}

// metrics returns what a scrape shows.
func (c *Collector) metrics() []prometheus.Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.current {
		return nil
	}
	x := &exposition{}
	x.add(refreshed, seconds(c.at))
	c.state.expose(x)
	return x.metrics
}

// exposition collects metrics.
type exposition struct{ metrics []prometheus.Metric }

func (x *exposition) add(d *prometheus.Desc, value float64, labels ...string) {
	x.metrics = append(x.metrics, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...))
}

// time adds a time, unless there is none.
func (x *exposition) time(d *prometheus.Desc, at time.Time, labels ...string) {
	if !at.IsZero() {
		x.add(d, seconds(at), labels...)
	}
}

func seconds(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }

// expose adds the metrics about all objects.
func (s *state) expose(x *exposition) {
	classes, held, unnamed, expected := map[class]int{}, 0, 0, 0
	for key := range s.objects {
		o := s.summary(key)
		x.object(o, true)
		classes[classOf(o)]++
		if o.Held {
			held++
		}
	}
	if held > 0 {
		x.add(heldRemovals, float64(held), "")
	}
	x.add(clusters, float64(len(s.clusters)))
	for name, c := range s.clusters {
		x.object(c.Summary, len(s.clusters) <= s.limit || c.Ready != condition.True || c.Suspended)
		x.cluster(name, c)
		classes[classOf(c.Summary)]++
		for of, n := range c.classes {
			classes[of] += n
		}
		for _, o := range c.Objects {
			x.object(o, true)
		}
		unnamed += c.size - len(c.Objects)
		if c.Expected {
			expected++
		}
	}
	x.add(registered, float64(expected))
	x.add(unlisted, float64(unnamed))
	x.counts(classes)
}

// object adds the series of one object, with its status in labels if it is described. A Cluster has its own name as the
// label cluster.
func (x *exposition) object(o status.Summary, described bool) {
	of := []string{o.Key.Kind, o.Key.Namespace, o.Key.Name, api.ClusterOf(o.Key.Path())}
	x.add(resourceReady, readiness(o.Ready), of...)
	if !described {
		return
	}
	x.add(resourceInfo, 1, append(of, o.Ready, strconv.FormatBool(o.Suspended), text(o.Reason), text(o.Revision))...)
}

// cluster adds the series of one cluster beside those of its objects.
func (x *exposition) cluster(name string, c *cluster) {
	if c.Expected {
		x.add(connected, map[bool]float64{true: 1}[c.Connected], name)
	}
	if c.held > 0 {
		x.add(heldRemovals, float64(c.held), name)
	}
	x.time(certificate, c.CertificateExpires, name)
	x.time(bundleExpiry, c.BundleExpires, name)
	x.time(lagging, c.LaggingSince, name)
}

// counts adds the numbers of objects of each class.
func (x *exposition) counts(classes map[class]int) {
	all, bad := map[class]int{}, map[class]int{}
	for c, n := range classes {
		all[class{kind: c.kind, ready: c.ready, suspended: c.suspended}] += n
		if c.ready != condition.True {
			bad[class{kind: c.kind, reason: text(c.reason)}] += n
		}
	}
	for c, n := range all {
		x.add(resources, float64(n), c.kind, c.ready, strconv.FormatBool(c.suspended))
	}
	for c, n := range few(bad) {
		x.add(unready, float64(n), c.kind, c.reason)
	}
}

// few returns the numbers with at most maxReasons of each kind: the reasons of reports are texts of spokes.
func few(numbers map[class]int) map[class]int {
	kept, seen := map[class]int{}, map[string]int{}
	for _, c := range slices.SortedFunc(maps.Keys(numbers), func(a, b class) int {
		return cmp.Or(numbers[b]-numbers[a], strings.Compare(a.reason, b.reason))
	}) {
		into := c
		if seen[c.kind]++; seen[c.kind] > maxReasons {
			into.reason = otherReason
		}
		kept[into] += numbers[c]
	}
	return kept
}

func readiness(ready string) float64 {
	switch ready {
	case condition.True:
		return 1
	case condition.False:
		return 0
	}
	return -1
}

// text returns a short label.
func text(s string) string {
	if len(s) > maxLabel {
		s = s[:maxLabel]
	}
	return strings.ToValidUTF8(s, "")
}
