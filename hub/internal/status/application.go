package status

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
)

// applicationVerdict returns the verdict about an application. The message about a ready application ends with the
// notice of its build. If removals are held, the message counts them: objects that left its tree are still there.
func (f Facts) applicationVerdict() verdict {
	v := f.withReleasePin(f.appliedVerdict())
	if v.ready != condition.True || f.Condition == nil {
		return v
	}
	v.message += f.Condition.Notice
	if f.Condition.Held == 0 {
		return v
	}
	object := "hub"
	if cluster := f.Resource.Key.Cluster; cluster != "" {
		object = "cluster " + cluster
	}
	v.message += fmt.Sprintf("; the removal of %d that it gave before is held: nave confirm %s shows what would go",
		f.Condition.Held, object)
	return v
}

// appliedVerdict joins the result of the hub's render and the report of the spoke.
func (f Facts) appliedVerdict() verdict {
	v := f.hubVerdict()
	switch {
	case f.restored() && f.Condition == nil:
		return f.restoredVerdict()
	case f.Resource.Object == nil && f.Report != nil: // removed from the graph, still in the cluster
		return f.spokeVerdict()
	case f.suspended():
		return f.suspendedVerdict(v)
	case v.ready != condition.True:
		return f.withLast(v)
	case f.Resource.Key.Cluster == "":
		v.reason, v.message = condition.ReconciliationSucceeded, "Applied revision: "+f.Condition.Revision
		return v
	case f.Entry == nil:
		return pending(condition.Progressing, "Rendered; waiting to be planned", v.since)
	case f.Pin != nil:
		return f.withAwaited(f.pinnedVerdict(v))
	case f.Entry.Revision != f.Condition.Revision:
		v.ready, v.reason = condition.Unknown, condition.Progressing
		v.since = later(v.since, f.PlannedAt)
		v.message = fmt.Sprintf("Revision %s is rendered; waiting to be planned. The cluster keeps %s",
			f.Condition.Revision, f.Entry.Revision)
		return v
	case f.behind() && f.isHeld():
		return f.heldTurnVerdict(v)
	case f.behind():
		return f.behindVerdict(v)
	}
	return f.withAwaited(f.spokeVerdict())
}

// withAwaited returns the verdict with that of the renderable whose readiness this one includes.
func (f Facts) withAwaited(v verdict) verdict {
	if v.ready == condition.True && f.Awaited != nil {
		return f.Awaited.waitedFor()
	}
	return v
}

// waitedFor returns the verdict about a renderable that waits for this one to become ready.
func (p *peer) waitedFor() verdict {
	v := verdict{ready: p.verdict.ready, reason: condition.Progressing, since: p.verdict.since}
	switch {
	case v.ready == condition.False:
		v.reason = condition.HealthCheckFailed
	case p.verdict.reason == condition.Pinned: // only an operator ends the wait
		v.reason = condition.Pinned
	}
	v.message = fmt.Sprintf("%s is not ready: %s: %s", p.key.Local(), p.verdict.reason, p.verdict.message)
	return v
}

// suspended reports whether an operator, the spec of the object or the plan suspends the object.
func (f Facts) suspended() bool {
	return f.Resource.IsSuspended() || f.Entry != nil && f.Entry.Suspended
}

// suspendedVerdict returns the last verdict from before the suspension, as in Flux.
func (f Facts) suspendedVerdict(hub verdict) verdict {
	if f.Report != nil {
		return f.spokeVerdict()
	}
	if hub.ready == condition.True && f.Resource.Key.Cluster != "" {
		return pending(condition.Suspended, "Suspended before the spoke applied it", hub.since)
	}
	return hub
}

// withLast adds the state in the cluster to the message of a failure on the hub: the failure there, or the revision
// that the cluster keeps.
func (f Facts) withLast(v verdict) verdict {
	switch r := f.Report; {
	case v.ready != condition.False || r == nil:
	case f.Entry != nil && !f.behind() && r.Ready == condition.False && r.Reason != v.reason:
		v.message += fmt.Sprintf(". In the cluster: %s: %s", r.Reason, r.Message)
	case v.reason == condition.ObjectRefused && r.AppliedRevision != "" && r.AppliedRevision == f.Condition.Attempted:
		v.message += ". The cluster has everything else of " + r.AppliedRevision
	case r.AppliedRevision != "":
		v.message += ". The cluster keeps " + r.AppliedRevision
	}
	return v
}

// behind reports whether the last report of the spoke is missing or of another state than the planned one.
func (f Facts) behind() bool {
	return f.Report == nil || f.Entry == nil || !bytes.Equal(f.Report.Digest, f.Entry.Digest[:]) ||
		f.Report.Revision != f.Entry.Revision
}

// behindVerdict returns the verdict with the cause for which the spoke has not applied the plan.
func (f Facts) behindVerdict(hub verdict) verdict {
	v := verdict{ready: condition.Unknown, reason: condition.Progressing, since: f.behindSince(hub)}
	switch s := f.Spoke; {
	case f.Refusal != nil:
		return f.refusedVerdict()
	case !registered(s):
		v.reason = condition.NotRegistered
		v.message = fmt.Sprintf("The spoke of cluster %s has not registered yet; waiting for it", f.Resource.Key.Cluster)
	case s.Rejected != "":
		v.ready, v.reason, v.message = condition.False, condition.BundleRejected, sentence(s.Rejected)
	case !s.Connected:
		v.reason = condition.Offline
		v.message = fmt.Sprintf("The spoke of cluster %s has been offline since %s; waiting for it", f.Resource.Key.Cluster,
			offlineSince(s))
	case f.heldBackVerdict().ready != condition.True:
		return f.heldBackVerdict()
	case f.Report == nil && s.Unreported > 0:
		return f.unreportedVerdict()
	case f.Bundle != nil && (f.Bundle.ChangedAt.Before(f.PlannedAt) || !acked(s, f.Bundle, bundle.Received)):
		v.message = "The hub is sending revision " + f.Entry.Revision
	default:
		v.message = "The spoke is applying revision " + f.Entry.Revision
	}
	return v
}

// spokeVerdict returns the verdict of the spoke's last report.
func (f Facts) spokeVerdict() verdict {
	r := f.Report
	v := verdict{ready: r.Ready, reason: r.Reason, message: r.Message, since: r.Since.AsTime(),
		stalled: r.Ready == condition.False && stalls[r.Reason]}
	switch v.ready {
	case condition.True, condition.False:
	default:
		v.ready = condition.Unknown
	}
	if v.reason == "" {
		v.reason = condition.Progressing
	}
	if f.Spoke != nil && !f.Spoke.Connected {
		v.message = strings.TrimSpace(v.message + " (the spoke has been offline since " + offlineSince(f.Spoke) + ")")
	}
	return v
}

// applicationDetails sets the fields of Flux's KustomizationStatus.
func (f Facts) applicationDetails(c *conditions, status fields) {
	if o := f.Condition; o != nil {
		status.set("lastAttemptedRevision", o.Attempted)
		if f.Resource.Key.Cluster == "" {
			status.set("lastAppliedRevision", o.Revision)
			status.set("lastAppliedOriginRevision", o.Origin)
		}
	}
	f.setReleasePin(c, status)
	if f.Entry != nil && f.Entry.Bases != "" {
		status["remoteBases"] = f.Entry.Bases.List()
	}
	if r := f.Report; r != nil {
		status.set("lastAppliedRevision", r.AppliedRevision)
		if f.Condition != nil {
			status.set("lastAppliedOriginRevision", f.Condition.OriginOf(r.AppliedRevision))
		}
		status["inventory"] = map[string]any{"entries": inventoryOf(r.Inventory)}
		f.releaseDetails(c, status)
		if drifts := driftDetails(r.Drifts); drifts != nil {
			status["drift"] = drifts
		}
		if total := r.Current + r.InProgress + r.Failed; total > 0 {
			status["objects"] = objectCounts{Total: total, Healthy: r.Current}
		}
		value, reason, message := f.health()
		c.set(condition.Healthy, value, reason, message, r.Since.AsTime())
	}
}

// objectCounts counts the objects of an application by their health.
type objectCounts struct {
	Total   uint32 `json:"total"`
	Healthy uint32 `json:"healthy"`
}

// health returns the condition Healthy of an application that was reported: over its own objects, and over those that
// its readiness includes.
func (f Facts) health() (value, reason, message string) {
	value, reason, message = healthOf(f.Report)
	if value != condition.True {
		return value, reason, message
	}
	if f.Awaited != nil {
		v := f.Awaited.waitedFor()
		return v.ready, v.reason, v.message
	}
	if o := f.Condition; o != nil && o.Ready == condition.False && o.Reason == condition.ObjectRefused {
		return condition.Unknown, o.Reason, message + ", without those that the hub refused: " + o.Message
	}
	return value, reason, message
}

// awaitsHealth reports whether an application is applied and only waits for the health of objects.
func awaitsHealth(r *spokev1.ApplicationReport) bool {
	return r.Reason == condition.Progressing && len(r.Digest) > 0 && bytes.Equal(r.AppliedDigest, r.Digest)
}

// healthOf returns the condition Healthy over the objects of an application, and over those of other applications that
// its health checks name. The counts of the report are only of the former. It is not True while objects are refused.
func healthOf(r *spokev1.ApplicationReport) (value, reason, message string) {
	all := r.Current + r.InProgress + r.Failed
	switch {
	case r.Failed > 0:
		return condition.False, condition.HealthCheckFailed, fmt.Sprintf("%d of %d objects are not healthy%s", r.Failed, all,
			worstOf(r))
	case r.InProgress > 0:
		return condition.Unknown, condition.Progressing, fmt.Sprintf("%d of %d objects are not ready yet%s", r.InProgress,
			all, worstOf(r))
	case r.Ready == condition.False && r.Reason == condition.HealthCheckFailed:
		return condition.False, condition.HealthCheckFailed, r.Message
	case awaitsHealth(r):
		return condition.Unknown, condition.Progressing, r.Message
	}
	if all == 0 && r.Ready == condition.False {
		return condition.Unknown, r.Reason, "no object was applied"
	}
	value, reason, message = condition.True, condition.Succeeded, fmt.Sprintf("%d objects are healthy", all)
	if all == 1 {
		message = "1 object is healthy"
	}
	if r.Ready == condition.False && slices.Contains(refusals, r.Reason) {
		return condition.Unknown, r.Reason, message + ", without those that were refused: " + r.Message
	}
	return value, reason, message
}

// refusals are the reasons of an application of which the cluster does not have all objects as they should be.
var refusals = []string{condition.ReconciliationFailed, condition.DecryptionFailed, condition.KeyServiceUnavailable,
	condition.InputNotReady}

// worstOf returns the end of a message that names the first unhealthy object. If there is none, worstOf returns "".
func worstOf(r *spokev1.ApplicationReport) string {
	if len(r.Objects) == 0 {
		return ""
	}
	o := r.Objects[0]
	return strings.TrimSuffix(fmt.Sprintf(": %s is %s: %s", nameOf(o.Object), o.Status, o.Message), ": ")
}

// inventoryEntry is one object in the format of Flux's status.
type inventoryEntry struct {
	ID      string `json:"id"`
	Version string `json:"v"`
}

// inventoryOf returns objects in Flux's format, "namespace_name_group_kind". Colons in names, as in those of RBAC, are
// written as two underscores.
func inventoryOf(objects []*bundlev1.ObjectIdentity) []inventoryEntry {
	entries := make([]inventoryEntry, len(objects))
	for i, o := range objects {
		id := strings.Join([]string{o.GetNamespace(), strings.ReplaceAll(o.GetName(), ":", "__"), o.GetGroup(), o.GetKind()},
			"_")
		entries[i] = inventoryEntry{ID: id, Version: o.GetVersion()}
	}
	return entries
}

// nameOf returns the name of an object for messages: "kind.group namespace/name".
func nameOf(o *bundlev1.ObjectIdentity) string { return bundle.ObjectFrom(o).ID().String() }
