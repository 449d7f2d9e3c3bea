// Package report sends the latest state of each application, and events, to the hub.
//
// It keeps one report for each application, the newest, and the newest 100 events; nothing grows with time. While there
// is a session it sends what changed, after a moment in which more may come; the first report of a session is full.
// What could not be sent stays what is to be sent.
package report

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/wait"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

const (
	maxRequest = 128 << 10 // bytes of one message beyond its first application: 16 s over 64 kbit/s; the wire takes 1 MiB
	gather     = 20 * time.Millisecond
	firstRetry = time.Second
	maxRetry   = 30 * time.Second
)

// Sender is the session.
type Sender interface {
	Report(ctx context.Context, r *spokev1.ReportRequest) error
}

// Reporter collects and sends. Its methods are safe for concurrent use.
type Reporter struct {
	sender Sender
	log    *slog.Logger
	wake   wait.Signal

	mu        sync.Mutex // guards the following
	connected bool
	full      bool // the next report is the first of a session
	latest    map[bundle.ApplicationName]*spokev1.ApplicationReport
	size      int                             // of latest, in bytes
	changed   map[bundle.ApplicationName]bool // to be sent, or removed
	events    []*spokev1.Event
}

// New returns a Reporter that sends nothing before Run. A nil log means slog.Default.
func New(sender Sender, log *slog.Logger) *Reporter {
	return &Reporter{
		sender: sender, log: cmp.Or(log, slog.Default()), wake: wait.NewSignal(),
		latest: map[bundle.ApplicationName]*spokev1.ApplicationReport{}, changed: map[bundle.ApplicationName]bool{},
	}
}

// Update replaces the report of an application. Long texts and lists are cut, and the inventory is left out when the
// hub would not keep so much of one cluster. The reporter keeps a.
func (r *Reporter) Update(app bundle.ApplicationName, a *spokev1.ApplicationReport) {
	trim(a)
	r.mu.Lock()
	r.size -= proto.Size(r.latest[app])
	if r.size+proto.Size(a) > reporting.MaxSent {
		a.Inventory = nil
	}
	r.size += proto.Size(a)
	r.latest[app], r.changed[app] = a, true
	r.mu.Unlock()
	r.wake.Raise()
}

// Remove reports that an application is gone.
func (r *Reporter) Remove(app bundle.ApplicationName) {
	r.mu.Lock()
	r.size -= proto.Size(r.latest[app])
	delete(r.latest, app)
	r.changed[app] = true
	r.mu.Unlock()
	r.wake.Raise()
}

// Event reports something that happened. Of more than 100 that wait, the oldest are dropped.
func (r *Reporter) Event(e *spokev1.Event) {
	e.Message = telemetry.Printable(e.Message, reporting.MaxMessage)
	r.mu.Lock()
	r.keepEvents(append(r.events, e))
	r.mu.Unlock()
	r.wake.Raise()
}

// Connected tells whether there is a session. A new one is told everything.
func (r *Reporter) Connected(yes bool) {
	r.mu.Lock()
	r.connected, r.full = yes, yes
	r.mu.Unlock()
	r.wake.Raise()
}

// Run sends until the context ends.
func (r *Reporter) Run(ctx context.Context) {
	retry := wait.Backoff{First: firstRetry, Most: maxRetry}
	for r.wake.Wait(ctx) == nil && wait.For(ctx, gather) == nil {
		err := r.send(ctx)
		if err == nil {
			retry.Reset()
			continue
		}
		r.log.Warn("report not sent", telemetry.Err(err))
		if retry.Pause(ctx) == nil {
			r.wake.Raise()
		}
	}
}

// send sends what changed. Without a session it does nothing: the next session asks for everything anyway.
func (r *Reporter) send(ctx context.Context) error {
	r.mu.Lock()
	if !r.connected {
		r.mu.Unlock()
		return nil
	}
	all := r.collect()
	r.mu.Unlock()
	requests := split(all)
	for i, request := range requests {
		if err := r.sender.Report(ctx, request); err != nil {
			r.giveBack(requests[i:])
			return err
		}
	}
	return nil
}

// collect empties the reporter into one message, which may be too long. The caller holds the lock.
func (r *Reporter) collect() *spokev1.ReportRequest {
	all := &spokev1.ReportRequest{Full: r.full, Events: r.events}
	if r.full {
		clear(r.changed)
		for app := range r.latest {
			r.changed[app] = true
		}
	}
	for app := range r.changed {
		if a := r.latest[app]; a != nil {
			all.Applications = append(all.Applications, a)
		} else {
			all.Removed = append(all.Removed, app.Message())
		}
	}
	slices.SortFunc(all.Applications, func(x, y *spokev1.ApplicationReport) int { return compare(x.Name, y.Name) })
	slices.SortFunc(all.Removed, compare)
	r.full, r.events = false, nil
	clear(r.changed)
	return all
}

func compare(x, y *bundlev1.ApplicationName) int {
	return bundle.NameFrom(x).Compare(bundle.NameFrom(y))
}

// giveBack makes messages that were not sent due again. What was sent before them stays sent, so that a long report
// gets on over a bad line; a new session asks for everything anyway.
func (r *Reporter) giveBack(unsent []*spokev1.ReportRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, request := range unsent {
		for _, a := range request.Applications {
			r.changed[bundle.NameFrom(a.Name)] = true
		}
		for _, name := range request.Removed {
			r.changed[bundle.NameFrom(name)] = true
		}
		r.full = r.connected && (r.full || request.Full)
		r.keepEvents(append(request.Events, r.events...))
	}
}

// keepEvents keeps the newest events. The caller holds the lock.
func (r *Reporter) keepEvents(events []*spokev1.Event) {
	r.events = slices.Delete(events, 0, max(0, len(events)-reporting.MaxEvents))
}

// split makes as many messages of one as the limits of the wire need. Only the first is full and has the events. What
// was removed comes first: the hub counts it no more when it counts what it stores of the cluster.
func split(all *spokev1.ReportRequest) []*spokev1.ReportRequest {
	if proto.Size(all) == 0 {
		return nil
	}
	current := &spokev1.ReportRequest{Full: all.Full, Events: all.Events}
	requests := []*spokev1.ReportRequest{current}
	size, names := proto.Size(current), 0
	room := func(m proto.Message) { // for m in current
		n := proto.Size(m) + 8
		if names > 0 && (size+n > maxRequest || names == reporting.MaxApplications) {
			current = &spokev1.ReportRequest{}
			requests = append(requests, current)
			size, names = 0, 0
		}
		size, names = size+n, names+1
	}
	for _, name := range all.Removed {
		room(name)
		current.Removed = append(current.Removed, name)
	}
	for _, a := range all.Applications {
		room(a)
		current.Applications = append(current.Applications, a)
	}
	return requests
}

// trim keeps a report below the limit of a message, whatever is in it.
func trim(a *spokev1.ApplicationReport) {
	a.Message = telemetry.Printable(a.Message, reporting.MaxMessage)
	a.Reason = telemetry.Printable(a.Reason, reporting.MaxWord)
	a.Objects = a.Objects[:min(len(a.Objects), reporting.MaxObjects)]
	for _, o := range a.Objects {
		o.Message = telemetry.Printable(o.Message, reporting.MaxMessage)
	}
	a.Inventory = a.Inventory[:min(len(a.Inventory), reporting.MaxInventory)]
	size := proto.Size(a)
	for size > reporting.MaxReport && len(a.Inventory) > 0 {
		a.Inventory = a.Inventory[:len(a.Inventory)/2]
		size = proto.Size(a)
	}
}
