package dispatch

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/wait"
)

// After an idle period a batch waits for batchQuiet to collect concurrent writes: a change reaches all spokes at about
// the same moment. Under load one transaction is written in each batchWindow.
const (
	batchQuiet  = 10 * time.Millisecond
	batchWindow = 50 * time.Millisecond
	batchRetry  = time.Second // after a failed transaction, usually a full disk
)

const (
	maxBatchReports = 256
	maxBatchBytes   = 8 << 20
	maxEvents       = 1000 // waiting ones; more are dropped
	flushTimeout    = 5 * time.Second
)

// batch collects the messages of spokes until they are written. Its size is bounded by the number of clusters, because
// only the latest message of each kind is kept.
type batch struct {
	store *store.Store
	log   *slog.Logger
	now   func() time.Time
	wake  wait.Signal

	mu sync.Mutex
	load
}

// load is the content of one transaction.
type load struct {
	spokes  map[string]*spokeDelta
	reports []*pendingReport // each has a caller that waits
	events  []store.Event
}

// pendingReport is one Report call.
type pendingReport struct {
	cluster string
	report  *checkedReport
	done    chan error // capacity 1
}

func newBatch(s *store.Store, log *slog.Logger, now func() time.Time) *batch {
	return &batch{store: s, log: log, now: now, wake: wait.NewSignal(), load: load{spokes: map[string]*spokeDelta{}}}
}

// edit changes the pending change of a cluster's Spoke row.
func (b *batch) edit(cluster string, change func(*spokeDelta)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.spokes[cluster]
	if d == nil {
		d = &spokeDelta{}
		b.spokes[cluster] = d
	}
	change(d)
	b.wake.Raise()
}

func (b *batch) hello(cluster string, h *spokev1.Hello, verified bundle.ID) {
	b.edit(cluster, func(d *spokeDelta) { d.hello(h, verified, b.now()) })
}

func (b *batch) ack(cluster string, stage bundle.Stage, id bundle.ID) {
	b.edit(cluster, func(d *spokeDelta) { d.ack(stage, id) })
}

func (b *batch) reject(cluster, why string) {
	b.edit(cluster, func(d *spokeDelta) { d.rejected = &why })
}

func (b *batch) event(e store.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.events) < maxEvents {
		b.events = append(b.events, e)
	}
	b.wake.Raise()
}

// report queues a report and returns when it is on disk. If ctx ends first, the report is dropped, unless it is being
// written.
func (b *batch) report(ctx context.Context, p *pendingReport) error {
	b.mu.Lock()
	b.reports = append(b.reports, p)
	b.wake.Raise()
	b.mu.Unlock()
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		b.forget(p)
		return status.FromContextError(ctx.Err()).Err()
	}
}

// forget removes a report from the queue.
func (b *batch) forget(p *pendingReport) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.reports, p); i >= 0 {
		b.reports = slices.Delete(b.reports, i, i+1)
	}
}

// run writes batches until ctx ends, and then the rest.
func (b *batch) run(ctx context.Context) error {
	var last time.Time
	write := context.WithoutCancel(ctx)
	for {
		select {
		case <-ctx.Done():
			b.last(write)
			return nil
		case <-b.wake:
		}
		_ = wait.For(ctx, max(batchQuiet, batchWindow-time.Since(last))) // what is left is written at the end
		if err := b.flush(write); err != nil {
			b.log.Error("acks and reports of spokes cannot be written and will be tried again", telemetry.Err(err))
			_ = wait.For(ctx, batchRetry)
			b.wake.Raise()
		}
		last = time.Now()
	}
}

// last writes the rest, in as many transactions as it takes.
func (b *batch) last(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	for !b.empty() && ctx.Err() == nil {
		if err := b.flush(ctx); err != nil {
			b.log.Error("the last acks and reports of spokes cannot be written", telemetry.Err(err))
			return
		}
	}
}

func (b *batch) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.spokes) == 0 && len(b.reports) == 0 && len(b.events) == 0
}

// pick removes the load of the next transaction from the batch and returns it. Reports beyond its size stay.
func (b *batch) pick() load {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, size := 0, 0
	for n < len(b.reports) && n < maxBatchReports && (n == 0 || size+b.reports[n].report.size <= maxBatchBytes) {
		size += b.reports[n].report.size
		n++
	}
	l := b.load
	l.reports = b.reports[:n:n]
	b.load = load{spokes: map[string]*spokeDelta{}, reports: slices.Clone(b.reports[n:])}
	if len(b.reports) > 0 {
		b.wake.Raise()
	}
	return l
}

// restore puts back a load that could not be written; newer messages win. Reports are dropped: their callers get an
// error and report again.
func (b *batch) restore(l load) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for cluster, d := range l.spokes {
		if newer := b.spokes[cluster]; newer != nil {
			d.merge(newer)
		}
		b.spokes[cluster] = d
	}
	b.events = append(l.events, b.events...)
	b.events = b.events[:min(len(b.events), maxEvents)]
}

// flush writes one transaction.
func (b *batch) flush(ctx context.Context) error {
	l := b.pick()
	err := b.store.Update(ctx, l.write)
	answer := error(nil)
	if err != nil {
		b.restore(l)
		answer = status.Error(codes.Unavailable, "the hub cannot write its store")
	}
	for _, p := range l.reports {
		p.done <- answer
	}
	return err
}

// namesBlobs reports whether a spoke sent capabilities. Whatever else a row of the load names is in a signed bundle.
func (l load) namesBlobs() bool {
	for _, d := range l.spokes {
		if !d.capabilities.IsZero() {
			return true
		}
	}
	return false
}

// write puts the load into the store. Rows of clusters that were deleted meanwhile are not brought back.
func (l load) write(tx *store.Tx) error {
	if !l.namesBlobs() {
		tx.NamesNoBlobs() // on a full disk, acks and reports may have room where the planner's blobs have none
	}
	exists := map[string]bool{}
	ifExists := func(cluster string, write func(*store.Tx, string) error) (err error) {
		if _, known := exists[cluster]; !known {
			exists[cluster], err = store.ClusterExists(tx, cluster)
		}
		if err != nil || !exists[cluster] {
			return err
		}
		return write(tx, cluster)
	}
	for cluster, d := range l.spokes {
		if err := ifExists(cluster, d.write); err != nil {
			return err
		}
	}
	for _, p := range l.reports {
		if err := ifExists(p.cluster, p.report.write); err != nil {
			return err
		}
	}
	for _, e := range l.events {
		if err := store.Record(tx, e); err != nil {
			return err
		}
	}
	return nil
}
