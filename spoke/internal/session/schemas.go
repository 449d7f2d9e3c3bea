package session

import (
	"context"
	"errors"
	"io"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// Schemas has a question of the hub about the schemas of the API server.
func (s *Session) Schemas() <-chan *spokev1.SchemaRequest { return s.schemas }

// askSchemas passes a question on, in the place of one that nobody took yet: the hub asks one at a time. Only the
// goroutine of listen calls it.
func (s *Session) askSchemas(question *spokev1.SchemaRequest) {
	select {
	case <-s.schemas:
	default:
	}
	s.schemas <- question
}

// AnswerSchemas sends the messages of an answer, which answer passes to send. Its errors are those of Report.
func (s *Session) AnswerSchemas(ctx context.Context,
	answer func(send func(*spokev1.AnswerSchemasRequest) error) error) error {
	return s.call(ctx, func(ctx context.Context, hub *client) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // ends the stream of an answer that was not completed
		stream, err := hub.AnswerSchemas(ctx)
		if err != nil {
			return err
		}
		if err := answer(stream.Send); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		_, err = stream.CloseAndRecv() // it knows why Send failed
		return err
	})
}
