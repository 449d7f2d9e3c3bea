// Package trace exports what became of changes as OpenTelemetry traces, one for each change: OTLP over HTTP in JSON.
//
// A change is named by the moment when the hub first saw it, which plans and bundles carry. The trace ID is derived
// from that moment, so that the loops of the hub need no context of each other, and neither does a spoke: the spans of
// what a spoke does are made of the times of its acks.
package trace

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/hub/internal/lru"
	"github.com/navefleet/nave/shared/telemetry"
)

const (
	maxWaiting  = 4096             // spans that wait to be sent
	maxClusters = 100              // of one change that have spans
	maxOfOne    = 100              // spans of one change and cluster, or of no cluster
	maxChanges  = 256              // of which the spans are counted
	maxBatch    = 512              // spans of one request
	sendEvery   = 2 * time.Second  // so that spans gather
	sendTimeout = 10 * time.Second // of one request
	warnEvery   = 10 * time.Minute // while the receiver takes no spans
)

// Config configures a Tracer.
type Config struct {
	URL     string            // of the receiver, such as http://collector:4318/v1/traces
	Headers map[string]string // of each request
	Service string            // service.name
	Version string            // service.version
	Epoch   uint64            // of the store: hubs do not share traces
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: none
}

// Tracer exports spans. A nil Tracer drops them.
type Tracer struct {
	Config
	client  http.Client
	waiting chan record
	spans   *prometheus.CounterVec
	warned  time.Time // of Run: when the log told last that spans are not taken; zero: they are

	mu      sync.Mutex
	changes *lru.Cache[int64, map[string]int] // by the moment: how many spans each cluster has, "": no cluster
}

// Span is a part of what became of a change.
type Span struct {
	Change     time.Time // when the hub first saw it
	Name       string
	Cluster    string // that the span is about; empty: all
	Start, End time.Time
	Attributes []Attribute // beside the cluster
	Error      string      // empty: it succeeded
}

// Attribute describes a span.
type Attribute struct{ Key, Value string }

// New returns a Tracer that sends nothing until Run.
func New(c Config) *Tracer {
	c.Log = cmp.Or(c.Log, slog.Default())
	t := &Tracer{
		Config: c, client: http.Client{Timeout: sendTimeout, CheckRedirect: stay}, waiting: make(chan record, maxWaiting),
		changes: lru.New[int64, map[string]int](maxChanges),
		spans: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nave_trace_spans_total", Help: "Spans by what became of them: sent, failed, dropped.",
		}, []string{"result"}),
	}
	if c.Metrics != nil {
		c.Metrics.MustRegister(t.spans)
	}
	return t
}

// stay makes a redirection an answer.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// record is a span with its place in the trace.
type record struct {
	Span
	trace, id, parent string
}

// Add exports a span, and before the first span of a change its root. It never waits: if too many spans wait, or the
// change has too many, the span is dropped. Of a change of many clusters the first ones have all their spans.
func (t *Tracer) Add(s Span) {
	if t == nil || s.Change.IsZero() {
		return
	}
	trace, root := t.name(s.Change)
	switch first, admitted := t.admit(s); {
	case !admitted:
		t.spans.WithLabelValues("dropped").Inc()
		return
	case first:
		start := s.Change
		if s.Start.Before(start) {
			start = s.Start
		}
		t.put(record{Span{Change: s.Change, Name: "change", Start: start, End: s.End}, trace, root, ""})
	}
	var id [8]byte
	rand.Read(id[:]) // never fails, as its documentation says
	t.put(record{s, trace, hex.EncodeToString(id[:]), root})
}

func (t *Tracer) put(r record) {
	select {
	case t.waiting <- r:
	default:
		t.spans.WithLabelValues("dropped").Inc()
	}
}

// admit counts a span, and reports whether it is the first one of its change, and whether the trace has room for it.
func (t *Tracer) admit(s Span) (first, admitted bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts, known := t.changes.Get(s.Change.UnixNano())
	if !known {
		counts = map[string]int{"": 0}
		t.changes.Put(s.Change.UnixNano(), counts, 1)
	}
	n, counted := counts[s.Cluster]
	if !counted && len(counts) > maxClusters || n == maxOfOne {
		return false, false
	}
	counts[s.Cluster]++
	return !known, true
}

// name returns the trace ID of a change and the ID of its root span.
func (t *Tracer) name(change time.Time) (trace, root string) {
	var text [16]byte
	binary.BigEndian.PutUint64(text[:8], t.Epoch)
	binary.BigEndian.PutUint64(text[8:], uint64(change.UnixNano()))
	sum := sha256.Sum256(text[:])
	return hex.EncodeToString(sum[:16]), hex.EncodeToString(sum[16:24])
}

// Run sends spans until ctx ends, and then those that wait, once.
func (t *Tracer) Run(ctx context.Context) {
	for ticks := time.NewTicker(sendEvery); ; {
		select {
		case <-ctx.Done():
			ticks.Stop()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			t.send(last)
			return
		case <-ticks.C:
			t.send(ctx)
		}
	}
}

// send sends the spans that wait. If the receiver takes none of a request, the others wait for the next time, so that a
// receiver that hangs is asked once.
func (t *Tracer) send(ctx context.Context) {
	for {
		batch := t.take()
		if len(batch) == 0 {
			return
		}
		failed, err := t.post(ctx, batch)
		t.spans.WithLabelValues("failed").Add(float64(failed))
		t.spans.WithLabelValues("sent").Add(float64(len(batch) - failed))
		t.note(ctx, failed, err)
		if failed == len(batch) {
			return
		}
	}
}

// note logs that spans were not taken, once until a whole request is, but again every warnEvery.
func (t *Tracer) note(ctx context.Context, failed int, err error) {
	switch {
	case err == nil && t.warned.IsZero():
	case err == nil:
		t.Log.InfoContext(ctx, "spans are exported again")
		t.warned = time.Time{}
	case t.warned.IsZero() || time.Since(t.warned) >= warnEvery:
		t.Log.WarnContext(ctx, "spans were not exported", telemetry.Count(failed), telemetry.Err(err))
		t.warned = time.Now()
	}
}

// take returns some of the spans that wait.
func (t *Tracer) take() (batch []record) {
	for len(batch) < maxBatch {
		select {
		case r := <-t.waiting:
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}
