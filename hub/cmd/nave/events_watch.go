package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/wait"
	"github.com/navefleet/nave/shared/wording"
)

// How a watch of events asks the hub: for all that a hub keeps, and to answer when there are any. An older hub answers
// at once, and is asked again after a pause.
const (
	eventsChunk = 10_000
	eventsWait  = 30 * time.Second
	eventsPause = time.Second
	eventsBatch = 50 * time.Millisecond // from events to the next request, so that it does not ask for each
)

// eventWatch asks for the events of a request, and then for those that the hub recorded after them.
type eventWatch struct {
	*printer
	*progress
	client  adminv1.AdminServiceClient
	request *adminv1.ListEventsRequest
	timeout time.Duration // of one request
	seen    time.Time     // of the newest event that the hub answered
	gap     string        // what is said about events that the hub did not keep; empty: it kept all
}

// list prints the present events.
func (w *eventWatch) list(ctx context.Context, messages io.Writer) error {
	events, err := w.next(ctx)
	if err != nil {
		return elsewhere(ctx, w.client, w.request.GetKey(), err)
	}
	if len(events) == 0 && w.isForPeople() {
		fmt.Fprintln(messages, "No events found.")
		return nil
	}
	return w.print(printoutOfEvents(events))
}

// follow prints the present events, then each new one, until the context ends. If the hub goes away, follow waits for
// it, and misses no event that the hub keeps: the hub numbers them. follow tells which ones the hub does not have.
func (w *eventWatch) follow(ctx context.Context) error {
	again := afterHubGone()
	for began := false; ; began = true {
		asked := time.Now()
		events, err := w.next(ctx)
		for began && mayComeBack(err) {
			w.showHubGone(err)
			if again.Pause(ctx) != nil {
				return nil
			}
			events, err = w.next(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return elsewhere(ctx, w.client, w.request.GetKey(), err)
		}
		again.Reset()
		w.endHubGone()
		if w.gap != "" {
			w.note(w.gap)
		}
		if err := w.printEvents(events); err != nil {
			return err
		}
		pause := eventsBatch
		if began && len(events) == 0 && time.Since(asked) < eventsPause {
			pause = eventsPause
		}
		w.request.Limit, w.request.Wait = eventsChunk, durationpb.New(min(eventsWait, w.timeout/2))
		if wait.For(ctx, pause) != nil {
			return nil
		}
	}
}

// next returns the events after those that it returned before.
func (w *eventWatch) next(ctx context.Context) ([]*adminv1.Event, error) {
	answer, err := w.client.ListEvents(ctx, w.request)
	if err != nil {
		return nil, err
	}
	if w.progress != nil && answer.GetLast() == 0 && len(answer.GetEvents()) > 0 {
		return nil, errTooOld("nave events --watch")
	}
	if answer.GetRun() == "" && answer.GetLast() > 0 && answer.GetLast() < w.request.GetAfter() { // of an older hub
		if answer, err = w.sinceRestore(ctx); err != nil {
			return nil, err
		}
	}
	w.request.After, w.request.Run = answer.GetLast(), answer.GetRun()
	w.gap = describeGap(answer.GetGap(), w.seen)
	if answer.GetGap().GetRestored() {
		answer.Events = slices.DeleteFunc(answer.GetEvents(), w.isSeen)
	}
	events := slices.DeleteFunc(answer.GetEvents(), w.leavesOut)
	for _, e := range events {
		if at := e.GetTime().AsTime(); at.After(w.seen) {
			w.seen = at
		}
	}
	return events, nil
}

// sinceRestore returns the events of a hub that was restored from a backup and numbers events anew from there: those
// that are later than all that the hub answered before it was restored.
func (w *eventWatch) sinceRestore(ctx context.Context) (*adminv1.ListEventsResponse, error) {
	all := proto.CloneOf(w.request)
	all.After, all.Wait = 0, nil
	answer, err := w.client.ListEvents(ctx, all)
	if err != nil {
		return nil, err
	}
	answer.Events = slices.DeleteFunc(answer.Events, w.isSeen)
	return answer, nil
}

// isSeen reports whether an event is not later than all that the hub answered before it was restored.
func (w *eventWatch) isSeen(e *adminv1.Event) bool { return !e.GetTime().AsTime().After(w.seen) }

// describeGap says which events the hub does not have that it recorded after the newest one that was seen; "": it has
// all.
func describeGap(gap *adminv1.EventGap, seen time.Time) string {
	if gap == nil {
		return ""
	}
	var between []string
	if !seen.IsZero() {
		between = append(between, "after "+wording.Time(seen))
	}
	if gap.GetUntil() != nil {
		between = append(between, "until "+wording.Time(gap.GetUntil().AsTime()))
	}
	if gap.GetRestored() {
		return strings.TrimRight("the hub was restored from a backup, or lost its store; it does not have the events that "+
			"it recorded "+strings.Join(between, " and "), " ")
	}
	names := make([]string, len(gap.GetClusters()))
	for i, name := range gap.GetClusters() {
		names[i] = cmp.Or(name, "the hub")
	}
	return oneLine(fmt.Sprintf("events of %s are missing, recorded %s: there were more than the hub keeps",
		wording.List(names, len(names)+int(gap.GetMore()), shownClusters), strings.Join(between, " and ")))
}

// leavesOut reports whether the request does not choose an event, which an older hub does not see.
func (w *eventWatch) leavesOut(e *adminv1.Event) bool {
	r := w.request
	return r.GetNamespace() != "" && e.GetObject().GetNamespace() != r.GetNamespace() ||
		len(r.GetTypes()) > 0 && !slices.Contains(r.GetTypes(), e.GetType()) ||
		r.GetSince() != nil && e.GetTime().AsTime().Before(r.GetSince().AsTime())
}

// printEvents prints new events: for machines each as a document, or a line, of its own.
func (w *eventWatch) printEvents(events []*adminv1.Event) error {
	if len(events) == 0 {
		return nil
	}
	l := printoutOfEvents(events)
	if w.isForPeople() {
		return w.print(l)
	}
	for _, item := range l.items {
		if err := w.print(printout{value: item}); err != nil {
			return err
		}
	}
	return nil
}
