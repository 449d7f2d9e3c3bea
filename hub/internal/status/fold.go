package status

import (
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wording"
)

// verdict is the Ready condition of an object.
type verdict struct {
	ready, reason, message string
	since                  time.Time
	// stalled: the verdict stays until a user changes the object.
	stalled bool
}

// failing returns the verdict about an object that does not become ready by itself.
func failing(reason, message string, since time.Time) verdict {
	return verdict{ready: condition.False, reason: reason, message: message, since: since}
}

// pending returns the verdict about an object that is in progress or in an unknown state.
func pending(reason, message string, since time.Time) verdict {
	return verdict{ready: condition.Unknown, reason: reason, message: message, since: since}
}

// Fold returns the object as JSON with a status made from the facts. The status has the shape of Flux's: conditions
// with Ready first, observedGeneration, lastHandledReconcileAt, and the fields of the kind.
func Fold(f Facts) (json.RawMessage, error) {
	o, err := f.parse()
	if err != nil {
		return nil, err
	}
	describe(o, f.Resource)
	status := fields{}
	c := &conditions{}
	if f.Condition != nil && f.Condition.ObservedGeneration > 0 {
		c.generation = f.Condition.ObservedGeneration
		status["observedGeneration"] = f.Condition.ObservedGeneration
	}
	f.setReady(c)
	f.setSuspended(c)
	f.details(c, status)
	if confined := f.Resource.Confined; confined != nil {
		status["confined"] = map[string]any{
			"by": confined.By.Local(), "namespace": confined.Namespace, "serviceAccountName": confined.Account,
		}
	}
	status.set("lastHandledReconcileAt", f.handled())
	status["conditions"] = c.sorted()
	o.Object["status"] = map[string]any(status)
	data, err := manifest.Canonical(o)
	if err != nil {
		return nil, fmt.Errorf("write the status of %s: %w", f.Resource.Key, err)
	}
	return data, nil
}

// setReady sets the condition Ready, and with it Stalled or Reconciling.
func (f Facts) setReady(c *conditions) {
	v := f.verdict()
	c.set(condition.Ready, v.ready, v.reason, v.message, v.since)
	switch {
	case v.stalled:
		c.set(condition.Stalled, condition.True, v.reason, v.message, v.since)
	case v.ready == condition.Unknown && v.reason == condition.Progressing:
		c.set(condition.Reconciling, condition.True, v.reason, v.message, v.since)
	}
}

// setSuspended sets the condition Suspended of a suspended object: Unknown until the suspension is in force.
func (f Facts) setSuspended(c *conditions) {
	s := f.suspension()
	if s == nil {
		return
	}
	text, ok := s.now(f)
	if !ok {
		c.set(condition.Suspended, condition.Unknown, condition.Progressing, text, s.since)
		return
	}
	c.set(condition.Suspended, condition.True, condition.Suspended, text, s.since)
}

// describe adds the metadata that an API server would add, and the decisions of operators: the suspension and the last
// request are in the fields where Flux's users look for them.
func describe(o *manifest.Object, row store.Resource) {
	set := func(value any, path ...string) { // in an admitted object these fields are maps or missing
		_ = unstructured.SetNestedField(o.Object, value, path...)
	}
	if row.UID != "" { // else only the name of the object is known
		set(row.UID, "metadata", "uid")
		set(row.Generation, "metadata", "generation")
		set(wording.Time(row.Created), "metadata", "creationTimestamp")
	}
	if at := row.Requested(); at != "" {
		set(at, "metadata", "annotations", manifest.RequestedAtAnnotation)
	}
	if row.Suspended {
		set(true, "spec", "suspend")
	}
	if row.Suspended && row.StopRepair {
		set(true, "spec", "stopRepair")
	}
}

// verdict returns the Ready condition of the object.
func (f Facts) verdict() verdict {
	if f.Damaged != nil {
		return f.damagedVerdict()
	}
	switch f.role() {
	case api.ClusterRole:
		return f.withSuspension(f.withPin(f.clusterVerdict()))
	case api.FleetRole:
		return f.withSuspension(f.withPin(f.fleetVerdict()))
	case api.RenderableRole:
		return f.applicationVerdict()
	}
	return f.withTags(f.hubVerdict())
}

// details sets the fields that only some roles have.
func (f Facts) details(c *conditions, status fields) {
	switch f.role() {
	case api.ClusterRole:
		f.clusterDetails(c, status)
	case api.FleetRole:
		status["clusters"] = f.clusterCounts()
		f.setUpgrades(status)
		f.setRollout(status)
	case api.RenderableRole:
		f.applicationDetails(c, status)
	case api.SourceRole:
		f.sourceDetails(c, status)
	}
}

// hubVerdict returns the verdict of the hub's own Condition of the object.
func (f Facts) hubVerdict() verdict {
	switch o, r := f.Condition, f.Resource; {
	case r.Object != nil && r.Object.Err() != nil:
		return failing(condition.Refused, "The hub cannot read the object: "+r.Object.Err().Error()+"; apply it again",
			r.Created)
	case o == nil:
		return pending(condition.Progressing, "The hub has not processed the object yet", f.Resource.Created)
	case o.ObservedGeneration < f.Resource.Generation && o.Ready == condition.True:
		return pending(condition.Progressing, "The hub has not processed the newest version yet", o.Since)
	default:
		return verdict{ready: o.Ready, reason: o.Reason, message: o.Message, since: o.Since,
			stalled: o.Ready == condition.False && stalls[o.Reason]}
	}
}

// stalls are the reasons that only a change of the object or an operator ends.
var stalls = map[string]bool{
	condition.Refused: true, condition.DependencyCycle: true, condition.SelfRenderEndless: true,
	condition.TemplateFailed: true, condition.RetriesExceeded: true, condition.MissingRollbackTarget: true,
}

// handled returns the last request to reconcile that was handled. For an application it is in the report of the spoke.
// If the hub itself failed, there is no report to wait for, and handled returns the request that the hub handled.
func (f Facts) handled() string {
	switch {
	case f.Condition == nil:
		return ""
	case f.Entry == nil || f.Condition.Ready == condition.False:
		return f.Condition.HandledRequest
	case f.Report == nil:
		return ""
	}
	return f.Report.HandledRequest
}
