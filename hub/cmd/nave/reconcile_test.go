package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// endedStream is a watch whose deadline the server notices before the client does.
type endedStream struct {
	grpc.ClientStream
	sent bool
	code codes.Code
}

func (s *endedStream) Recv() (*adminv1.WatchResponse, error) {
	if s.sent {
		return nil, status.Error(s.code, "stream terminated by RST_STREAM")
	}
	s.sent = true
	return &adminv1.WatchResponse{Type: adminv1.WatchType_WATCH_TYPE_CHANGED, Object: &adminv1.Object{Json: []byte(
		`{"status":{"conditions":[{"type":"Ready","status":"Unknown","message":"at work"}]}}`)}}, nil
}

// endingClient answers each watch with an endedStream.
type endingClient struct {
	adminv1.AdminServiceClient
	code codes.Code
}

func (c endingClient) Watch(context.Context, *adminv1.WatchRequest, ...grpc.CallOption) (
	grpc.ServerStreamingClient[adminv1.WatchResponse], error) {
	return &endedStream{code: c.code}, nil
}

// TestWaitFor_ended ends a wait by a status of the server: the message is that of the object, not the transport's.
func TestWaitFor_ended(t *testing.T) {
	key := &adminv1.ObjectKey{Kind: "Cluster", Name: "west"}
	for code, want := range map[codes.Code]string{codes.DeadlineExceeded: "Cluster west: not finished in time: at work",
		codes.Canceled: "Cluster west: not finished in time: at work",
		codes.Unavailable: "Cluster west: not finished in time: at work; the hub went away meanwhile: stream terminated by " +
			"RST_STREAM",
		codes.Internal: "RST_STREAM"} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := waitFor(ctx, &progress{lines: io.Discard}, endingClient{code: code}, key, handling(""))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", code, err, want)
		}
	}
}

func TestHandled(t *testing.T) {
	const asked = "2026-01-02T03:04:05.1Z"
	for name, c := range map[string]struct {
		status  string
		last    string // request; empty: the one that is asked for
		done    bool
		failure string
	}{
		"nothing_known":         {`{}`, "", false, ""},
		"an_earlier_request":    {`{"lastHandledReconcileAt":"2026-01-02T03:04:05.09Z","conditions":[{"type":"Ready","status":"True","message":"m"}]}`, "", false, ""},
		"no_request_yet":        {`{"conditions":[{"type":"Ready","status":"False","message":"m"}]}`, "", false, ""},
		"handled_ready":         {`{"lastHandledReconcileAt":"2026-01-02T03:04:05.1Z","conditions":[{"type":"Ready","status":"True","message":"m"}]}`, "", true, ""},
		"a_later_one_ready":     {`{"lastHandledReconcileAt":"2026-01-02T03:04:05.11Z","conditions":[{"type":"Ready","status":"True","message":"m"}]}`, "2026-01-02T03:04:06Z", true, ""},
		"handled_still_at_work": {`{"lastHandledReconcileAt":"2026-01-02T03:04:05.1Z","conditions":[{"type":"Ready","status":"Unknown","message":"m"}]}`, "", false, ""},
		"handled_failed":        {`{"lastHandledReconcileAt":"2026-01-02T03:04:05.1Z","conditions":[{"type":"Ready","status":"False","message":"path not found"}]}`, "", false, "path not found"},
		"drift_is_held":         {`{"lastHandledReconcileAt":"2026-01-02T03:04:05.1Z","conditions":[{"type":"Ready","status":"False","reason":"DriftHeld","message":"soon"}]}`, "", false, ""},
		"waits_for_a_pin":       {`{"conditions":[{"type":"Ready","status":"Unknown","reason":"Pinned","message":"pinned: nave release west"}]}`, "", false, "nave release west"},
		"nobody_will_know":      {`{"conditions":[{"type":"Ready","status":"Unknown","reason":"ReportsLimited","message":"a hub takes reports about 9"}]}`, "", false, "reports about 9"},
		"nonsense_was_handled":  {`{"lastHandledReconcileAt":"yesterday","conditions":[{"type":"Ready","status":"True","message":"m"}]}`, "", false, ""},
		"a_later_annotation":    {`{"lastHandledReconcileAt":"now","conditions":[{"type":"Ready","status":"True","message":"m"}]}`, "now", true, ""},
		"future_annotation":     {`{"lastHandledReconcileAt":"2099-01-01T00:00:00Z","conditions":[{"type":"Ready","status":"True","message":"m"}]}`, "", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			object, err := decode(&adminv1.Object{Json: fmt.Appendf(nil,
				`{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":%q}},"status":%s}`, cmp.Or(c.last, asked), c.status)})
			if err != nil {
				t.Fatal(err)
			}
			done, _, err := handled(object, asked)
			if done != c.done || (err != nil) != (c.failure != "") || err != nil && !strings.Contains(err.Error(), c.failure) {
				t.Fatalf("done %v, error %v; want %v, %q", done, err, c.done, c.failure)
			}
		})
	}
}

// TestTested lets a failed test fail, although the release is ready, and waits for tests that have not ended.
func TestTested(t *testing.T) {
	const asked = "2026-01-02T03:04:05.1Z"
	for name, c := range map[string]struct {
		status  string // beside Ready
		done    bool
		message string // or error
	}{
		"passed": {`"lastHandledTestAt":"` + asked + `","history":[{"tests":"passed"},{"tests":"failed"}]`, true,
			"the tests passed"},
		"failed": {`"lastHandledTestAt":"` + asked + `","history":[{"tests":"failed"}],"conditions":[{"type":"Ready",` +
			`"status":"True"},{"type":"TestSuccess","status":"False","message":"hook Pod a/check: it failed"}]`, false,
			"hook Pod a/check: it failed"},
		"drifted": {`"lastHandledTestAt":"` + asked + `","history":[{"tests":"passed"}],"conditions":[{"type":"Ready",` +
			`"status":"False","reason":"DriftDetected","message":"ConfigMap a/b"}]`, true, "the tests passed"},
		"without_condition": {`"lastHandledTestAt":"` + asked + `","history":[{"tests":"failed"}]`, false,
			"the tests failed"},
		"no_tests": {`"lastHandledTestAt":"` + asked + `","history":[{}]`, false, "no test ran"},
		"running": {`"lastHandledTestAt":"` + asked + `","history":[{"tests":"failed"}],"running":{"action":"test"}`,
			false, ""},
		"an_earlier_request": {`"lastHandledTestAt":"2026-01-02T03:04:05Z","history":[{"tests":"failed"}]`, false, ""},
		"never":              {`"history":[{"tests":"passed"}]`, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			conditions := `"conditions":[{"type":"Ready","status":"True","message":"m"}],`
			if strings.Contains(c.status, "conditions") {
				conditions = ""
			}
			object, err := decode(&adminv1.Object{Json: fmt.Appendf(nil,
				`{"status":{"lastHandledReconcileAt":%q,%s%s}}`, asked, conditions, c.status)})
			if err != nil {
				t.Fatal(err)
			}
			done, message, err := tested(asked)(object)
			if done != c.done || (err != nil) != (!c.done && c.message != "") ||
				!strings.Contains(message+fmt.Sprint(err), c.message) {
				t.Fatalf("done %v, %q, error %v; want %v, %q", done, message, err, c.done, c.message)
			}
		})
	}
}

// returningHub accepts requests, and its first watch ends because the hub stops. In the next one the object is ready.
type returningHub struct {
	silentHub
	watches *int
}

func (h returningHub) Watch(_ *adminv1.WatchRequest, stream grpc.ServerStreamingServer[adminv1.WatchResponse]) error {
	if *h.watches++; *h.watches == 1 {
		return status.Error(codes.Unavailable, "the hub is stopping")
	}
	return readyHub{}.Watch(nil, stream)
}

func (h returningHub) Tree(ctx context.Context, r *adminv1.TreeRequest) (*adminv1.TreeResponse, error) {
	return readyHub{}.Tree(ctx, r)
}

// TestReconcile_hubRestarts goes on when the hub comes back: it has stored the request.
func TestReconcile_hubRestarts(t *testing.T) {
	for _, verb := range []string{"reconcile", "resume"} {
		watches := 0
		out, code := exitOf(t.Context(), serve(t, returningHub{watches: &watches}), verb, "gitrepository", "web",
			"--timeout=20s")
		if code != 0 || watches != 2 || !strings.Contains(out, "the hub: it went away, waiting for it: the hub is stopping\n"+
			"✔ GitRepository flux-system/web: applied\n") {
			t.Errorf("%s: exit code %d after %d watches:\n%s", verb, code, watches, out)
		}
	}
}

// TestIsAway tells a hub that may come back from one that will refuse the operator again.
func TestIsAway(t *testing.T) {
	for text, want := range map[string]bool{"the hub is stopping": true, "error reading from server: EOF": true,
		"connection error: desc = connection refused":                          true,
		"connection error: desc = remote error: tls: expired certificate":      false,
		"connection error: desc = own certificate: it ended yesterday":         false,
		"connection error: desc = verify the hub: signed by another authority": false} {
		if got := isAway(status.Error(codes.Unavailable, text)); got != want {
			t.Errorf("%s: away %v, want %v", text, got, want)
		}
	}
	if isAway(nil) || isAway(status.Error(codes.NotFound, "not found")) || !isAway(io.EOF) {
		t.Error("only an end of the stream and an unavailable hub are away")
	}
}

// silentHub accepts requests, and its watches end only with their context.
type silentHub struct {
	adminv1.UnimplementedAdminServiceServer
}

func (silentHub) Reconcile(context.Context, *adminv1.ReconcileRequest) (*adminv1.ReconcileResponse, error) {
	return &adminv1.ReconcileResponse{RequestedAt: "2026-01-02T03:04:05Z"}, nil
}

func (silentHub) Resume(context.Context, *adminv1.ResumeRequest) (*adminv1.ResumeResponse, error) {
	return &adminv1.ResumeResponse{Changed: true, RequestedAt: "2026-01-02T03:04:05Z"}, nil
}

func (silentHub) Watch(_ *adminv1.WatchRequest, stream grpc.ServerStreamingServer[adminv1.WatchResponse]) error {
	<-stream.Context().Done()
	return nil
}

// TestTest_timeout ends the wait for tests after --timeout.
func TestTest_timeout(t *testing.T) {
	root := newCommand()
	root.SetArgs([]string{"test", "web", "--timeout=100ms", "--config=" + serve(t, silentHub{})})
	if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "not finished in time") {
		t.Errorf("got %v", err)
	}
}

// readyHub answers each request at once. Its Kustomization has two remote bases, of which one could not be fetched.
type readyHub struct{ silentHub }

func (readyHub) Watch(_ *adminv1.WatchRequest, stream grpc.ServerStreamingServer[adminv1.WatchResponse]) error {
	return stream.Send(&adminv1.WatchResponse{Type: adminv1.WatchType_WATCH_TYPE_CHANGED, Object: &adminv1.Object{
		Json: []byte(`{"status":{"lastHandledReconcileAt":"2026-01-02T03:04:05Z","conditions":[{"type":"Ready",` +
			`"status":"True","message":"applied"}]}}`)}})
}

func (readyHub) Tree(_ context.Context, r *adminv1.TreeRequest) (*adminv1.TreeResponse, error) {
	if r.GetKey().GetName() == "deleted" {
		return nil, status.Error(codes.NotFound, "not found")
	}
	return &adminv1.TreeResponse{Root: &adminv1.TreeNode{Status: "True", Children: []*adminv1.TreeNode{
		{Object: "RemoteBase.fleet.nave.io apps/a", Status: "True", Message: "stored"},
		{Object: "RemoteBase.fleet.nave.io apps/b", Status: "False", Message: "fetch https://b.example: 404"},
		{Object: "ConfigMap apps/c", Status: "False", Message: "missing"},
	}}}, nil
}

// TestReconcile_staleBase names the remote bases whose last fetch failed. The exit code is that of the Kustomization.
func TestReconcile_staleBase(t *testing.T) {
	config := "--config=" + serve(t, readyHub{})
	const done = "" +
		"► reconciliation of Kustomization flux-system/%[1]s requested\n✔ Kustomization flux-system/%[1]s: applied\n"
	for args, want := range map[string]string{
		"kustomization web": fmt.Sprintf(done, "web") + "⚠ a remote base could not be fetched, so Kustomization " +
			"flux-system/web keeps what was fetched before: fetch https://b.example: 404\n",
		"kustomization deleted":       fmt.Sprintf(done, "deleted"),
		"kustomization web --no-wait": "► reconciliation of Kustomization flux-system/web requested\n",
	} {
		var out strings.Builder
		root := newCommand()
		root.SetOut(&out)
		root.SetArgs(append(append([]string{"reconcile"}, strings.Fields(args)...), config))
		if err := root.ExecuteContext(t.Context()); err != nil || out.String() != want {
			t.Errorf("%s: %v\n%s", args, err, out.String())
		}
	}
}
