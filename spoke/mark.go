package spoke

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/agent"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

const (
	markDelay    = 100 * time.Millisecond // for the objects of the bundle to be written first
	markPause    = 200 * time.Millisecond // between two writes, at least
	markRetry    = time.Second            // after the first failure, doubling
	maxMarkRetry = time.Minute
)

// marks are the newest bundles that were verified, by the SPIFFE ID of the cluster that they are for.
type marks map[string]bundle.ID

// marker is a session that acknowledges a bundle only when the high-water mark is where the loss of the disk does not
// reach it: whatever the hub was told of, the cluster never goes back behind. The bundle is on disk and is applied
// meanwhile, so a change that goes live waits for nothing here.
type marker struct {
	agent.Hub // the session
	recipient string
	save      func(ctx context.Context, m marks) error
	log       *slog.Logger
	wake      chan struct{}

	mu      sync.Mutex // guards the following
	marks   marks      // that are saved
	waiting *ack       // the latest one
}

type ack struct {
	id    bundle.ID
	stage spokev1.AckStage
}

func newMarker(hub agent.Hub, recipient string, saved marks, save func(context.Context, marks) error,
	log *slog.Logger) *marker {
	m := &marker{Hub: hub, recipient: recipient, save: save, log: log, wake: make(chan struct{}, 1), marks: marks{}}
	maps.Copy(m.marks, saved)
	return m
}

// Progress is as that of the Session, once the bundle's mark is saved.
func (m *marker) Progress(id bundle.ID, stage spokev1.AckStage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.marks[m.recipient] == id {
		m.waiting = nil
		m.Hub.Progress(id, stage)
		return
	}
	m.waiting = &ack{id, stage}
	m.signal()
}

func (m *marker) signal() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Run saves marks until ctx ends, and returns nil then.
func (m *marker) Run(ctx context.Context) error {
	retry := markRetry
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.wake:
		}
		m.yield(ctx)
		pause := markPause
		if err := m.raise(ctx); err != nil && ctx.Err() == nil {
			m.log.Warn("the high-water mark is not saved, bundles are not acknowledged until it is", telemetry.Err(err))
			pause, retry = retry, min(2*retry, maxMarkRetry)
			m.signal()
		} else {
			retry = markRetry
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// yield waits until what waits to be acknowledged was applied, but not long: the API server has one disk for the
// objects and for the mark.
func (m *marker) yield(ctx context.Context) {
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

func (m *marker) applying() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.waiting != nil && m.waiting.stage == spokev1.AckStage_ACK_STAGE_RECEIVED
}

// raise saves the mark of the acknowledgement that waits, and passes the latest one for the same bundle on.
func (m *marker) raise(ctx context.Context) error {
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
		m.Hub.Progress(m.waiting.id, m.waiting.stage)
		m.waiting = nil
	}
	return nil
}
