// Package report sends the latest state of each application, and events, to the hub.
//
// A Reporter keeps the newest report of each application and the newest 100 events, so its memory is bounded. During a
// session it sends changed reports after a short pause that collects more of them. The first report of a session is
// full. Reports that could not be sent are sent again.
package report

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
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

// Reporter collects reports and events and sends them. Its methods are safe for concurrent use.
type Reporter struct {
	sender Sender
	log    *slog.Logger
	wake   wait.Signal

	mu        sync.Mutex // guards the following
	connected bool
	full      bool // the next message is the first of a session
	latest    map[bundle.ApplicationName]*spokev1.ApplicationReport
	size      int                             // of latest, in bytes
	reported  map[bundle.ApplicationName]bool // those of latest that the hub has room for
	changed   map[bundle.ApplicationName]bool // to be sent, or removed
	events    []*spokev1.Event
	said      int // how many are not reported, as it was sent last
	upgrade   *spokev1.SpokeUpgrade
	upgraded  bool // upgrade changed and is not sent
}

// New returns a Reporter that sends nothing before Run. A nil log means slog.Default.
func New(sender Sender, log *slog.Logger) *Reporter {
	return &Reporter{
		sender: sender, log: cmp.Or(log, slog.Default()), wake: wait.NewSignal(),
		latest:   map[bundle.ApplicationName]*spokev1.ApplicationReport{},
		reported: map[bundle.ApplicationName]bool{}, changed: map[bundle.ApplicationName]bool{},
	}
}

// Update replaces the report of an application. Long texts and lists are cut. If the reports of this cluster exceed the
// limit of the hub in bytes, the lists are left out. If they exceed its limit in number, the application is only
// counted, until there is room for it. The Reporter keeps a.
func (r *Reporter) Update(app bundle.ApplicationName, a *spokev1.ApplicationReport) {
	trim(a)
	r.mu.Lock()
	r.size -= proto.Size(r.latest[app])
	if r.size+proto.Size(a) > reporting.MaxSent {
		a.Inventory = nil
	}
	if r.size+proto.Size(a) > reporting.MaxSent {
		a.Objects, a.Drifts = nil, nil
		if a.HeldPrune != nil {
			a.HeldPrune.Objects = nil
		}
	}
	r.size += proto.Size(a)
	r.latest[app] = a
	if r.reported[app] || len(r.reported) < reporting.MaxApplications {
		r.reported[app], r.changed[app] = true, true
	}
	r.mu.Unlock()
	r.wake.Raise()
}

// Remove reports that an application is gone.
func (r *Reporter) Remove(app bundle.ApplicationName) {
	r.mu.Lock()
	r.size -= proto.Size(r.latest[app])
	delete(r.latest, app)
	if r.reported[app] {
		delete(r.reported, app)
		r.fill()
	}
	r.changed[app] = true
	r.mu.Unlock()
	r.wake.Raise()
}

// fill reports applications that there was no room for. The caller holds the lock.
func (r *Reporter) fill() {
	if len(r.latest) == len(r.reported) {
		return
	}
	for app := range r.latest {
		if len(r.reported) == reporting.MaxApplications {
			return
		}
		if !r.reported[app] {
			r.reported[app], r.changed[app] = true, true
		}
	}
}

// Event adds an event. If more than 100 events wait, the oldest are dropped.
func (r *Reporter) Event(e *spokev1.Event) {
	e.Message = telemetry.Printable(e.Message, reporting.MaxMessage)
	r.mu.Lock()
	r.keepEvents(append(r.events, e))
	r.mu.Unlock()
	r.wake.Raise()
}

// Upgrade replaces the report about the image that the bundle names for the spoke. Without an image there is none.
func (r *Reporter) Upgrade(image, failure string) {
	r.mu.Lock()
	r.upgrade = &spokev1.SpokeUpgrade{Image: image, Failure: telemetry.Printable(failure, reporting.MaxMessage)}
	r.upgraded = true
	r.mu.Unlock()
	r.wake.Raise()
}

// Connected starts or ends a session of the Reporter. A new session gets a full report.
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

// send sends the changes. Without a session, send returns nil: the next session begins with a full report.
func (r *Reporter) send(ctx context.Context) error {
	r.mu.Lock()
	if !r.connected {
		r.mu.Unlock()
		return nil
	}
	all := r.collect()
	news := proto.Size(all) > 0 && (all.Full || len(all.Applications)+len(all.Removed)+len(all.Events) > 0 ||
		all.Upgrade != nil || int(all.Unreported) != r.said)
	r.mu.Unlock()
	if !news {
		return nil
	}
	requests := split(all)
	for i, request := range requests {
		if err := r.sender.Report(ctx, request); err != nil {
			r.giveBack(requests[i:])
			return err
		}
	}
	r.mu.Lock()
	r.said = int(all.Unreported)
	r.mu.Unlock()
	return nil
}

// collect moves all changes into one message, which may exceed the limit of the wire. The caller holds the lock.
func (r *Reporter) collect() *spokev1.ReportRequest {
	all := &spokev1.ReportRequest{
		Full: r.full, Events: r.events, Unreported: uint32(len(r.latest) - len(r.reported)),
	}
	if r.full || r.upgraded {
		all.Upgrade, r.upgraded = r.upgrade, false
	}
	if r.full {
		clear(r.changed)
		maps.Copy(r.changed, r.reported)
	}
	for app := range r.changed {
		if r.reported[app] {
			all.Applications = append(all.Applications, r.latest[app])
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

// giveBack marks the content of unsent messages as changed again. Messages that were sent before them are not repeated,
// so that a long report makes progress over a bad line.
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
		r.upgraded = r.upgraded || request.Upgrade != nil
		r.keepEvents(append(request.Events, r.events...))
	}
}

// keepEvents keeps the newest events. The caller holds the lock.
func (r *Reporter) keepEvents(events []*spokev1.Event) {
	r.events = slices.Delete(events, 0, max(0, len(events)-reporting.MaxEvents))
}

// split divides a message into messages within the limits of the wire. Only the first one is full and has the
// events and the upgrade.
// Removals come first, so that the hub frees their room before it counts the reports that follow.
func split(all *spokev1.ReportRequest) []*spokev1.ReportRequest {
	if proto.Size(all) == 0 {
		return nil
	}
	current := &spokev1.ReportRequest{Full: all.Full, Events: all.Events, Unreported: all.Unreported,
		Upgrade: all.Upgrade}
	requests := []*spokev1.ReportRequest{current}
	size, names := proto.Size(current), 0
	room := func(m proto.Message) { // for m in current
		n := proto.Size(m) + 8
		if names > 0 && (size+n > maxRequest || names == reporting.MaxApplications) {
			current = &spokev1.ReportRequest{Unreported: all.Unreported}
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

// trim shortens a report until it fits into one message.
func trim(a *spokev1.ApplicationReport) {
	a.Message = telemetry.Printable(a.Message, reporting.MaxMessage)
	a.Reason = telemetry.Printable(a.Reason, reporting.MaxWord)
	if keys := a.Keys; keys != nil {
		keys.Missing = telemetry.Printable(keys.Missing, reporting.MaxMessage)
		keys.Names = keys.Names[:min(len(keys.Names), reporting.MaxKeys)]
	}
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
