package agent

import (
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/spoke/internal/inventory"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// reportApplication reports an application. If a message was left out because it may quote a sealed value, it learns
// these.
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
		Ready: r.Ready.Status, Reason: r.Ready.Reason, Message: d.text(r.Ready.Message),
		Since:   timestamppb.New(r.Ready.Since),
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
