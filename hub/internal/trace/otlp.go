package trace

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
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

const maxAnswer = 512 // bytes of an answer that a message quotes

// encode returns the body of a request.
func (t *Tracer) encode(batch []record) ([]byte, error) {
	spans := make([]span, len(batch))
	for i, r := range batch {
		spans[i] = span{
			TraceID: r.trace, SpanID: r.id, ParentSpanID: r.parent, Name: r.Name, Kind: kindInternal,
			Start: nanoseconds(r.Start), End: nanoseconds(r.End), Attributes: keyValues(r.Attributes),
		}
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

// post sends one request.
func (t *Tracer) post(ctx context.Context, batch []record) error {
	body, err := t.encode(batch)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	for name, value := range t.Headers {
		r.Header.Set(name, value)
	}
	answer, err := t.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer)) // what could be read is enough
		return fmt.Errorf("the receiver of traces answers %s: %s", answer.Status, telemetry.Line(string(text), maxAnswer))
	}
	return nil
}
