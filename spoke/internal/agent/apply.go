package agent

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/wording"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/inventory"
)

// busy notes whether an application is being applied or deleted, which ends a preview. A release of Helm that waits for
// the cluster is not.
func (a *Agent) busy(name bundle.ApplicationName, is bool) {
	if !is {
		delete(a.working, name)
		return
	}
	a.working[name] = true
	a.stopPreview()
}

// begin runs an apply or a deletion for an application, until it ends or is cancelled.
func (a *Agent) begin(name bundle.ApplicationName, run func(context.Context) (*apply.ChangeSet, input)) {
	if a.draining {
		return
	}
	ctx, cancel := context.WithCancel(a.base)
	a.cancels[name] = cancel
	a.spawn(func() input {
		defer cancel()
		changes, result := run(ctx)
		return finished{result, name, changes}
	})
}

func (act start) perform(a *Agent) {
	previous := a.owned(act.name)
	if act.app.Release != nil {
		a.begin(act.name, func(ctx context.Context) (*apply.ChangeSet, input) { return a.release(ctx, act, previous) })
		return
	}
	a.busy(act.name, true)
	a.begin(act.name, func(ctx context.Context) (*apply.ChangeSet, input) {
		changes, inputs, err := a.apply(ctx, act, previous)
		return changes, a.applyResult(act, changes, inputs, err)
	})
}

// apply applies an application. It returns the digest of the inputs of its substitution.
func (a *Agent) apply(ctx context.Context, act start, previous *inventory.Inventory) (*apply.ChangeSet,
	manifest.Digest, error) {
	if err := a.saveMark(act.name, act.remember); err != nil {
		return nil, manifest.Digest{}, err
	}
	l := a.newLoader(ctx, act.app)
	defer l.close()
	set := apply.Set{
		Target: apply.Target{Application: act.name, Previous: previous, ServiceAccount: act.app.ServiceAccount,
			Claimed: a.claimedFrom(act.name, act.app.ServiceAccount), Redact: l.redactor(ctx, nil), Save: a.saveInventory},
		Prune: act.app.Prune, Force: act.app.Force, Reapply: act.reapply, Keep: act.entry.KeepsObjects,
		Guard: apply.DefaultGuard, Confirmed: act.confirmed, Ignore: act.app.Ignore, Drift: act.entry.Drift,
	}
	inputs, err := l.inputs(ctx)
	if err == nil {
		set.Objects, err = l.objects(ctx, inputs != act.remember.Inputs)
	}
	if err != nil {
		return nil, inputs, err
	}
	changes, err := a.Applier.Apply(ctx, set)
	return changes, inputs, err
}

func (a *Agent) applyResult(act start, changes *apply.ChangeSet, inputs manifest.Digest,
	err error) applied {
	in := applied{
		name: act.name, run: act.run, mark: act.success(time.Now()), request: act.entry.RequestedAt,
		failure: failureOf(changes, err, condition.ReconciliationFailed),
	}
	in.mark.Inputs = inputs
	if changes != nil {
		in.repaired = len(repaired(changes))
		in.changed = describeChanges(changes)
		in.drifts = driftsOf(changes, time.Now())
	}
	return in
}

// describeChanges counts the objects that an apply created, configured and deleted, and names the first of each. If it
// changed nothing, describeChanges returns "".
func describeChanges(changes *apply.ChangeSet) string {
	return describeObjects(changes, apply.Created, apply.Configured, apply.Deleted)
}

// describeObjects counts the objects of a ChangeSet by actions, and names the first of each. If there are none, or no
// ChangeSet, describeObjects returns "".
func describeObjects(changes *apply.ChangeSet, actions ...apply.Action) string {
	const most = 3
	if changes == nil {
		return ""
	}
	var parts []string
	for _, action := range actions {
		var names []string
		for _, e := range changes.Entries {
			if e.Action == action {
				names = append(names, e.Object.ID().String())
			}
		}
		if len(names) > 0 {
			parts = append(parts, fmt.Sprintf("%d %s (%s)", len(names), action, wording.List(names, len(names), most)))
		}
	}
	return strings.Join(parts, ", ")
}

// repaired lists the objects whose drift is gone.
func repaired(changes *apply.ChangeSet) []manifest.ID {
	var ids []manifest.ID
	for _, e := range changes.Entries {
		if e.Drift.Any() && e.Err == nil && e.Action != apply.Skipped && e.Action != apply.Drifted {
			ids = append(ids, e.Object.ID())
		}
	}
	return ids
}

func (act remove) perform(a *Agent) {
	r := apply.Removal{
		Target: apply.Target{Application: act.name, Previous: a.owned(act.name), ServiceAccount: act.mark.ServiceAccount,
			Claimed: a.claimedFrom(act.name, act.mark.ServiceAccount), Redact: a.discretion(act.name).any,
			Save: a.saveInventory},
		Policy: act.mark.DeletionPolicy, Prune: act.mark.Prune, Timeout: defaultTimeout,
	}
	if act.mark.Suspended {
		r.Policy = bundle.Orphan
	}
	if act.mark.Release != nil && r.Policy.Resolve(r.Prune) != bundle.Orphan {
		a.begin(act.name, func(ctx context.Context) (*apply.ChangeSet, input) { return a.uninstall(ctx, act, r) })
		return
	}
	a.busy(act.name, true)
	a.begin(act.name, func(ctx context.Context) (*apply.ChangeSet, input) {
		changes, err := a.Applier.Delete(ctx, r)
		return changes, removed{name: act.name, run: act.run, failure: failureOf(changes, err, condition.PruneFailed),
			deleted: describeObjects(changes, apply.Deleted)}
	})
}

// finished is a result with its ChangeSet; the loop records the inventory of the ChangeSet before the model gets the
// result.
type finished struct {
	input
	name    bundle.ApplicationName
	changes *apply.ChangeSet
}

// withHealth adds the health of the application to the result of an apply. The loop takes the health, not the goroutine
// of the apply, so that the health is not older than the observations that the loop has handled.
func (a *Agent) withHealth(f finished) finished {
	if result, ok := f.input.(applied); ok {
		result.health = a.Index.Summarize(result.name, reporting.MaxObjects)
		f.input = result
	}
	return f
}

// recordResult records the inventory and the metrics of an apply or a deletion before the model gets the result.
func (a *Agent) recordResult(f finished) {
	delete(a.cancels, f.name)
	a.busy(f.name, false)
	if f.changes == nil {
		return
	}
	if len(f.changes.Entries)-f.changes.Count(apply.Unchanged) >= manyObjects {
		a.rest.Reset(restDelay)
	}
	if f.changes.Inventory != nil {
		a.inventories[f.name] = f.changes.Inventory
	}
	a.metrics.count(f.changes)
	now := time.Now()
	for _, id := range repaired(f.changes) {
		a.metrics.repaired.Inc()
		if since, ok := a.seen[id]; ok {
			a.metrics.repair.Observe(now.Sub(since).Seconds())
			delete(a.seen, id)
		}
	}
	level := slog.LevelDebug
	if f.changes.Changed() || len(f.changes.Failed()) > 0 {
		level = slog.LevelInfo
	}
	a.Log.Log(a.base, level, "applied", telemetry.Application(f.name), telemetry.Duration(f.changes.Duration),
		slog.Int("created", f.changes.Count(apply.Created)), slog.Int("configured", f.changes.Count(apply.Configured)),
		slog.Int("unchanged", f.changes.Count(apply.Unchanged)), slog.Int("deleted", f.changes.Count(apply.Deleted)),
		slog.Int("failed", len(f.changes.Failed())))
}
