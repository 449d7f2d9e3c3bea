package membership

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/wait"
)

const (
	markDelay    = 100 * time.Millisecond // head start for the objects of the bundle
	markPause    = 200 * time.Millisecond // at least, between two writes
	markRetry    = time.Second            // after the first failure, doubling
	maxMarkRetry = time.Minute
)

// Marks are the newest verified bundles, by the SPIFFE ID of their cluster.
type Marks map[string]bundle.ID

// Acknowledge reports the stage of a bundle to a hub.
type Acknowledge func(bundle.ID, bundle.Stage)

// Marker acknowledges a bundle after its mark was saved in the cluster, where the loss of the disk does not reach it.
// So the cluster never goes back behind a bundle that it acknowledged. Meanwhile the bundle is on disk and is applied,
// so the Marker does not delay a change.
type Marker struct {
	recipient string
	pass      Acknowledge
	save      func(ctx context.Context, m Marks) error
	log       *slog.Logger
	wake      wait.Signal

	mu      sync.Mutex // guards the following
	marks   Marks      // as saved
	waiting *ack       // the latest acknowledgement whose mark is not saved yet
}

type ack struct {
	id    bundle.ID
	stage bundle.Stage
}

// NewMarker returns a Marker for the bundles of a recipient. saved are the Marks that are saved already. The Marker
// calls pass with each acknowledgement that may be sent. It saves no Marks before Run. A nil log means slog.Default.
func NewMarker(recipient string, saved Marks, save func(context.Context, Marks) error, pass Acknowledge,
	log *slog.Logger) *Marker {
	m := &Marker{recipient: recipient, pass: pass, save: save, log: cmp.Or(log, slog.Default()),
		wake: wait.NewSignal(), marks: Marks{}}
	maps.Copy(m.marks, saved)
	return m
}

// Progress acknowledges the stage of a bundle after its mark is saved. Progress does not wait for that.
func (m *Marker) Progress(id bundle.ID, stage bundle.Stage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.marks[m.recipient] == id {
		m.waiting = nil
		m.pass(id, stage)
		return
	}
	m.waiting = &ack{id, stage}
	m.wake.Raise()
}

// Run saves Marks until ctx ends.
func (m *Marker) Run(ctx context.Context) {
	retry := wait.Backoff{First: markRetry, Most: maxMarkRetry}
	for m.wake.Wait(ctx) == nil {
		m.yield(ctx)
		pause := markPause
		if err := m.raise(ctx); err != nil && ctx.Err() == nil {
			m.log.Warn("the high-water mark is not saved, bundles are not acknowledged until it is", telemetry.Err(err))
			pause = retry.Next()
			m.wake.Raise()
		} else {
			retry.Reset()
		}
		if wait.For(ctx, pause) != nil {
			return
		}
	}
}

// yield waits until the bundle was applied, at most for markDelay, because the API server writes the mark to the same
// disk as the objects.
func (m *Marker) yield(ctx context.Context) {
	late := time.NewTimer(markDelay)
	defer late.Stop()
	for m.applying() {
		select {
		case <-ctx.Done():
			return
		case <-late.C:
			return
		case <-m.wake:
		}
	}
}

func (m *Marker) applying() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.waiting != nil && m.waiting.stage == bundle.Received
}

// raise saves the mark of the waiting acknowledgement, and then passes on the latest stage of that bundle.
func (m *Marker) raise(ctx context.Context) error {
	m.mu.Lock()
	a, next := m.waiting, maps.Clone(m.marks)
	m.mu.Unlock()
	if a == nil {
		return nil
	}
	next[m.recipient] = a.id
	if err := m.save(ctx, next); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.marks = next
	if m.waiting != nil && m.waiting.id == a.id {
		m.pass(m.waiting.id, m.waiting.stage)
		m.waiting = nil
	}
	return nil
}
