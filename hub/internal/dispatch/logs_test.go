package dispatch

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/telemetry"
)

// reading is a call of Logs.
type reading struct {
	batches chan []telemetry.Record
	lost    chan uint64
	ended   chan error
	stop    context.CancelFunc
}

// read begins to read the log of a cluster's spoke. Nothing is read on until somebody takes the batch before.
func (r *rig) read(cluster string, q telemetry.Query) *reading {
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	r.t.Cleanup(stop)
	x := &reading{make(chan []telemetry.Record), make(chan uint64, 100), make(chan error, 1), stop}
	go func() {
		x.ended <- r.server.Logs(ctx, cluster, q, func(batch []telemetry.Record, lost uint64) error {
			select {
			case x.batches <- batch:
				x.lost <- lost
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	return x
}

// asked returns the next LogRequest of a session.
func (c *call) asked() *spokev1.LogRequest {
	c.t.Helper()
	m, err := c.Recv()
	if must(c.t, err); m.GetLogs() == nil {
		c.t.Fatalf("want a LogRequest, got %v", m)
	}
	return m.GetLogs()
}

// knowsLogs connects the spoke of a cluster that sends its log.
func (r *rig) knowsLogs(cluster string) (spokev1.SpokeServiceClient, *call) {
	r.cluster(cluster, false)
	client := r.dial(identity.Cluster, cluster)
	c := r.helloWith(client, bundle.ID{}, &spokev1.Hello{Features: bundle.Logs.Names()})
	c.welcome()
	return client, c
}

func logLine(message string) *spokev1.LogRecord {
	return &spokev1.LogRecord{Time: timestamppb.New(time.Unix(1, 0)), Level: int32(slog.LevelWarn), Message: message,
		Attributes: []*spokev1.LogAttribute{{Key: "object", Value: "Fleet a"}}}
}

// TestLogs asks a spoke for its log, and passes on what it answers until the answer ends.
func TestLogs(t *testing.T) {
	r := newRig(t)
	client, c := r.knowsLogs("a")
	reading := r.read("a", telemetry.Query{Level: slog.LevelWarn, Since: time.Hour, Tail: 7, Kind: "Fleet", Name: "a"})
	q := c.asked()
	if q.GetLevel() != int32(slog.LevelWarn) || q.GetSince().AsDuration() != time.Hour || q.GetTail() != 7 ||
		q.GetFollow() || q.GetKind() != "Fleet" || q.GetName() != "a" {
		t.Errorf("asked with %v", q)
	}
	stream, err := client.AnswerLogs(t.Context())
	must(t, err)
	must(t, stream.Send(&spokev1.AnswerLogsRequest{Id: q.GetId(), Records: []*spokev1.LogRecord{logLine("one\x1b[2J")}}))
	got := <-reading.batches
	if len(got) != 1 || got[0].Message != "one\ufffd[2J" || got[0].Level != slog.LevelWarn || got[0].Time.Unix() != 1 ||
		got[0].Attributes[0] != (telemetry.Attribute{Key: "object", Value: "Fleet a"}) {
		t.Errorf("read %v", got)
	}
	must(t, stream.Send(&spokev1.AnswerLogsRequest{Records: []*spokev1.LogRecord{logLine("two")}, Lost: 3}))
	if got := <-reading.batches; len(got) != 1 || <-reading.lost+<-reading.lost != 3 {
		t.Errorf("read %v", got)
	}
	_, err = stream.CloseAndRecv()
	must(t, err)
	must(t, <-reading.ended)
}

// TestLogs_refused answers at once if no spoke can send its log.
func TestLogs_refused(t *testing.T) {
	r := newRig(t)
	r.cluster("away", false)
	r.cluster("old", false)
	r.helloWith(r.dial(identity.Cluster, "old"), bundle.ID{}, &spokev1.Hello{}).welcome()
	_, c := r.knowsLogs("busy")
	for range maxReaders {
		r.read("busy", telemetry.Query{Tail: -1, Follow: true})
		c.asked()
	}
	for cluster, want := range map[string]struct {
		code codes.Code
		says string
	}{
		"away": {codes.Unavailable, "the spoke is not connected"},
		"old":  {codes.FailedPrecondition, "the spoke does not know logs: upgrade the spoke"},
		"busy": {codes.ResourceExhausted, "the limit is 4"},
	} {
		t.Run(cluster, func(t *testing.T) {
			err := <-r.read(cluster, telemetry.Query{Tail: -1}).ended
			if wantCode(t, err, want.code); !strings.Contains(err.Error(), want.says) {
				t.Errorf("%v does not say %q", err, want.says)
			}
		})
	}
}

// TestLogs_ends ends the call of the spoke when nobody reads any more, and the reader when the session ends.
func TestLogs_ends(t *testing.T) {
	r := newRig(t)
	client, c := r.knowsLogs("a")
	gone := r.read("a", telemetry.Query{Tail: -1, Follow: true})
	stream, err := client.AnswerLogs(t.Context())
	must(t, err)
	must(t, stream.Send(&spokev1.AnswerLogsRequest{Id: c.asked().GetId()}))
	<-gone.batches
	gone.stop()
	wantCode(t, stream.RecvMsg(&spokev1.AnswerLogsResponse{}), codes.NotFound) // though the log is quiet

	left := r.read("a", telemetry.Query{Tail: -1, Follow: true})
	c.asked()
	must(t, c.CloseSend())
	wantCode(t, <-left.ended, codes.Unavailable)
}

// TestAnswerLogs_hostile accepts nothing that was not asked for, or is over a limit.
func TestAnswerLogs_hostile(t *testing.T) {
	many := logLine("m")
	many.Attributes = make([]*spokev1.LogAttribute, telemetry.MaxAttributes+1)
	for i := range many.Attributes {
		many.Attributes[i] = &spokev1.LogAttribute{}
	}
	for name, c := range map[string]struct {
		answer *spokev1.AnswerLogsRequest
		code   codes.Code
		reader codes.Code // OK: the reader is not affected
	}{
		"not_asked": {&spokev1.AnswerLogsRequest{Id: []byte("x")}, codes.NotFound, codes.OK},
		"no_id":     {&spokev1.AnswerLogsRequest{}, codes.NotFound, codes.OK},
		"large": {&spokev1.AnswerLogsRequest{Records: []*spokev1.LogRecord{logLine(strings.Repeat("x", 65<<10))}},
			codes.InvalidArgument, codes.Aborted},
		"attributes": {&spokev1.AnswerLogsRequest{Records: []*spokev1.LogRecord{many}}, codes.InvalidArgument, codes.Aborted},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			client, session := r.knowsLogs("a")
			reading := r.read("a", telemetry.Query{Tail: -1})
			if id := session.asked().GetId(); c.reader != codes.OK {
				c.answer.Id = id
			}
			stream, err := client.AnswerLogs(t.Context())
			must(t, err)
			must(t, stream.Send(c.answer))
			_, err = stream.CloseAndRecv()
			wantCode(t, err, c.code)
			if c.reader != codes.OK {
				wantCode(t, <-reading.ended, c.reader)
			}
		})
	}
}

// answerLog follows a log as a spoke does.
func answerLog(t *testing.T, client spokev1.SpokeServiceClient, id []byte, kept *telemetry.Records) {
	stream, err := client.AnswerLogs(t.Context())
	must(t, err)
	go func() {
		_ = kept.Read(stream.Context(), telemetry.Query{Tail: -1, Follow: true},
			func(batch []telemetry.Record, lost uint64) error {
				m := &spokev1.AnswerLogsRequest{Id: id, Lost: lost}
				for _, r := range batch {
					m.Records = append(m.Records, logLine(r.Message))
				}
				return stream.Send(m)
			})
	}()
}

// TestLogs_slow has a reader that never reads, of a spoke that logs 1,000 lines a second: neither the spoke's log nor
// its session wait, and what the reader gets afterwards says how much is missing.
func TestLogs_slow(t *testing.T) {
	r := newRig(t)
	client, c := r.knowsLogs("a")
	log, kept := telemetry.Keep(slog.New(dropping{slog.DiscardHandler}), 64<<10)
	reading := r.read("a", telemetry.Query{Tail: -1, Follow: true})
	id := c.asked().GetId()
	answerLog(t, client, id, kept)
	<-reading.batches // the first one is empty
	<-reading.lost
	start := time.Now()
	const lines = 20_000 // of some 200 bytes: far more than what is on its way
	for i := range lines {
		log.Info(strings.Repeat("x", 200), telemetry.Count(i)) //nolint:sloglint // the length counts
		if i%1000 == 0 {
			must(t, c.Send(&spokev1.SessionRequest{Message: &spokev1.SessionRequest_Heartbeat{}}))
		}
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("%d lines took %s: the log waits for its reader", lines, took)
	}
	other := r.read("a", telemetry.Query{Tail: -1}) // the session answers others
	c.asked()
	other.stop()
	got, lost := 0, 0
	for got+lost < lines {
		select {
		case batch := <-reading.batches:
			got, lost = got+len(batch), lost+int(<-reading.lost)
		case err := <-reading.ended:
			t.Fatalf("after %d lines and %d lost: %v", got, lost, err)
		}
	}
	if lost == 0 || got+lost != lines {
		t.Errorf("%d lines read and %d lost, want %d in all", got, lost, lines)
	}
}

// dropping drops all records, which are enabled.
type dropping struct{ slog.Handler }

func (dropping) Enabled(context.Context, slog.Level) bool { return true }
