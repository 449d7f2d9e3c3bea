package watch

import (
	"context"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	sharedhealth "github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/spoke/internal/health"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// see hands out an observation of a live object, if the object is ours and there is news.
func (w *Watcher) see(l kube.Live) {
	app, drift, ours := w.Index.Observe(l)
	if !ours {
		return
	}
	w.note(Observation{Application: app, Object: l.ID, Drift: drift, Health: w.Health.Judge(app, l)}, l.ResourceVersion)
}

// seeLast notes the last state of a deleted object if the object deletes itself when it is done. If it was not done, it
// counts as missing.
func (w *Watcher) seeLast(l kube.Live) {
	if _, item, ours := w.Index.Application(l.ID.ID()); ours && item.Expires {
		w.see(l)
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
	w.note(Observation{Application: app, Object: id, Drift: drift, Health: report}, "")
}

// note puts the health of an observation into the index, as of a resourceVersion (empty: now), and hands out the
// observation if it is news. Drift that comes too often waits.
func (w *Watcher) note(o Observation, resourceVersion string) {
	h, now := o.Health, w.Now()
	news := w.Index.SetHealth(o.Object.ID(), resourceVersion, h.Status, h.Reason, h.Message, now)
	if !news && !o.Drift.Any() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if o.Drift.Any() {
		o.RetryAt = w.pace(o, now)
	}
	w.add(o)
}

// look asks the API server for an object of ours.
func (w *Watcher) look(ctx context.Context, id bundle.ObjectIdentity) error {
	if _, _, ours := w.Index.Application(id.ID()); !ours {
		return nil
	}
	live, err := w.Client.Look(ctx, id, !sharedhealth.MetadataOnly(id.ID().GroupKind()))
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

// pace returns when the drift may be repaired (zero: now), and holds the observation until then; the caller holds the
// mutex.
func (w *Watcher) pace(o Observation, now time.Time) time.Time {
	id := o.Object.ID()
	p, at := w.paces[id].next(now)
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

// releaseHeld hands out held drift at its RetryAt, unless the drift was repaired meanwhile.
func (w *Watcher) releaseHeld(ctx context.Context) {
	for {
		select {
		case <-time.After(w.release()):
		case <-w.wake:
		case <-ctx.Done():
			return
		}
	}
}

// release hands out the held drift that is due, and returns the time until the next is due, at most an hour.
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
			w.paces[id] = w.paces[id].repaired(now)
			o.Drift, o.RetryAt = drift, time.Time{}
			w.add(o)
		}
	}
	w.forget(now)
	return next
}

// forget drops the paces of objects that no longer drift; the caller holds the mutex.
func (w *Watcher) forget(now time.Time) {
	for id, p := range w.paces {
		_, held := w.held[id]
		if !held && p.within(now) == 0 && (p.step == 0 || p.calm(now)) {
			delete(w.paces, id)
		}
	}
}
