package agent

import (
	"context"
	"log/slog"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/inventory"
)

// begin makes the context of what runs for an application.
func (a *Agent) begin(name bundle.ApplicationName) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(a.base)
	a.cancels[name] = cancel
	return ctx, cancel
}

func (a *Agent) startApply(act start) {
	if a.draining {
		return
	}
	ctx, cancel := a.begin(act.name)
	previous := a.owned(act.name)
	a.work.Go(func() {
		defer cancel()
		changes, err := a.apply(ctx, act, previous)
		result := a.applyResult(act, changes, err)
		a.inputs <- finished{result, act.name, changes}
	})
}

func (a *Agent) apply(ctx context.Context, act start, previous *inventory.Inventory) (*apply.ChangeSet, error) {
	if err := a.saveMark(act.name, act.remember); err != nil {
		return nil, err
	}
	l := a.newLoader(ctx, act.app)
	defer l.close()
	set := apply.Set{
		Application: act.name, Previous: previous, Prune: act.app.Prune, Force: act.app.Force,
		ServiceAccount: act.app.ServiceAccount, Reapply: act.reapply, Guard: apply.DefaultGuard, Confirmed: act.confirmed,
		Claimed: a.claimed, Redact: l.redactor(ctx, nil), Save: a.saveInventory,
	}
	for _, ref := range act.app.Objects {
		set.Objects = append(set.Objects, apply.Object{
			ObjectReference: ref,
			Load:            func(ctx context.Context) (apply.Loaded, error) { return l.load(ctx, ref) },
		})
	}
	return a.Applier.Apply(ctx, set)
}

func (a *Agent) applyResult(act start, changes *apply.ChangeSet, err error) applied {
	now := time.Now()
	in := applied{now: now, name: act.name, run: act.run, mark: act.success(now), request: act.entry.RequestedAt}
	in.failure = failureOf(changes, err, condition.ReconciliationFailed)
	if changes != nil {
		in.repaired = len(repaired(changes))
	}
	in.health = a.Index.Summarize(act.name, reporting.MaxObjects)
	return in
}

// repaired lists the objects whose drift is gone.
func repaired(changes *apply.ChangeSet) []manifest.ID {
	var ids []manifest.ID
	for _, e := range changes.Entries {
		if e.Drift.Any() && e.Err == nil && e.Action != apply.Skipped {
			ids = append(ids, e.Object.ID())
		}
	}
	return ids
}

func (a *Agent) startRemove(act remove) {
	if a.draining {
		return
	}
	ctx, cancel := a.begin(act.name)
	r := apply.Removal{
		Application: act.name, Previous: a.owned(act.name), Policy: act.mark.DeletionPolicy, Prune: act.mark.Prune,
		Timeout: defaultTimeout, ServiceAccount: act.mark.ServiceAccount, Claimed: a.claimed,
		Redact: a.discretion(act.name).any, Save: a.saveInventory,
	}
	if act.mark.Suspended {
		r.Policy = bundle.Orphan
	}
	a.work.Go(func() {
		defer cancel()
		changes, err := a.Applier.Delete(ctx, r)
		in := removed{now: time.Now(), name: act.name, run: act.run, failure: failureOf(changes, err,
			condition.PruneFailed)}
		a.inputs <- finished{in, act.name, changes}
	})
}

// finished is a result with the inventory that it leaves; the loop takes the inventory before the model sees the
// result.
type finished struct {
	input
	name    bundle.ApplicationName
	changes *apply.ChangeSet
}

// recordResult takes what an apply or a deletion leaves behind, before the model sees its result.
func (a *Agent) recordResult(f finished) {
	delete(a.cancels, f.name)
	if f.changes == nil {
		return
	}
	if len(f.changes.Entries)-f.changes.Count(apply.Unchanged) >= manyObjects {
		a.rest.Reset(restDelay)
	}
	if f.changes.Inventory != nil {
		a.inventories[f.name] = f.changes.Inventory
	}
	a.Metrics.count(f.changes)
	now := time.Now()
	for _, id := range repaired(f.changes) {
		a.Metrics.repaired.Inc()
		if since, ok := a.seen[id]; ok {
			a.Metrics.repair.Observe(now.Sub(since).Seconds())
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
