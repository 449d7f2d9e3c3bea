package trace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// receiver takes the spans of OTLP requests.
type receiver struct {
	mu      sync.Mutex
	spans   []span
	headers http.Header
	status  int
	answer  string
	asked   int
	url     string
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{status: http.StatusOK, answer: "{}"}
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
	r.headers, r.asked = got.Header, r.asked+1
	for _, of := range body.ResourceSpans {
		for _, scope := range of.ScopeSpans {
			r.spans = append(r.spans, scope.Spans...)
		}
	}
	w.WriteHeader(r.status)
	_, _ = io.WriteString(w, r.answer)
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
	tracer.Add(Span{Change: change, Name: "apply", Start: at(1), End: at(2), Cluster: "east", Error: "no room"})
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
	for _, name := range []string{"plan", "apply"} {
		for i := range 2 * maxClusters {
			tracer.Add(Span{Change: change, Name: name, Cluster: fmt.Sprintf("c%03d", i), Start: at(0), End: at(1)})
		}
	}
	for range 2 * maxOfOne {
		tracer.Add(Span{Change: change, Name: "render", Start: at(0), End: at(1)})
	}
	flush(tracer)
	spans := map[string]int{}
	for _, s := range r.spans {
		spans[s.Name]++
	}
	want := map[string]int{"change": 1, "plan": maxClusters, "apply": maxClusters, "render": maxOfOne}
	if !maps.Equal(spans, want) {
		t.Errorf("one change has %v, want %v", spans, want)
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

// TestRun_outage: a receiver that takes nothing is asked once each time, and the log tells of it once, and of its end.
func TestRun_outage(t *testing.T) {
	var log strings.Builder
	r := newReceiver(t)
	r.status = http.StatusInternalServerError
	tracer := New(Config{URL: r.url, Log: slog.New(slog.NewTextHandler(&log, nil))})
	for i := range maxWaiting {
		tracer.Add(Span{Change: at(i), Name: "apply", Start: at(0), End: at(1)})
	}
	for range 3 {
		flush(tracer)
	}
	if n := strings.Count(log.String(), "level=WARN"); r.asked != 3 || n != 1 {
		t.Errorf("%d requests, %d warnings: %s", r.asked, n, log.String())
	}
	r.status = http.StatusOK
	flush(tracer)
	if len(tracer.waiting) > 0 || strings.Count(log.String(), "exported again") != 1 {
		t.Errorf("%d spans wait, the log is %s", len(tracer.waiting), log.String())
	}
}

// TestRun_partial: spans that a receiver rejects in a successful answer are not sent.
func TestRun_partial(t *testing.T) {
	for name, tt := range map[string]struct {
		answer string
		failed float64
		log    string
	}{
		"none":   {`{"partialSuccess":{"rejectedSpans":"0"}}`, 0, ""},
		"text":   {`{"partialSuccess":{"rejectedSpans":"1","errorMessage":"too old"}}`, 1, "rejected 1 of 2 spans: too old"},
		"number": {`{"partialSuccess":{"rejectedSpans":2}}`, 2, "rejected 2 of 2 spans"},
		"lies":   {`{"partialSuccess":{"rejectedSpans":"99"}}`, 2, "rejected 2 of 2 spans"},
		"minus":  {`{"partialSuccess":{"rejectedSpans":"-1"}}`, 0, ""},
		"other":  {`<html>`, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			r := newReceiver(t)
			r.answer = tt.answer
			tracer := New(Config{URL: r.url, Log: slog.New(slog.NewTextHandler(&log, nil))})
			tracer.Add(Span{Change: change, Name: "fetch", Start: at(0), End: at(1)})
			flush(tracer)
			failed := testutil.ToFloat64(tracer.spans.WithLabelValues("failed"))
			sent := testutil.ToFloat64(tracer.spans.WithLabelValues("sent"))
			if failed != tt.failed || failed+sent != 2 || !strings.Contains(log.String(), tt.log) {
				t.Errorf("%v failed, %v sent, the log is %s", failed, sent, log.String())
			}
		})
	}
}

// TestRun_secrets: a receiver cannot send the headers elsewhere, and the log has no token of the URL.
func TestRun_secrets(t *testing.T) {
	var log strings.Builder
	other := newReceiver(t)
	away := httptest.NewServer(http.RedirectHandler(other.url, http.StatusTemporaryRedirect))
	headers := map[string]string{"Api-Key": "secret"}
	tracer := New(Config{URL: away.URL + "?token=secret", Headers: headers,
		Log: slog.New(slog.NewTextHandler(&log, nil))})
	try := func(want string) {
		t.Helper()
		tracer.warned = time.Time{}
		tracer.Add(Span{Change: change, Name: "fetch", Start: at(0), End: at(1)})
		flush(tracer)
		if other.asked > 0 || !strings.Contains(log.String(), want) || strings.Contains(log.String(), "secret") {
			t.Errorf("the other receiver has %v, the log is %s", other.headers, log.String())
		}
	}
	try("307 Temporary Redirect")
	away.Close()
	try("does not answer: dial tcp")
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
		"disabled_TRUE": {"http://c:4318", map[string]string{"OTEL_SDK_DISABLED": "TRUE"}, "", ""},
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
