package agent

import (
	"errors"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/inventory"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// perform reports an application. If a message was left out because it may quote a sealed value, perform starts to
// learn the values.
func (t tell) perform(a *Agent) {
	name := t.entry.Name
	w := a.wireReport(t)
	a.Reporter.Update(name, w)
	a.logFailure(name, w)
	a.metrics.ready.WithLabelValues(labels(name)...).Set(readiness(t.ready.Status))
	quotes := func(o inventory.ObjectHealth) bool { return o.Message != "" }
	if !a.discretion(name).all && slices.ContainsFunc(t.health.Unhealthy, quotes) {
		a.startLearning(name)
	}
}

// logFailure logs that an application is not ready, and its refused objects, if its report says something else than the
// last time. A wait for a dependency is no failure of its own.
func (a *Agent) logFailure(name bundle.ApplicationName, w *spokev1.ApplicationReport) {
	if w.Ready != condition.False || w.Reason == condition.DependencyNotReady {
		delete(a.failing, name)
		return
	}
	failing := w.Reason + ": " + w.Message
	if a.failing[name] == failing {
		return
	}
	a.failing[name] = failing
	refused := 0
	for _, o := range w.Objects {
		if o.Status != condition.Refused {
			continue
		}
		if refused++; refused > maxLogged {
			break
		}
		a.Log.Warn("object not applied", telemetry.Application(name), telemetry.Object(bundle.ObjectFrom(o.Object).ID()),
			telemetry.Err(errors.New(o.Message)))
	}
	a.Log.Warn("application not ready", telemetry.Application(name), telemetry.Reason(w.Reason),
		telemetry.Err(errors.New(w.Message)))
}

// maxLogged is how many refused objects of an application are logged, each in a line.
const maxLogged = 10

// wireReport returns the protocol message of a report, without the values of sealed files.
func (a *Agent) wireReport(t tell) *spokev1.ApplicationReport {
	d, owned := a.discretion(t.entry.Name), a.owned(t.entry.Name)
	w := &spokev1.ApplicationReport{
		Name:   t.entry.Name.Message(),
		Digest: t.entry.Digest[:], Revision: t.entry.Revision,
		Ready: t.ready.Status, Reason: t.ready.Reason, Message: d.text(t.ready.Message),
		Since:   timestamppb.New(t.ready.Since),
		Current: uint32(t.health.Current), InProgress: uint32(t.health.InProgress), Failed: uint32(t.health.Failed),
		DriftRepaired: t.drift, HandledRequest: t.mark.HandledRequest,
		Inventory: wireObjects(owned, owned.IDs(), reporting.MaxInventory),
	}
	w.Keys, w.Release = t.keys.wire(d), t.release.wire(d)
	if !t.mark.Digest.IsZero() && t.mark.Pinned == 0 {
		w.AppliedDigest, w.AppliedRevision = t.mark.Digest[:], t.mark.Revision
	}
	if !t.mark.HealthyDigest.IsZero() {
		w.HealthyDigest, w.HealthyRevision = t.mark.HealthyDigest[:], t.mark.HealthyRevision
	}
	if t.held != nil {
		w.HeldPrune = &spokev1.HeldPrune{Digest: t.held.Digest[:], Total: uint32(len(t.held.Objects)),
			Objects: wireObjects(owned, t.held.Objects, reporting.MaxHeld)}
	}
	for _, r := range t.drifts {
		w.Drifts = append(w.Drifts, r.message(d))
	}
	for _, o := range t.refused {
		w.Objects = append(w.Objects, &spokev1.ObjectReport{Object: wireObject(o.Object), Status: condition.Refused,
			Message: d.text(o.Message), Since: w.Since})
	}
	for _, o := range t.health.Unhealthy {
		w.Objects = append(w.Objects, &spokev1.ObjectReport{Object: wireObject(o.ID), Status: string(o.Status),
			Message: d.said(o), Since: timestamppb.New(o.Since)})
	}
	return w
}

// wireObjects returns the first objects of an inventory as protocol messages, at most as many as the hub accepts.
func wireObjects(v *inventory.Inventory, ids []manifest.ID, most int) []*bundlev1.ObjectIdentity {
	objects := make([]*bundlev1.ObjectIdentity, min(len(ids), most))
	for i := range objects {
		objects[i] = v.Identity(ids[i]).Message()
	}
	return objects
}

// wireObject returns the protocol message of an object, without its version.
func wireObject(id manifest.ID) *bundlev1.ObjectIdentity {
	return &bundlev1.ObjectIdentity{Group: id.Group, Kind: id.Kind, Namespace: id.Namespace, Name: id.Name}
}
