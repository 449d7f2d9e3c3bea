package dispatch

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/telemetry"
)

// logPatience is how long the first message of an answer with a log may take.
const logPatience = 10 * time.Second

// logReaders are the open readers of the log of one spoke, by the ids of their questions.
type logReaders struct {
	mu   sync.Mutex
	byID map[string]*logReader
}

// logReader waits for the messages of one answer.
type logReader struct {
	parts chan *spokev1.AnswerLogsRequest
	done  chan error    // the answer ended: nil after its last message
	gone  chan struct{} // closed when nobody reads any more
}

// open adds a reader, unless there are too many.
func (l *logReaders) open() (id string, r *logReader, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.byID) >= maxReaders {
		return "", nil, status.Errorf(codes.ResourceExhausted, "%d readers follow the log of this spoke, the limit is %d: "+
			"end one of them (nave logs), or try again later", len(l.byID), maxReaders)
	}
	id, r = rand.Text(), &logReader{make(chan *spokev1.AnswerLogsRequest), make(chan error, 1), make(chan struct{})}
	if l.byID == nil {
		l.byID = map[string]*logReader{}
	}
	l.byID[id] = r
	return id, r, nil
}

// close removes a reader.
func (l *logReaders) close(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.byID[id].gone)
	delete(l.byID, id)
}

// get returns an open reader; nil if there is none.
func (l *logReaders) get(id string) *logReader {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byID[id]
}

// Logs sends the records of the log of a cluster's spoke that a query chooses, until there are no more or ctx ends. If
// send takes long, the spoke leaves records out: lost is how many are missing before a batch. If the spoke is away or
// goes, the error is UNAVAILABLE; if it is too old, FAILED_PRECONDITION.
func (s *Server) Logs(ctx context.Context, cluster string, q telemetry.Query,
	send func(batch []telemetry.Record, lost uint64) error) error {
	x, err := s.connected(cluster, bundle.Logs)
	if err != nil {
		return err
	}
	id, reader, err := x.readers.open()
	if err != nil {
		return err
	}
	defer x.readers.close(id)
	ask, question := x.questions, logRequest(id, q)
	late := time.NewTimer(logPatience)
	defer late.Stop()
	for {
		select {
		case ask <- question:
			ask = nil // once
		case part := <-reader.parts:
			late.Stop()
			if err := send(recordsOf(part), part.GetLost()); err != nil {
				return err
			}
		case err := <-reader.done:
			return err
		case <-late.C:
			return status.Error(codes.DeadlineExceeded, "the spoke did not answer in time")
		case <-x.ended:
			return errGone
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func logRequest(id string, q telemetry.Query) *spokev1.SessionResponse {
	r := &spokev1.LogRequest{Id: []byte(id), Level: int32(q.Level), Follow: q.Follow, Kind: q.Kind, Namespace: q.Namespace,
		Name: q.Name}
	if q.Since > 0 {
		r.Since = durationpb.New(q.Since)
	}
	if q.Tail >= 0 {
		r.Tail = proto.Uint32(uint32(min(q.Tail, math.MaxInt32)))
	}
	return &spokev1.SessionResponse{Message: &spokev1.SessionResponse_Logs{Logs: r}}
}

// recordsOf returns the records of a message that was checked.
func recordsOf(m *spokev1.AnswerLogsRequest) (records []telemetry.Record) {
	for _, r := range m.GetRecords() {
		record := telemetry.Record{Time: r.GetTime().AsTime(), Level: slog.Level(r.GetLevel()), Message: r.GetMessage()}
		for _, a := range r.GetAttributes() {
			record.Attributes = append(record.Attributes, telemetry.Attribute{Key: a.GetKey(), Value: a.GetValue()})
		}
		records = append(records, record)
	}
	return records
}

// AnswerLogs implements spokev1.SpokeServiceServer. It trusts nothing, because the spoke's machine may be an
// attacker's. It reads no faster than the reader takes the messages.
func (s *Server) AnswerLogs(stream spokev1.SpokeService_AnswerLogsServer) error {
	caller, err := s.caller(stream.Context())
	if err != nil {
		return err
	}
	release, err := s.quotas.begin(s.quotas.logs, caller.cluster, 2*maxReaders) // some may not know yet that they ended
	if err != nil {
		return err
	}
	defer release()
	if err := s.view(stream.Context(), caller, func(*store.Tx) error { return nil }); err != nil {
		return refusal(err)
	}
	reader, err := s.readerOf(stream, caller.cluster)
	if err != nil {
		return err
	}
	received := make(chan error, 1)
	go func() { received <- reader.receive(stream) }() // ends with the stream when nobody waits any more
	select {
	case err := <-received:
		if err != nil {
			return err
		}
		return stream.SendAndClose(&spokev1.AnswerLogsResponse{})
	case <-reader.gone:
		return errNobodyReads
	case <-s.draining:
		return errStopping
	}
}

// readerOf receives the first message of an answer, gives it to the reader that waits for it, and returns the reader.
func (s *Server) readerOf(stream spokev1.SpokeService_AnswerLogsServer, cluster string) (*logReader, error) {
	m, err := receiveFirst(s, stream.Recv, logPatience, "no message of the answer came in time")
	if err != nil {
		return nil, err
	}
	if x := s.sessions.get(cluster); x != nil {
		if reader := x.readers.get(string(m.GetId())); reader != nil {
			return reader, reader.pass(stream.Context(), m)
		}
	}
	return nil, errNobodyReads
}

var errNobodyReads = status.Error(codes.NotFound, "nobody reads this log")

// receive passes the messages of an answer on, at logRate.
func (r *logReader) receive(stream spokev1.SpokeService_AnswerLogsServer) error {
	pace := rate.NewLimiter(logRate, logBurst)
	for {
		part, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return r.end(nil, nil)
		case err != nil:
			return r.end(errGone, err)
		}
		if err := r.pass(stream.Context(), part); err != nil {
			return err
		}
		if err := pace.WaitN(stream.Context(), min(proto.Size(part), logBurst)); err != nil {
			return r.end(errGone, err)
		}
	}
}

// end tells the reader that the answer ended, and returns the error for the spoke.
func (r *logReader) end(forReader, forSpoke error) error {
	select {
	case r.done <- forReader:
	default: // another answer to the same question ended before
	}
	return forSpoke
}

// pass gives a message to the reader as soon as the reader takes it. If the message is not accepted, that ends the
// answer for the reader, too.
func (r *logReader) pass(ctx context.Context, m *spokev1.AnswerLogsRequest) error {
	if err := checkLogs(m); err != nil {
		return r.end(status.Errorf(codes.Aborted, "the answer of the spoke is not accepted: %s",
			status.Convert(err).Message()), err)
	}
	select {
	case r.parts <- m:
		return nil
	case <-r.gone:
		return errNobodyReads
	case <-ctx.Done():
		return r.end(errGone, ctx.Err())
	}
}

// checkLogs checks and cuts a message with records. If it is over a limit, the error is INVALID_ARGUMENT.
func checkLogs(m *spokev1.AnswerLogsRequest) error {
	if n := proto.Size(m); n > maxSessionMessage {
		return invalid("%d bytes of records in one message: at most %d", n, maxSessionMessage)
	}
	for _, r := range m.GetRecords() {
		if n := len(r.GetAttributes()); n > telemetry.MaxAttributes {
			return invalid("%d attributes: at most %d", n, telemetry.MaxAttributes)
		}
		r.Message = clean(r.GetMessage(), telemetry.MaxText)
		for _, a := range r.GetAttributes() {
			a.Key, a.Value = clean(a.GetKey(), telemetry.MaxKey), clean(a.GetValue(), telemetry.MaxText)
		}
	}
	return nil
}
