package spoke

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/kube"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// schemaChunk is the size of a message with a part of a document: 8 s over 64 kbit/s.
const schemaChunk = 64 << 10

// answerSchemas answers the hub's questions about the schemas of the API server, one at a time, until ctx ends.
func (s *Spoke) answerSchemas(p *parts) func(context.Context) {
	return func(ctx context.Context) {
		for {
			select {
			case <-ctx.Done():
				return
			case question := <-p.session.Schemas():
				if err := answerSchemas(ctx, s.client, p.session.AnswerSchemas, question); err != nil && ctx.Err() == nil {
					p.log.Info("a question about schemas was not answered", telemetry.Err(err))
				}
			}
		}
	}
}

// answerSchemas answers one question by messages, of which the first has the id of the question.
func answerSchemas(ctx context.Context, client *kube.Client, answer func(context.Context,
	func(send func(*spokev1.AnswerSchemasRequest) error) error) error, question *spokev1.SchemaRequest) error {
	return answer(ctx, func(send func(*spokev1.AnswerSchemasRequest) error) error {
		w := &schemaWriter{send: send, next: &spokev1.AnswerSchemasRequest{Id: question.GetId()}}
		var err error
		if v := question.GetVersion(); v == nil {
			err = w.list(ctx, client)
		} else {
			err = client.Schema(ctx, schema.GroupVersion{Group: v.GetGroup(), Version: v.GetVersion()}, w)
		}
		if w.failed != nil {
			return w.failed
		}
		if err != nil {
			w.next.Error = telemetry.Printable(err.Error(), reporting.MaxMessage)
		}
		return w.flush()
	})
}

// schemaWriter sends what is written to it in messages of schemaChunk.
type schemaWriter struct {
	send   func(*spokev1.AnswerSchemasRequest) error
	next   *spokev1.AnswerSchemasRequest
	failed error // of send
}

// list sends the list of documents.
func (w *schemaWriter) list(ctx context.Context, client *kube.Client) error {
	all, err := client.Schemas(ctx)
	if err == nil && len(all) > reporting.MaxSchemaVersions {
		err = fmt.Errorf("the API server has schemas of %d versions of API groups, the limit is %d", len(all),
			reporting.MaxSchemaVersions)
	}
	if err != nil {
		return err
	}
	for _, v := range all {
		w.next.Served = append(w.next.Served, &spokev1.SchemaVersion{Group: v.Group, Version: v.Version, Hash: v.Hash})
	}
	return nil
}

// Write implements io.Writer.
func (w *schemaWriter) Write(data []byte) (int, error) {
	for rest := data; len(rest) > 0; {
		n := min(len(rest), schemaChunk-len(w.next.Data))
		w.next.Data, rest = append(w.next.Data, rest[:n]...), rest[n:]
		if len(w.next.Data) < schemaChunk {
			continue
		}
		if err := w.flush(); err != nil {
			w.failed = err
			return 0, err
		}
	}
	return len(data), nil
}

// flush sends a message. The next one must not share its memory, which gRPC may still read.
func (w *schemaWriter) flush() error {
	message := w.next
	w.next = &spokev1.AnswerSchemasRequest{}
	return w.send(message)
}
