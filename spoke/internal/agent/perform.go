package agent

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/state"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

func (act cancel) perform(a *Agent) {
	if stop := a.cancels[act.name]; stop != nil {
		stop()
	}
}

func (act remember) perform(a *Agent) {
	a.warn("mark not stored", act.name, a.saveMark(act.name, act.mark))
}

func (sweep) perform(a *Agent) { a.sweep.Reset(sweepDelay) }

func (a *Agent) warn(message string, name bundle.ApplicationName, err error) {
	if err != nil {
		//nolint:sloglint // every caller gives a constant
		a.Log.Warn(message, telemetry.Application(name), telemetry.Err(err))
	}
}

func (act arm) perform(a *Agent) {
	a.timer.Stop()
	if !act.at.IsZero() {
		a.timer.Reset(max(0, time.Until(act.at)))
	}
}

func (act receive) perform(a *Agent) {
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

func (act adopt) perform(a *Agent) {
	claims := claimsOf(act.apps, act.handovers, act.pending)
	a.claims.Store(&claims)
	a.noteSealed(act.apps)
	a.adoptQuestions(act.questions, act.apps)
	a.followInputs(act.apps)
	a.noteHealthExpressions(act.apps)
	a.lookForKeys(a.model.unknownKeys(act.apps))
	if a.WantImage != nil {
		a.WantImage(act.image)
	}
	a.sweep.Reset(sweepDelay)
	a.metrics.adopted(act, a.Now())
	a.Log.Info("bundle accepted", telemetry.Sequence(act.id.Sequence), telemetry.Digest(act.id.Digest),
		telemetry.Count(len(act.apps)))
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

func (act forget) perform(a *Agent) {
	name := act.name
	for id := range a.owned(name).Items {
		delete(a.seen, id)
	}
	a.warn("state not cleaned", name, a.Store.Forget(name))
	a.Ledger.Forget(name)
	delete(a.inventories, name)
	delete(a.sealed, name)
	delete(a.learned, name)
	delete(a.failing, name)
	a.redactors.forgetLive(name)
	a.Index.Remove(name)
	a.Reporter.Remove(name)
	a.metrics.ready.DeleteLabelValues(labels(name)...)
}

func (act ack) perform(a *Agent) {
	if act.err != nil {
		a.Log.Warn("bundle rejected", telemetry.Sequence(act.id.Sequence), telemetry.Err(act.err))
		a.Hub.Reject(act.id, act.err.Error())
		return
	}
	a.metrics.stage.Set(float64(act.stage))
	a.Hub.Progress(act.id, act.stage)
}

func (act event) perform(a *Agent) {
	kind := condition.Normal
	if act.warning {
		kind = condition.Warning
	}
	a.Reporter.Event(&spokev1.Event{
		Time: timestamppb.New(a.Now()), Application: act.name.Message(), Type: kind, Reason: act.reason,
		Message: a.discretion(act.name).text(act.message),
	})
}
