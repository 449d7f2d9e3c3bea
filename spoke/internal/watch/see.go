package watch

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/bundle"
	sharedhealth "github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/spoke/internal/health"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// see turns one look at a live object into an observation, if it is ours and there is news.
func (w *Watcher) see(l kube.Live) {
	app, drift, ours := w.Index.Observe(l)
	if !ours {
		return
	}
	report := health.Judge(l)
	news := w.Index.SetHealth(l.ID.ID(), l.ResourceVersion, report.Status, report.Reason, report.Message, w.Now())
	if news || drift.Any() {
		w.post(Observation{Application: app, Object: l.ID, Drift: drift, Health: report})
	}
}

// miss is see for an object that is not in the cluster.
func (w *Watcher) miss(id bundle.ObjectIdentity) {
	before := w.Index.Health(id.ID())
	app, drift, ours := w.Index.ObserveMissing(id)
	if !ours {
		return
	}
	report := health.Report{Status: sharedhealth.NotFound, Message: "not in the cluster"}
	if _, item, _ := w.Index.Application(id.ID()); item.Expires && !drift.Any() { // it is done and has deleted itself
		report = health.Report{Status: sharedhealth.Current}
		if before.Status == sharedhealth.Failed {
			report = health.Report{Status: before.Status, Reason: before.Reason, Message: before.Message}
		}
	}
	news := w.Index.SetHealth(id.ID(), "", report.Status, report.Reason, report.Message, w.Now())
	if news || drift.Any() {
		w.post(Observation{Application: app, Object: id, Drift: drift, Health: report})
	}
}

// look asks the API server for an object of ours.
func (w *Watcher) look(ctx context.Context, id bundle.ObjectIdentity) error {
	if _, _, ours := w.Index.Application(id.ID()); !ours {
		return nil
	}
	whole := !health.MetadataOnly(schema.GroupKind{Group: id.Group, Kind: id.Kind})
	live, err := w.Client.Look(ctx, id, whole)
	switch kube.ReasonOf(err) {
	case "":
		w.see(live)
	case kube.NotFound, kube.NoMatch:
		w.miss(id)
	default:
		return err
	}
	return nil
}

// post hands out an observation. Drift that comes too often waits.
func (w *Watcher) post(o Observation) {
	if o.Drift.Any() {
		o.RetryAt = w.pace(o)
	}
	w.out.add(o)
}

// pace decides when the drift may be repaired, and remembers it until then.
func (w *Watcher) pace(o Observation) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := o.Object.ID()
	p, at := w.paces[id].Next(w.Now())
	w.paces[id] = p
	if at.IsZero() {
		delete(w.held, id)
		return at
	}
	o.RetryAt = at
	w.held[id] = o
	w.wake.Raise()
	return at
}

// releaseHeld hands out held drift when its time has come, if nobody repaired it meanwhile.
func (w *Watcher) releaseHeld(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(w.release())
		select {
		case <-timer.C:
		case <-w.wake:
		case <-ctx.Done():
			return
		}
	}
}

// release hands out what is due and returns how long until the next.
func (w *Watcher) release() time.Duration {
	const idle = time.Hour
	w.mu.Lock()
	defer w.mu.Unlock()
	now, next := w.Now(), idle
	for id, o := range w.held {
		if left := o.RetryAt.Sub(now); left > 0 {
			next = min(next, left)
			continue
		}
		delete(w.held, id)
		if drift := w.Index.Drifted(id); drift.Any() {
			w.paces[id] = w.paces[id].Repaired(now)
			o.Drift, o.RetryAt = drift, time.Time{}
			w.out.add(o)
		}
	}
	w.forget(now)
	return next
}

// forget drops what is remembered of objects that have kept still; the caller holds the mutex.
func (w *Watcher) forget(now time.Time) {
	for id, p := range w.paces {
		_, held := w.held[id]
		if !held && p.within(now) == 0 && (p.step == 0 || p.calm(now)) {
			delete(w.paces, id)
		}
	}
}
