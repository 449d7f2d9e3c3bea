package spoke

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// TestSchemaWriter sends a document in messages, of which the first names the question.
func TestSchemaWriter(t *testing.T) {
	var sent []*spokev1.AnswerSchemasRequest
	w := &schemaWriter{next: &spokev1.AnswerSchemasRequest{Id: []byte("id")},
		send: func(m *spokev1.AnswerSchemasRequest) error { sent = append(sent, m); return nil }}
	document := make([]byte, 2*schemaChunk+5)
	_, _ = rand.Read(document)
	for rest := document; len(rest) > 0; {
		n, err := w.Write(rest[:min(len(rest), 40_000)])
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for i, m := range sent {
		got = append(got, m.Data...)
		if len(m.Data) > schemaChunk || (len(m.Id) > 0) != (i == 0) {
			t.Errorf("message %d: %d bytes, id %q", i, len(m.Data), m.Id)
		}
	}
	if len(sent) != 3 || !bytes.Equal(got, document) {
		t.Errorf("%d messages, %d bytes", len(sent), len(got))
	}
	failed := errors.New("no connection")
	w.send = func(*spokev1.AnswerSchemasRequest) error { return failed }
	_, err := w.Write([]byte(strings.Repeat("a", schemaChunk)))
	if !errors.Is(err, failed) || !errors.Is(w.failed, failed) {
		t.Errorf("error %v", err)
	}
}
