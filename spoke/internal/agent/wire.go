package agent

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/inventory"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// reportApplication reports an application. If a message was left out because it may quote a sealed value, it learns these.
func (a *Agent) reportApplication(r Report) {
	a.Reporter.Update(r.Application, a.wireReport(r))
	a.Metrics.ready.WithLabelValues(labels(r.Application)...).Set(readiness(r.Ready.Status))
	quotes := func(o inventory.ObjectHealth) bool { return o.Message != "" }
	if !a.discretion(r.Application).all && slices.ContainsFunc(r.Health.Unhealthy, quotes) {
		a.startLearning(r.Application)
	}
}

// wireReport writes a report as the hub reads it, without the values of sealed files.
func (a *Agent) wireReport(r Report) *spokev1.ApplicationReport {
	d := a.discretion(r.Application)
	w := &spokev1.ApplicationReport{
		Name:   r.Application.Message(),
		Digest: r.Entry.Digest[:], Revision: r.Entry.Revision,
		Ready: r.Ready.Status, Reason: r.Ready.Reason, Message: d.text(r.Ready.Message), Since: timestamppb.New(r.Ready.Since),
		Current: uint32(r.Health.Current), InProgress: uint32(r.Health.InProgress), Failed: uint32(r.Health.Failed),
		DriftRepaired: r.Drift, HandledRequest: r.Applied.HandledRequest, Inventory: wireInventory(a.owned(r.Application)),
	}
	if !r.Applied.Digest.IsZero() {
		w.AppliedDigest, w.AppliedRevision = r.Applied.Digest[:], r.Applied.Revision
	}
	if !r.Healthy.Digest.IsZero() {
		w.HealthyDigest, w.HealthyRevision = r.Healthy.Digest[:], r.Healthy.Revision
	}
	w.HeldPrune = a.wireHeld(r)
	for _, o := range r.Refused {
		w.Objects = append(w.Objects, &spokev1.ObjectReport{Object: wireObject(o.Object), Status: condition.Refused,
			Message: d.text(o.Message), Since: w.Since})
	}
	for _, o := range r.Health.Unhealthy {
		w.Objects = append(w.Objects, &spokev1.ObjectReport{Object: wireObject(o.ID), Status: string(o.Status),
			Message: d.said(o), Since: timestamppb.New(o.Since)})
	}
	return w
}

// wireInventory writes the objects that an application owns, in the order of apply, as many as the hub takes.
func wireInventory(v *inventory.Inventory) []*bundlev1.ObjectIdentity {
	ids := v.IDs()
	ids = ids[:min(len(ids), reporting.MaxInventory)]
	objects := make([]*bundlev1.ObjectIdentity, len(ids))
	for i, id := range ids {
		objects[i] = v.Identity(id).Message()
	}
	return objects
}

// wireObject writes an object whose version does not count.
func wireObject(id manifest.ID) *bundlev1.ObjectIdentity {
	return &bundlev1.ObjectIdentity{Group: id.Group, Kind: id.Kind, Namespace: id.Namespace, Name: id.Name}
}

// wireHeld writes the prune that is held, nil when there is none.
func (a *Agent) wireHeld(r Report) *spokev1.HeldPrune {
	if r.Held == nil {
		return nil
	}
	w := &spokev1.HeldPrune{Digest: r.Held.Digest[:], Total: uint32(len(r.Held.Objects))}
	owned := a.owned(r.Application)
	for _, id := range r.Held.Objects[:min(len(r.Held.Objects), reporting.MaxHeld)] {
		w.Objects = append(w.Objects, owned.Identity(id).Message())
	}
	return w
}

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
