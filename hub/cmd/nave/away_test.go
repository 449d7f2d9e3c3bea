package main

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// awayHub goes away in the middle of watches and logs, is away for a call, and comes back. Meanwhile b was deleted, c
// was made, and the log has another line.
type awayHub struct {
	adminv1.UnimplementedAdminServiceServer
	calls *atomic.Int32
	end   context.CancelFunc
}

// answer sends what the hub has before it goes away, or after that.
func (h awayHub) answer(before, after func() error) error {
	var err error
	switch h.calls.Add(1) {
	case 1:
		err = before()
	case 3:
		err = after()
	case 4: // nave has read all of it
		h.end()
	}
	if err != nil {
		return err
	}
	return status.Error(codes.Unavailable, "the hub is stopping")
}

func (h awayHub) Watch(_ *adminv1.WatchRequest, stream grpc.ServerStreamingServer[adminv1.WatchResponse]) error {
	send := func(changes ...*adminv1.WatchResponse) func() error {
		return func() error {
			for _, c := range changes {
				if err := stream.Send(c); err != nil {
					return err
				}
			}
			return nil
		}
	}
	synced := &adminv1.WatchResponse{Type: adminv1.WatchType_WATCH_TYPE_SYNCED}
	return h.answer(send(changeOf("a", "True"), changeOf("b", "True"), synced),
		send(changeOf("a", "True"), changeOf("c", "True"), synced, changeOf("a", "False")))
}

func (h awayHub) Logs(r *adminv1.LogsRequest, stream grpc.ServerStreamingServer[adminv1.LogsResponse]) error {
	send := func(lines ...string) func() error {
		return func() error {
			m := &adminv1.LogsResponse{}
			for i, line := range lines {
				at := time.Unix(int64(i), 0)
				if line == "three" { // while nave waited
					at = time.Now()
				}
				if r.Since == nil || time.Since(at) <= r.Since.AsDuration() {
					m.Records = append(m.Records, &adminv1.LogRecord{Message: line, Time: timestamppb.New(at)})
				}
			}
			if r.Tail != nil {
				m.Records = m.Records[len(m.Records)-int(r.GetTail()):]
			}
			return stream.Send(m)
		}
	}
	return h.answer(send("one", "two"), send("one", "two", "three"))
}

// TestAway goes on with watches and logs when a hub that went away is back: what changed meanwhile is printed, and
// nothing a second time.
func TestAway(t *testing.T) {
	for name, c := range map[string]struct {
		args   string
		counts map[string]int
	}{
		"get": {"get kustomizations --cluster=east -w", map[string]int{"READY": 1, " a  ": 2, " b  ": 1, " c  ": 1,
			"\nKustomization flux-system/b on east deleted\n": 1, "the hub: it went away, waiting for it: the hub is stopping": 2}},
		"get_json": {"get kustomizations --cluster=east -w -o jsonpath={.metadata.name};", map[string]int{"a;": 2, "b;": 1,
			"c;": 1}},
		"logs": {"logs -f --tail=1", map[string]int{" one\n": 0, " two\n": 1, " three\n": 1,
			"the log of the hub: it ended, waiting for it: the hub is stopping": 2}},
		"logs_from_now": {"logs -f --tail=0", map[string]int{" one\n": 0, " two\n": 0, " three\n": 1}},
		"logs_of_a_spoke": {"logs east -f -o json", map[string]int{`"one"`: 1, `"two"`: 1, `"three"`: 1,
			"the log of cluster east: it ended, waiting for it: the hub is stopping": 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			out, code := exitOf(ctx, serve(t, awayHub{calls: new(atomic.Int32), end: cancel}), strings.Fields(c.args)...)
			if ctx.Err() != context.Canceled || code != 0 {
				t.Errorf("exit code %d, %v", code, ctx.Err())
			}
			for text, n := range c.counts {
				if got := strings.Count("\n"+out, text); got != n {
					t.Errorf("%q is printed %d times, not %d times:\n%s", text, got, n, out)
				}
			}
		})
	}
}

// TestAway_from_the_start ends a watch and a log of a hub that is away when the command begins.
func TestAway_from_the_start(t *testing.T) {
	for _, args := range []string{"get kustomizations --cluster=east -w", "logs -f"} {
		var calls atomic.Int32
		calls.Store(1)
		out, code := exitOf(t.Context(), serve(t, awayHub{calls: &calls}), strings.Fields(args)...)
		if code != 1 || !strings.Contains(out, "the hub is stopping") || calls.Load() != 2 {
			t.Errorf("%s: exit code %d after %d calls:\n%s", args, code, calls.Load()-1, out)
		}
	}
}
