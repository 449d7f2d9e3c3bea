package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// countingHub records an event before each answer, fails the second, and ends the watch after the fifth.
type countingHub struct {
	adminv1.UnimplementedAdminServiceServer
	asked *[]*adminv1.ListEventsRequest
	end   context.CancelFunc
	older bool
}

func (h countingHub) ListEvents(_ context.Context, r *adminv1.ListEventsRequest) (*adminv1.ListEventsResponse, error) {
	*h.asked = append(*h.asked, r)
	n := uint64(len(*h.asked))
	answer := &adminv1.ListEventsResponse{Last: n}
	for i := r.GetAfter() + 1; i <= n; i++ {
		answer.Events = append(answer.Events, &adminv1.Event{Type: []string{"Normal", "Warning"}[i%2],
			Message: fmt.Sprintf("number %d", i), Object: &adminv1.ObjectKey{Kind: "Fleet", Name: "all"}})
	}
	switch {
	case h.older:
		answer.Last = 0
	case n == 2:
		return nil, status.Error(codes.Unavailable, "the hub is stopping")
	case n == 5:
		h.end()
	}
	return answer, nil
}

// TestEvents_watch prints each event once, also those that the hub recorded while it was away.
func TestEvents_watch(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var asked []*adminv1.ListEventsRequest
	out, code := exitOf(ctx, serve(t, countingHub{asked: &asked, end: cancel}), "events", "-w", "--types=warning,normal")
	for i := 1; i <= 4; i++ {
		if strings.Count(out, fmt.Sprintf("number %d", i)) != 1 {
			t.Errorf("event %d is not printed once", i)
		}
	}
	if code != 0 || !strings.Contains(out, "the hub: it went away, waiting for it: the hub is stopping") ||
		strings.Count(out, "LAST SEEN") != 1 || t.Failed() {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	first, then := asked[0].GetWait(), asked[2].GetWait().AsDuration()
	if first != nil || then <= 0 || then > time.Minute {
		t.Errorf("the hub was asked to wait %v, then %s for an event", first, then)
	}
	out, code = exitOf(t.Context(), serve(t, countingHub{asked: &asked, older: true}), "events", "-w")
	if code != 1 || !strings.Contains(out, "too old for nave events --watch") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// restoredHub has ten events, is then restored from a backup with four of them, and records three more.
type restoredHub struct {
	adminv1.UnimplementedAdminServiceServer
	asked *atomic.Int32
	end   context.CancelFunc
}

func (h restoredHub) ListEvents(_ context.Context, r *adminv1.ListEventsRequest) (*adminv1.ListEventsResponse, error) {
	answer := &adminv1.ListEventsResponse{Last: 7}
	add := func(first, n uint64, name string) {
		for i := first; i < first+n; i++ {
			if i > r.GetAfter() {
				answer.Events = append(answer.Events, &adminv1.Event{Message: fmt.Sprint(name, i), Object: &adminv1.ObjectKey{},
					Time: timestamppb.New(time.Unix(int64(i)+100*int64(len(name)), 0))})
			}
		}
	}
	switch h.asked.Add(1) {
	case 1:
		add(1, 10, "old-")
		answer.Last = 10
		return answer, nil
	case 4:
		h.end()
	}
	add(1, 4, "old-")
	add(5, 3, "restored-")
	return answer, nil
}

// TestEvents_restored prints the events that a restored hub recorded before the watch asked it again, and no other one
// a second time.
func TestEvents_restored(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, code := exitOf(ctx, serve(t, restoredHub{asked: new(atomic.Int32), end: cancel}), "events", "-w")
	for _, want := range []string{"old-1", "old-4", "old-9", "restored-5", "restored-6", "restored-7"} {
		if strings.Count(out, want+"\n") != 1 {
			t.Errorf("%s is not printed once", want)
		}
	}
	if code != 0 || t.Failed() {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// gapHub lacks events after the first answer, and then was restored.
type gapHub struct {
	adminv1.UnimplementedAdminServiceServer
	asked *[]*adminv1.ListEventsRequest
	end   context.CancelFunc
}

func (h gapHub) ListEvents(_ context.Context, r *adminv1.ListEventsRequest) (*adminv1.ListEventsResponse, error) {
	*h.asked = append(*h.asked, r)
	n := len(*h.asked)
	event := func(seconds int64) *adminv1.Event {
		return &adminv1.Event{Message: fmt.Sprint("number ", seconds), Object: &adminv1.ObjectKey{},
			Time: timestamppb.New(time.Unix(seconds, 0))}
	}
	until := timestamppb.New(time.Unix(100, 0))
	switch n {
	case 1:
		return &adminv1.ListEventsResponse{Events: []*adminv1.Event{event(1)}, Last: 10, Run: "a"}, nil
	case 2:
		return &adminv1.ListEventsResponse{Events: []*adminv1.Event{event(2)}, Last: 20, Run: "a",
			Gap: &adminv1.EventGap{Clusters: []string{"", "east"}, More: 4, Until: until}}, nil
	case 3:
		return &adminv1.ListEventsResponse{Events: []*adminv1.Event{event(2), event(3)}, Last: 15, Run: "b",
			Gap: &adminv1.EventGap{Restored: true, Until: until}}, nil
	}
	h.end()
	return &adminv1.ListEventsResponse{Last: 15, Run: "b"}, nil
}

// TestEvents_gap says on standard error which events are missing, and goes on. Standard output stays JSON.
func TestEvents_gap(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var asked []*adminv1.ListEventsRequest
	var out, messages strings.Builder
	root, end := program(&out, &messages)
	root.SetArgs([]string{"events", "-w", "-o=json", "--config=" + serve(t, gapHub{asked: &asked, end: cancel})})
	if err := end(root.ExecuteContext(ctx)); err != nil {
		t.Error(err)
	}
	const want = "nave: events of the hub, east, and 4 more are missing, recorded after 1970-01-01T00:00:01Z and until " +
		"1970-01-01T00:01:40Z: there were more than the hub keeps\n" +
		"nave: the hub was restored from a backup, or lost its store; it does not have the events that it recorded after " +
		"1970-01-01T00:00:02Z and until 1970-01-01T00:01:40Z\n"
	if messages.String() != want {
		t.Errorf("says\n%swant\n%s", messages.String(), want)
	}
	for decoder := json.NewDecoder(strings.NewReader(out.String())); ; {
		var event printedEvent
		if err := decoder.Decode(&event); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v:\n%s", err, out.String())
		}
	}
	for i := 1; i <= 3; i++ {
		if strings.Count(out.String(), fmt.Sprintf("number %d\"", i)) != 1 {
			t.Errorf("event %d is not printed once:\n%s", i, out.String())
		}
	}
	if len(asked) != 4 || asked[2].GetRun() != "a" || asked[2].GetAfter() != 20 || asked[3].GetRun() != "b" {
		t.Errorf("asked %v", asked)
	}
}

// TestEvents_chosen asks the hub for what the flags choose, and leaves out what an older one sends all the same.
func TestEvents_chosen(t *testing.T) {
	for _, c := range []struct{ args, object, types, want string }{
		{"--types=Warning", "///", "[Warning]", "number 1"},
		{"--types normal --since=1h", "///", "[Normal]", "No events found.\n"},
		{"--for fleet/all", "/Fleet//all", "[]", "number 1"},
		{"--for Pod/web -n apps --cluster=east", "east/Pod/apps/web", "[]", "number 1"},
	} {
		var asked []*adminv1.ListEventsRequest
		out, code := exitOf(t.Context(), serve(t, countingHub{asked: &asked}), append([]string{"events"},
			strings.Fields(c.args)...)...)
		if len(asked) != 1 || code != 0 || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit code %d after %d requests:\n%s", c.args, code, len(asked), out)
			continue
		}
		key := asked[0].GetKey()
		object := strings.Join([]string{key.GetCluster(), key.GetKind(), key.GetNamespace(), key.GetName()}, "/")
		since := asked[0].GetSince() != nil
		if object != c.object || fmt.Sprint(asked[0].GetTypes()) != c.types || since != strings.Contains(c.args, "since") {
			t.Errorf("%s: asked for %v", c.args, asked[0])
		}
	}
	for args, want := range map[string]string{
		"--types=Error": "want Normal, Warning or both", "--since=-1h": "want a time that is over",
		"--for=all":                 "want KIND/NAME",
		"fleet all --for=fleet/all": "leave out --for, or fleet all", "-A --for=fleet/all": "-A does nothing for one object",
		"--for=pod/web": "pod",
	} {
		out, code := exitOf(t.Context(), serve(t, countingHub{}), append([]string{"events"}, strings.Fields(args)...)...)
		if code == 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit code %d, want %q:\n%s", args, code, want, out)
		}
	}
}
