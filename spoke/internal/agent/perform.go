package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	sharedhealth "github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/wording"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/state"
	"github.com/navefleet/nave/spoke/internal/watch"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// perform does what the model decided. What takes time runs beside the loop.
func (a *Agent) perform(act action) {
	switch act := act.(type) {
	case receive:
		a.startReceive(act)
	case adopt:
		a.adopt(act)
	case start:
		a.startApply(act)
	case remove:
		a.startRemove(act)
	case cancel:
		if stop := a.cancels[act.name]; stop != nil {
			stop()
		}
	case remember:
		a.warn("mark not stored", act.name, a.saveMark(act.name, act.mark))
	case sweep:
		a.sweep.Reset(sweepDelay)
	case forget:
		a.forget(act.name)
	case ack:
		a.ack(act)
	case tell:
		a.reportApplication(act.report)
	case event:
		a.event(act)
	case check:
		a.startCheck(act)
	case verify:
		a.startVerify(act)
	case arm:
		a.arm(act.at)
	}
}

func (a *Agent) warn(message string, name bundle.ApplicationName, err error) {
	if err != nil {
		a.Log.Warn(message, telemetry.Application(name), telemetry.Err(err))
	}
}

func (a *Agent) arm(at time.Time) {
	a.timer.Stop()
	if !at.IsZero() {
		a.timer.Reset(max(0, time.Until(at)))
	}
}

func (a *Agent) startReceive(act receive) {
	if a.receiving != nil {
		a.receiving()
	}
	if a.draining {
		return
	}
	ctx, cancel := context.WithCancel(a.base)
	a.receiving = cancel
	last := a.model.bundle
	a.spawn(func() input {
		defer cancel()
		return a.receive(ctx, act.offer, last)
	})
}

func (a *Agent) adopt(act adopt) {
	claims := claimsOf(act.apps)
	a.claims.Store(&claims)
	a.noteSealed(act.apps)
	a.sweep.Reset(sweepDelay)
	a.Metrics.sequence.Set(float64(act.id.Sequence))
	a.Log.Info("bundle accepted", telemetry.Sequence(act.id.Sequence), telemetry.Digest(act.id.Digest),
		telemetry.Count(len(act.apps)))
}

func (a *Agent) claimed(id manifest.ID) (bundle.ApplicationName, bool) {
	name, ok := (*a.claims.Load())[id]
	return name, ok
}

// begin makes the context of what runs for an application.
func (a *Agent) begin(name bundle.ApplicationName) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(a.base)
	a.cancels[name] = cancel
	return ctx, cancel
}

func (a *Agent) owned(name bundle.ApplicationName) *inventory.Inventory {
	if v := a.inventories[name]; v != nil {
		return v
	}
	return inventory.New(name)
}

func (a *Agent) saveInventory(v *inventory.Inventory) error {
	data, err := v.Encode()
	if err == nil {
		err = a.Store.PutInventory(v.Application, data)
	}
	if err == nil {
		a.Ledger.Save(v)
	}
	return err
}

func (a *Agent) saveMark(name bundle.ApplicationName, m state.Mark) error {
	err := a.Store.PutMark(name, m)
	if err == nil {
		a.Ledger.Mark(name, m)
	}
	return err
}

// finished is a result with the inventory that it leaves; the loop takes the inventory before the model sees the
// result.
type finished struct {
	input
	name    bundle.ApplicationName
	changes *apply.ChangeSet
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
		Application: act.name, Previous: previous, Prune: act.app.Prune, Force: act.app.Force, ServiceAccount: act.app.ServiceAccount,
		Reapply: act.reapply, Guard: apply.DefaultGuard, Confirmed: act.confirmed, Claimed: a.claimed, Redact: l.redactor(ctx,
			nil), Save: a.saveInventory,
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

// failureOf puts what went wrong into words; the zero failure when nothing did.
func failureOf(changes *apply.ChangeSet, err error, reason string) failure {
	var f failure
	if guard := guarded(changes); guard != nil {
		f.reason, f.message, f.held = condition.PruneHeld, guard.Error(), guard // none of the objects was refused
	} else if changes != nil && len(changes.Failed()) > 0 {
		f.reason, f.message = reasonOf(changes.Failed(), reason), changes.Err().Error()
		for _, e := range changes.Failed() {
			id := e.Object.ID()
			message := strings.TrimPrefix(e.Err.Error(), "apply ") // what else was tried, is said
			f.objects = append(f.objects, ObjectFailure{Object: id, Message: strings.TrimPrefix(message, id.String()+": ")})
		}
	}
	if err != nil {
		f.reason, f.message = reason, strings.TrimPrefix(err.Error()+"\n"+f.message, "\n")
		f.message = strings.TrimSuffix(f.message, "\n")
	}
	return f
}

// guarded returns why a prune was stopped, if that is all that is wrong.
func guarded(changes *apply.ChangeSet) *apply.GuardError {
	if changes == nil {
		return nil
	}
	var guard *apply.GuardError
	for _, e := range changes.Failed() {
		if !errors.As(e.Err, &guard) {
			return nil
		}
	}
	return guard
}

// reasonOf is the reason that all failed entries share, if they share a special one.
func reasonOf(failed []apply.Entry, general string) string {
	held, sealed := true, true
	for _, e := range failed {
		var s *sealedError
		held = held && e.Action == apply.Held
		sealed = sealed && errors.As(e.Err, &s)
	}
	switch {
	case held:
		return condition.PruneFailed
	case sealed:
		return condition.DecryptionFailed
	}
	return general
}

func (a *Agent) startRemove(act remove) {
	if a.draining {
		return
	}
	ctx, cancel := a.begin(act.name)
	r := apply.Removal{
		Application: act.name, Previous: a.owned(act.name), Policy: act.mark.DeletionPolicy, Prune: act.mark.Prune, Timeout: defaultTimeout,
		ServiceAccount: act.mark.ServiceAccount, Claimed: a.claimed, Redact: a.discretion(act.name).any, Save: a.saveInventory,
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

func (a *Agent) forget(name bundle.ApplicationName) {
	for id := range a.owned(name).Items {
		delete(a.seen, id)
	}
	a.warn("state not cleaned", name, a.Store.Forget(name))
	a.Ledger.Forget(name)
	delete(a.inventories, name)
	delete(a.sealed, name)
	delete(a.learned, name)
	a.Index.Remove(name)
	a.Reporter.Remove(name)
	a.Metrics.ready.DeleteLabelValues(labels(name)...)
}

var wireStages = map[Stage]spokev1.AckStage{
	None: spokev1.AckStage_ACK_STAGE_UNSPECIFIED, Received: spokev1.AckStage_ACK_STAGE_RECEIVED,
	Applied: spokev1.AckStage_ACK_STAGE_APPLIED, Healthy: spokev1.AckStage_ACK_STAGE_HEALTHY,
}

func (a *Agent) ack(act ack) {
	if act.err != nil {
		a.Log.Warn("bundle rejected", telemetry.Sequence(act.id.Sequence), telemetry.Err(act.err))
		a.Hub.Reject(act.id, act.err.Error())
		return
	}
	a.Metrics.stage.Set(float64(act.stage))
	a.Hub.Progress(act.id, wireStages[act.stage])
}

func (a *Agent) event(act event) {
	kind := condition.Normal
	if act.warning {
		kind = condition.Warning
	}
	a.Reporter.Event(&spokev1.Event{
		Time: timestamppb.New(time.Now()), Application: act.name.Message(), Type: kind, Reason: act.reason, Message: a.discretion(act.name).text(act.message),
	})
}

func heldMessage(o watch.Observation) string {
	return fmt.Sprintf("%s was repaired too often: %s changes it again and again; the next repair is at %s",
		o.Object.ID(), strings.Join(o.Drift.By, ", "), wording.Time(o.RetryAt))
}

// startCheck looks at the objects of spec.healthChecks: at the index for our own, at the API server for others.
func (a *Agent) startCheck(act check) {
	ctx := a.base
	a.spawn(func() input {
		in := checked{name: act.name, status: sharedhealth.Current}
		var unhealthy []string
		for _, id := range act.objects {
			status, text := a.look(ctx, act, id)
			in.status = sharedhealth.Worst(in.status, status)
			if status != sharedhealth.Current {
				unhealthy = append(unhealthy, fmt.Sprintf("%s is %s%s", id.ID(), status, text))
			}
		}
		in.text = strings.Join(unhealthy, ", ")
		in.now = time.Now()
		return in
	})
}

// look finds the health of an object. With a service account, what others applied is looked at with the account's
// rights.
func (a *Agent) look(ctx context.Context, act check, id bundle.ObjectIdentity) (sharedhealth.Status, string) {
	if name, _, ours := a.Index.Application(id.ID()); ours && (name == act.name || act.account == "") {
		return a.Index.Health(id.ID()).Status, ""
	}
	r, err := a.Check(ctx, act.name.Namespace, act.account, id)
	if err != nil {
		return sharedhealth.Unknown, ": " + err.Error()
	}
	return r.Status, ""
}

// startVerify lists the kinds of an application, metadata only, and makes the watcher look again at every object that
// is not as it was left. It is the safety net for what watches may have missed.
func (a *Agent) startVerify(act verify) {
	v := a.owned(act.name)
	a.work.Go(func() {
		found := map[manifest.ID]bool{}
		for _, m := range v.Mappings() {
			_, err := a.Kubernetes.List(a.base, m, kube.Scope{Selector: inventory.Label}, func(l kube.Live) error {
				item, ours := v.Items[l.ID.ID()]
				found[l.ID.ID()] = ours && !item.Judge(l).Any()
				return nil
			})
			if err != nil {
				a.warn("not verified", act.name, err)
				return
			}
		}
		for id, item := range v.Items {
			if item.UID != "" && !found[id] {
				a.Index.Doubt(id)
			}
		}
	})
}
