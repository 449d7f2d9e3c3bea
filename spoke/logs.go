package spoke

import (
	"context"
	"log/slog"
	"math"
	"sync"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/session"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// maxRecords is how many bytes of memory the newest records of the log may need.
const maxRecords = 512 << 10

// answerLogs answers the hub's questions about the log, session.MaxLogReaders at a time, until ctx ends.
func (s *Spoke) answerLogs(p *parts) func(context.Context) {
	return func(ctx context.Context) {
		var readers sync.WaitGroup
		defer readers.Wait()
		free := make(chan struct{}, session.MaxLogReaders)
		for {
			select {
			case <-ctx.Done():
				return
			case free <- struct{}{}:
			}
			select {
			case <-ctx.Done():
				return
			case question := <-p.session.Logs():
				readers.Go(func() {
					defer func() { <-free }()
					// An error ends the reader, who is told by the hub. In the log, it would be read by the next one.
					_ = answerLogs(ctx, s.config.records, p.session.AnswerLogs, question)
				})
			}
		}
	}
}

// answerLogs answers one question by messages, of which the first has the id of the question.
func answerLogs(ctx context.Context, records *telemetry.Records, answer func(context.Context,
	func(ctx context.Context, send func(*spokev1.AnswerLogsRequest) error) error) error,
	question *spokev1.LogRequest) error {
	return answer(ctx, func(ctx context.Context, send func(*spokev1.AnswerLogsRequest) error) error {
		id := question.GetId()
		return records.Read(ctx, queryOf(question), func(batch []telemetry.Record, lost uint64) error {
			m := &spokev1.AnswerLogsRequest{Id: id, Records: recordMessages(batch), Lost: lost}
			id = nil
			return send(m)
		})
	})
}

func queryOf(q *spokev1.LogRequest) telemetry.Query {
	query := telemetry.Query{Level: slog.Level(q.GetLevel()), Since: q.GetSince().AsDuration(), Tail: -1,
		Follow: q.GetFollow(), Kind: q.GetKind(), Namespace: q.GetNamespace(), Name: q.GetName()}
	if q.Tail != nil {
		query.Tail = int(min(q.GetTail(), math.MaxInt32))
	}
	return query
}

func recordMessages(records []telemetry.Record) (messages []*spokev1.LogRecord) {
	for _, r := range records {
		m := &spokev1.LogRecord{Time: timestamppb.New(r.Time), Level: int32(r.Level),
			Message: telemetry.Printable(r.Message, telemetry.MaxText)}
		for _, a := range r.Attributes {
			m.Attributes = append(m.Attributes, &spokev1.LogAttribute{Key: telemetry.Printable(a.Key, telemetry.MaxKey),
				Value: telemetry.Printable(a.Value, telemetry.MaxText)})
		}
		messages = append(messages, m)
	}
	return messages
}
