package dispatch

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/reporting"
)

// sink is a session's stream that takes everything.
type sink struct {
	grpc.ServerStream
	ctx  context.Context
	sent []*spokev1.SessionResponse
}

func (s *sink) Context() context.Context               { return s.ctx }
func (s *sink) Recv() (*spokev1.SessionRequest, error) { return nil, context.Canceled }
func (s *sink) Send(m *spokev1.SessionResponse) error  { s.sent = append(s.sent, m); return nil }

// pack writes messages as split reads them.
func pack(messages ...*spokev1.SessionRequest) (data []byte) {
	for _, m := range messages {
		one, _ := proto.Marshal(m)
		data = protowire.AppendBytes(data, one)
	}
	return data
}

// split reads the messages of a session from bytes, at most 100; what gRPC would not hand over ends it.
func split(data []byte) (messages []*spokev1.SessionRequest) {
	for len(data) > 0 && len(messages) < 100 {
		one, n := protowire.ConsumeBytes(data)
		if n < 0 {
			break
		}
		m := &spokev1.SessionRequest{}
		if proto.Unmarshal(one, m) != nil {
			break
		}
		messages, data = append(messages, m), data[n:]
	}
	return messages
}

func helloOf(h *spokev1.Hello) *spokev1.SessionRequest {
	return &spokev1.SessionRequest{Message: &spokev1.SessionRequest_Hello{Hello: h}}
}

func ackOf(id bundle.ID, stage spokev1.AckStage, reason string) *spokev1.SessionRequest {
	return &spokev1.SessionRequest{Message: &spokev1.SessionRequest_Ack{Ack: &spokev1.Ack{Bundle: id.Message(),
		Stage: stage, Reason: reason}}}
}

// FuzzSession is a session of cluster a from its first byte to what is in the store: nothing is said of another
// cluster, every text is bounded and fit for a terminal, and the error is one of a spoke that must not say this again.
func FuzzSession(f *testing.F) {
	signed := id(5)
	beat := &spokev1.SessionRequest{Message: &spokev1.SessionRequest_Heartbeat{Heartbeat: &spokev1.Heartbeat{}}}
	plain := helloOf(&spokev1.Hello{Protocol: 1})
	f.Add(pack(helloOf(&spokev1.Hello{Protocol: 1, Version: "v1", Verified: signed.Message(), Stage: 3,
		Instance: "x"}), beat))
	f.Add(pack(plain, ackOf(signed, 1, ""), ackOf(signed, 2, ""), ackOf(signed, 3, "")))
	f.Add(pack(plain, ackOf(signed, 4, "no\x1b[31m "+strings.Repeat("ä", reporting.MaxMessage)), ackOf(id(4), 4, ""),
		ackOf(id(9), 2, "")))
	f.Add(pack(helloOf(&spokev1.Hello{Protocol: 1, Version: strings.Repeat("\x1b", 1000), Verified: id(9).Message(),
		Stage: 77}), plain))
	f.Add(pack(helloOf(&spokev1.Hello{Protocol: 1, Verified: &spokev1.BundleId{Sequence: 5, Digest: []byte{1}}})))
	f.Add(pack(&spokev1.SessionRequest{}, plain))
	f.Fuzz(func(t *testing.T, data []byte) {
		messages := split(data)
		if len(messages) == 0 {
			return
		}
		s := New(Config{Store: store.OpenMemory(store.Twice), TrustDomain: "td", Log: slog.New(slog.DiscardHandler)})
		for _, cluster := range []string{"a", "b"} {
			registered(t, s.Store, cluster)
		}
		must(t, s.Store.Update(t.Context(), func(tx *store.Tx) error {
			return store.SignedBundles.Put(tx, "a", store.SignedBundle{Bundle: signed, Envelope: []byte("opaque")})
		}))
		err := s.converse(&sink{ctx: t.Context()}, messages)
		if code := status.Code(err); err != nil && code != codes.InvalidArgument && code != codes.FailedPrecondition {
			t.Errorf("the session ends with %v", err)
		}
		must(t, s.batch.flush(t.Context()))
		checkStored(t, s.Store)
		if n := len(s.sessions.all()); n != 0 {
			t.Errorf("%d sessions stay", n)
		}
	})
}

// converse is Session for messages that are at hand.
func (s *Server) converse(stream *sink, messages []*spokev1.SessionRequest) error {
	hello, err := checkHello(messages[0])
	if err != nil {
		return err
	}
	x := newSession(caller{cluster: "a", issued: time.Now().Add(time.Hour)}, clean(hello.Instance, reporting.MaxFact))
	if err := s.open(stream, x, hello); err != nil {
		return err
	}
	defer s.close(x)
	for _, m := range messages[1:] {
		if err := s.handle(stream.Context(), x, m); err != nil {
			return err
		}
	}
	return nil
}

// checkStored looks at what a session of cluster a may have written.
func checkStored(t *testing.T, s *store.Store) {
	t.Helper()
	short := func(text string, limit int) {
		if len(text) > limit || strings.ContainsFunc(text,
			func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
			t.Errorf("text of %d bytes: %q", len(text), text)
		}
	}
	must(t, s.View(t.Context(), func(tx *store.Tx) error {
		a, _, err := store.Spokes.Get(tx, "a")
		must(t, err)
		short(a.Version, reporting.MaxFact)
		short(a.KubernetesVersion, reporting.MaxFact)
		short(a.Rejected, reporting.MaxMessage+512)
		if len(a.Acks) > 3 {
			t.Errorf("acks are %v", a.Acks)
		}
		b, _, err := store.Spokes.Get(tx, "b")
		must(t, err)
		if b.Connected || len(b.Acks) > 0 || b.Rejected != "" || b.Version != "" {
			t.Errorf("the other cluster's spoke is %+v", b)
		}
		return store.Events.Scan(tx, "", func(_ string, e store.Event) error {
			if e.Object != api.ClusterKey("a") {
				t.Errorf("event about %s", e.Object)
			}
			short(e.Message, reporting.MaxMessage+512)
			return nil
		})
	}))
}
