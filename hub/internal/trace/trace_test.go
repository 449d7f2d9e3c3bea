package trace

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// receiver takes the spans of OTLP requests.
type receiver struct {
	mu      sync.Mutex
	spans   []span
	headers http.Header
	status  int
	url     string
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{status: http.StatusOK}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL + tracesPath
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, got *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var body request
	if err := json.NewDecoder(got.Body).Decode(&body); err != nil || got.URL.Path != tracesPath {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.headers = got.Header
	for _, of := range body.ResourceSpans {
		for _, scope := range of.ScopeSpans {
			r.spans = append(r.spans, scope.Spans...)
		}
	}
	w.WriteHeader(r.status)
	_, _ = io.WriteString(w, "{}")
}

// flush runs a tracer until it has sent all spans.
func flush(t *Tracer) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	t.Run(ctx)
}

var change = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

func at(seconds int) time.Time { return change.Add(time.Duration(seconds) * time.Second) }

// TestAdd: the spans of a change are one trace below one root, whoever adds them, and those of another change are not.
func TestAdd(t *testing.T) {
	r := newReceiver(t)
	tracer := New(Config{URL: r.url, Epoch: 7, Service: "nave-hub", Headers: map[string]string{"X-Tenant": "a"}})
	tracer.Add(Span{Change: change, Name: "fetch", Start: at(-1), End: at(0)})
	tracer.Add(Span{Change: change, Name: "apply", Start: at(1), End: at(2), Attributes: []Attribute{Cluster("east")},
		Error: "no room"})
	tracer.Add(Span{Change: at(60), Name: "plan", Start: at(60), End: at(61)})
	tracer.Add(Span{Name: "of no change"})
	flush(tracer)
	if len(r.spans) != 5 || r.headers.Get("X-Tenant") != "a" || r.headers.Get("Content-Type") != "application/json" {
		t.Fatalf("%d spans: %+v, %v", len(r.spans), r.spans, r.headers)
	}
	root, fetch, apply, other := r.spans[0], r.spans[1], r.spans[2], r.spans[3]
	if root.Name != "change" || root.ParentSpanID != "" || len(root.TraceID) != 32 || len(root.SpanID) != 16 ||
		root.Start != strconv.FormatInt(at(-1).UnixNano(), 10) {
		t.Errorf("the root is %+v", root)
	}
	for _, s := range []span{fetch, apply} {
		if s.TraceID != root.TraceID || s.ParentSpanID != root.SpanID || s.SpanID == root.SpanID {
			t.Errorf("%+v is not below %+v", s, root)
		}
	}
	if apply.Status != (outcome{codeError, "no room"}) || apply.Attributes[0].Value.StringValue != "east" {
		t.Errorf("got %+v", apply)
	}
	if other.TraceID == root.TraceID || other.Name != "change" {
		t.Errorf("another change: %+v", other)
	}
	again := New(Config{Epoch: 7})
	if trace, _ := again.name(change.In(time.FixedZone("", 3600))); trace != root.TraceID {
		t.Error("a hub that started again names the trace of a change otherwise")
	}
}

// TestAdd_bounds: many clusters do not make a trace without end, and nobody waits for a receiver.
func TestAdd_bounds(t *testing.T) {
	r := newReceiver(t)
	tracer := New(Config{URL: r.url})
	for range 2 * maxOfChange {
		tracer.Add(Span{Change: change, Name: "apply", Start: at(0), End: at(1)})
	}
	flush(tracer)
	if len(r.spans) != maxOfChange+1 {
		t.Errorf("%d spans of one change", len(r.spans))
	}
	for i := range 2 * maxWaiting {
		tracer.Add(Span{Change: at(i), Name: "apply", Start: at(0), End: at(1)})
	}
	if n := len(tracer.waiting); n != maxWaiting {
		t.Errorf("%d spans wait", n)
	}
	(*Tracer)(nil).Add(Span{Change: change})
}

// TestRun_refused: a receiver that refuses spans is in the log.
func TestRun_refused(t *testing.T) {
	var log strings.Builder
	r := newReceiver(t)
	r.status = http.StatusForbidden
	tracer := New(Config{URL: r.url, Log: slog.New(slog.NewTextHandler(&log, nil))})
	tracer.Add(Span{Change: change, Name: "fetch", Start: at(0), End: at(1)})
	flush(tracer)
	if !strings.Contains(log.String(), "403 Forbidden") || len(tracer.waiting) > 0 {
		t.Errorf("the log is %s", log.String())
	}
}

func TestFromEnvironment(t *testing.T) {
	const base, own = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	for name, tt := range map[string]struct {
		flag string
		env  map[string]string
		want string
		err  string
	}{
		"none":          {"", nil, "", ""},
		"flag":          {"http://c:4318/", nil, "http://c:4318/v1/traces", ""},
		"flag_first":    {"http://c:4318", map[string]string{own: "http://d/x"}, "http://c:4318/v1/traces", ""},
		"all_signals":   {"", map[string]string{base: "https://c"}, "https://c/v1/traces", ""},
		"traces":        {"", map[string]string{base: "https://c", own: "https://d/x"}, "https://d/x", ""},
		"disabled":      {"http://c:4318", map[string]string{"OTEL_SDK_DISABLED": "true"}, "", ""},
		"no_exporter":   {"", map[string]string{base: "https://c", "OTEL_TRACES_EXPORTER": "none"}, "", ""},
		"grpc":          {"", map[string]string{base: "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "", "over HTTP only"},
		"flag_and_grpc": {"http://c:4318", map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http://c:4318/v1/traces", ""},
		"no_address":    {"c:4318", nil, "", "not an address"},
		"headers":       {"http://c", map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "token"}, "", "want name=value"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := FromEnvironment(tt.flag, func(name string) string { return tt.env[name] })
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil || c.URL != tt.want {
				t.Errorf("got %q, %v, want %q", c.URL, err, tt.want)
			}
		})
	}
	_, err := FromEnvironment("", func(name string) string {
		return map[string]string{base: "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}[name]
	})
	if !errors.Is(err, ErrProtocol) {
		t.Errorf("error %v", err)
	}
	got, err := headers("a=b%20c, d = e")
	if err != nil || got["a"] != "b c" || got["d"] != "e" {
		t.Errorf("headers %v, %v", got, err)
	}
}
