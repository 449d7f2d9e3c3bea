package spoke

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/navefleet/nave/shared/telemetry"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// TestAnswerLogs answers by messages that the wire takes, of which the first names the question, even if it is empty.
func TestAnswerLogs(t *testing.T) {
	log, kept := telemetry.Keep(slog.New(slog.NewTextHandler(t.Output(), nil)), maxRecords)
	for i := range 300 {
		//nolint:sloglint // the length counts
		log.Info(strings.Repeat("x", 4000)+"\x1b", telemetry.Count(i), "secret", strings.Repeat("é", 4000))
	}
	log.Warn("last")
	for name, c := range map[string]struct {
		question *spokev1.LogRequest
		records  int // at least
		last     string
	}{
		"all":  {&spokev1.LogRequest{}, 100, "last"},
		"some": {&spokev1.LogRequest{Level: 4, Since: durationpb.New(time.Hour), Tail: proto.Uint32(3)}, 1, "last"},
		"none": {&spokev1.LogRequest{Kind: "Fleet", Name: "none"}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.question.Id = []byte("id")
			var sent []*spokev1.AnswerLogsRequest
			answer := func(ctx context.Context, read func(context.Context,
				func(*spokev1.AnswerLogsRequest) error) error) error {
				return read(ctx, func(m *spokev1.AnswerLogsRequest) error { sent = append(sent, m); return nil })
			}
			if err := answerLogs(t.Context(), kept, answer, c.question); err != nil {
				t.Fatal(err)
			}
			records, last := checkLogs(t, sent)
			if len(sent) == 0 || records < c.records || last != c.last {
				t.Errorf("%d messages, %d records, the last %q", len(sent), records, last)
			}
		})
	}
}

// checkLogs checks the messages of an answer, and returns the number of their records and the message of the last one.
func checkLogs(t *testing.T, sent []*spokev1.AnswerLogsRequest) (records int, last string) {
	for i, m := range sent {
		if proto.Size(m) > 64<<10 || (len(m.GetId()) > 0) != (i == 0) {
			t.Errorf("message %d has %d bytes and id %q", i, proto.Size(m), m.GetId())
		}
		for _, r := range m.GetRecords() {
			records, last = records+1, r.GetMessage()
		}
	}
	return records, last
}
