package session

import (
	"context"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// MaxLogReaders is how many readers of the log a spoke serves at the same time, twice as many as the hub lets in.
const MaxLogReaders = 8

// Logs has the questions of the hub about the log.
func (s *Session) Logs() <-chan *spokev1.LogRequest { return s.logs }

// askLogs passes a question on. If too many wait, the hub gets no answer to it. Only the goroutine of listen calls it.
func (s *Session) askLogs(question *spokev1.LogRequest) {
	select {
	case s.logs <- question:
	default:
	}
}

// AnswerLogs sends the messages of an answer, which read passes to send, until read returns or the hub ends the call;
// then the context of read ends. The call may be quiet for as long as the log is.
func (s *Session) AnswerLogs(ctx context.Context,
	read func(ctx context.Context, send func(*spokev1.AnswerLogsRequest) error) error) error {
	hub := s.client.Load()
	if hub == nil {
		return ErrDisconnected
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream of an answer that was not completed
	stream, err := hub.AnswerLogs(ctx)
	if err != nil {
		return err
	}
	reading, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- stream.RecvMsg(&spokev1.AnswerLogsResponse{})
		stop()
	}()
	if err := read(reading, stream.Send); err != nil {
		cancel()
		<-ended
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return <-ended
}
