package trace

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/navefleet/nave/shared/telemetry"
)

// The JSON of an ExportTraceServiceRequest of OTLP 1.
type (
	request struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource   resource     `json:"resource"`
		ScopeSpans []scopeSpans `json:"scopeSpans"`
	}
	resource struct {
		Attributes []keyValue `json:"attributes"`
	}
	scopeSpans struct {
		Scope scope  `json:"scope"`
		Spans []span `json:"spans"`
	}
	scope struct {
		Name string `json:"name"`
	}
	span struct {
		TraceID      string     `json:"traceId"`
		SpanID       string     `json:"spanId"`
		ParentSpanID string     `json:"parentSpanId,omitempty"`
		Name         string     `json:"name"`
		Kind         int        `json:"kind"`
		Start        string     `json:"startTimeUnixNano"`
		End          string     `json:"endTimeUnixNano"`
		Attributes   []keyValue `json:"attributes,omitempty"`
		Status       outcome    `json:"status"`
	}
	outcome struct {
		Code    int    `json:"code,omitempty"`
		Message string `json:"message,omitempty"`
	}
	keyValue struct {
		Key   string      `json:"key"`
		Value stringValue `json:"value"`
	}
	stringValue struct {
		StringValue string `json:"stringValue"`
	}
)

// Numbers of OTLP.
const (
	kindInternal = 1
	codeError    = 2
)

const (
	maxAnswer = 4 << 10 // bytes of an answer that are read
	maxQuoted = 512     // bytes of an answer that a message quotes
)

// encode returns the body of a request.
func (t *Tracer) encode(batch []record) ([]byte, error) {
	spans := make([]span, len(batch))
	for i, r := range batch {
		spans[i] = span{
			TraceID: r.trace, SpanID: r.id, ParentSpanID: r.parent, Name: r.Name, Kind: kindInternal,
			Start: nanoseconds(r.Start), End: nanoseconds(r.End),
		}
		if r.Cluster != "" {
			spans[i].Attributes = keyValues([]Attribute{{"nave.cluster", r.Cluster}})
		}
		spans[i].Attributes = append(spans[i].Attributes, keyValues(r.Attributes)...)
		if r.Error != "" {
			spans[i].Status = outcome{codeError, r.Error}
		}
	}
	of := keyValues([]Attribute{{"service.name", t.Service}, {"service.version", t.Version}})
	return json.Marshal(request{[]resourceSpans{{resource{of}, []scopeSpans{{scope{"nave"}, spans}}}}})
}

func nanoseconds(at time.Time) string { return strconv.FormatInt(at.UnixNano(), 10) }

func keyValues(attributes []Attribute) (list []keyValue) {
	for _, a := range attributes {
		list = append(list, keyValue{a.Key, stringValue{a.Value}})
	}
	return list
}

// post sends one request, and returns how many of its spans the receiver did not take. Its error has no URL, which may
// have a token, and post follows no redirection: the headers are for the receiver alone.
func (t *Tracer) post(ctx context.Context, batch []record) (failed int, err error) {
	body, err := t.encode(batch)
	if err != nil {
		return len(batch), err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL, bytes.NewReader(body))
	if err != nil {
		return len(batch), withoutURL(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for name, value := range t.Headers {
		r.Header.Set(name, value)
	}
	answer, err := t.client.Do(r)
	if err != nil {
		return len(batch), withoutURL(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer)) // what could be read is enough
	if answer.StatusCode/100 != 2 {
		return len(batch), fmt.Errorf("the receiver of traces answers %s: %s", answer.Status,
			telemetry.Line(string(text), maxQuoted))
	}
	return rejected(text, len(batch))
}

func withoutURL(err error) error {
	if of := (*url.Error)(nil); errors.As(err, &of) {
		return fmt.Errorf("the receiver of traces does not answer: %w", of.Err)
	}
	return err
}

// rejected returns how many spans of a batch a successful answer says were rejected. An answer that cannot be read
// rejects none, as that of a receiver that answers in another form.
func rejected(answer []byte, batch int) (int, error) {
	var body struct {
		PartialSuccess struct {
			RejectedSpans json.RawMessage `json:"rejectedSpans"` // "3" or 3
			ErrorMessage  string          `json:"errorMessage"`
		} `json:"partialSuccess"`
	}
	if json.Unmarshal(answer, &body) != nil {
		return 0, nil
	}
	n, err := strconv.Atoi(strings.Trim(string(body.PartialSuccess.RejectedSpans), `"`))
	if err != nil || n <= 0 {
		return 0, nil
	}
	n = min(n, batch)
	return n, fmt.Errorf("the receiver of traces rejected %d of %d spans: %s", n, batch,
		telemetry.Line(body.PartialSuccess.ErrorMessage, maxQuoted))
}
