package e2e_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// traceCommands are the words of stories about traces.
var traceCommands = map[string]command{
	"receiver": receiverCommand, // receiver start | up | down | hang: of OTLP; start sets $receiver
	// traced SPAN…: one trace has exactly these spans, each as NAME, NAME:SUBJECT or NAME:SUBJECT failed: ERROR, in the
	// order of their begins; one that ends with … is only the begin
	"traced":   traced,
	"untraced": untraced, // untraced TEXT: no span holds it
}

// receiver takes spans by OTLP over HTTP in JSON. It writes what it takes to a file that canary looks into.
type receiver struct {
	file string
	down chan struct{} // closed when a receiver that hangs ends

	mu    sync.Mutex // guards the following
	state string     // up, down, hang
	spans []*tracepb.Span
	err   error // a request that is none of OTLP
}

func receiverCommand(_ context.Context, s *story, args []string) error {
	switch {
	case len(args) != 1:
		return errors.New("receiver start | up | down | hang")
	case args[0] == "start":
		r := &receiver{file: filepath.Join(s.dir, "spans"), down: make(chan struct{}), state: "up"}
		server := httptest.NewServer(r)
		s.cleanups = append(s.cleanups, func() error { close(r.down); server.Close(); return nil })
		s.receiver = r
		s.ts.Setenv("receiver", server.URL)
		return nil
	case s.receiver == nil:
		return errors.New("receiver start comes first")
	case !slices.Contains([]string{"up", "down", "hang"}, args[0]): // it would take no spans
		return fmt.Errorf("receiver %s: want start, up, down or hang", args[0])
	}
	s.receiver.mu.Lock()
	defer s.receiver.mu.Unlock()
	s.receiver.state = args[0]
	return nil
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	r.mu.Lock()
	state := r.state
	if state == "up" {
		r.err = errors.Join(r.err, err, r.take(body, req))
	}
	r.mu.Unlock()
	switch state {
	case "down":
		w.WriteHeader(http.StatusServiceUnavailable)
	case "hang":
		select {
		case <-r.down:
		case <-req.Context().Done():
		}
	default:
		_, _ = io.WriteString(w, "{}")
	}
}

// take reads a request, as strictly as the protocol is defined.
func (r *receiver) take(body []byte, req *http.Request) error {
	if req.URL.Path != "/v1/traces" || req.Header.Get("Content-Type") != "application/json" {
		return fmt.Errorf("a request to %s of %s", req.URL, req.Header.Get("Content-Type"))
	}
	var data tracepb.TracesData
	if err := protojson.Unmarshal(body, &data); err != nil {
		return err
	}
	for _, resource := range data.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			r.spans = append(r.spans, scope.GetSpans()...)
		}
	}
	f, err := os.OpenFile(r.file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	return errors.Join(err, f.Close())
}

// id returns an ID as text: OTLP writes IDs in hexadecimal digits, which protojson reads as base64.
func id(read []byte) string { return base64.StdEncoding.EncodeToString(read) }

// spanAttributes are the attributes that spans may have, and whether each names the subject of the span.
var spanAttributes = map[string]bool{
	"nave.source": true, "nave.object": true, "nave.cluster": true, "nave.revision": false, "nave.sequence": false,
}

// nameSpan returns a span as traced takes it. The error is of a span that has what none may have.
func nameSpan(s *tracepb.Span) (string, error) {
	name := s.GetName()
	for _, a := range s.GetAttributes() {
		subject, known := spanAttributes[a.GetKey()]
		if !known {
			return name, fmt.Errorf("span %s has the attribute %s", name, a.GetKey())
		}
		if subject {
			name += ":" + a.GetValue().GetStringValue()
		}
	}
	if s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR {
		name += " failed: " + s.GetStatus().GetMessage()
	}
	if s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() {
		return name, fmt.Errorf("span %s ends before it starts", name)
	}
	return name, nil
}

// traces returns the names of the spans of each trace by their begins. Every trace has one root, which begins first and
// is the parent of all others.
func (r *receiver) traces() (all map[string][]string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return nil, r.err
	}
	spans := map[string][]*tracepb.Span{}
	for _, s := range r.spans {
		spans[id(s.GetTraceId())] = append(spans[id(s.GetTraceId())], s)
	}
	all = map[string][]string{}
	for trace, of := range spans {
		slices.SortStableFunc(of, func(a, b *tracepb.Span) int {
			return int(int64(a.GetStartTimeUnixNano()) - int64(b.GetStartTimeUnixNano()))
		})
		for i, s := range of {
			name, err := nameSpan(s)
			if err != nil {
				return nil, err
			}
			if root := of[0]; (i == 0) != (len(s.GetParentSpanId()) == 0) ||
				i > 0 && id(s.GetParentSpanId()) != id(root.GetSpanId()) {
				return nil, fmt.Errorf("span %s of trace %s is not below its root, %s", name, trace, root.GetName())
			}
			all[trace] = append(all[trace], name)
		}
	}
	return all, nil
}

func traced(_ context.Context, s *story, args []string) error {
	if s.receiver == nil {
		return errors.New("receiver start comes first")
	}
	all, err := s.receiver.traces()
	if err != nil {
		return err
	}
	for _, names := range all {
		if slices.EqualFunc(names, args, isSpan) {
			return nil
		}
	}
	var have strings.Builder
	for trace, names := range all {
		fmt.Fprintf(&have, "\n%s: %q", trace, names)
	}
	return fmt.Errorf("no trace is %q: there are%s", args, have.String())
}

// isSpan reports whether a span has a name, or begins like one that ends with "…".
func isSpan(name, want string) bool {
	start, is := strings.CutSuffix(want, "…")
	return name == want || is && strings.HasPrefix(name, start)
}

func untraced(_ context.Context, s *story, args []string) error {
	if s.receiver == nil || len(args) != 1 {
		return errors.New("untraced TEXT; receiver start comes first")
	}
	text, err := os.ReadFile(s.receiver.file)
	if err == nil && holds(text, args[0]) {
		err = fmt.Errorf("a span holds %q", args[0])
	}
	return err
}
