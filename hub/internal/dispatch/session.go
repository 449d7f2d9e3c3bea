package dispatch

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/version"
)

// Session implements spokev1.SpokeServiceServer: hello, welcome, then offers down and acks and heartbeats up.
func (s *Server) Session(stream spokev1.SpokeService_SessionServer) error {
	caller, err := s.caller(stream.Context())
	if err != nil {
		return err
	}
	hello, err := s.receiveHello(stream)
	if err != nil {
		return err
	}
	if err := s.quotas.hello(caller.cluster); err != nil {
		return err
	}
	x := newSession(caller, clean(hello.Instance, reporting.MaxFact))
	if len(hello.Features) > 0 {
		if x.features, err = bundle.ReadFeatures(hello.Features); err != nil {
			return invalid("%v", err)
		}
	}
	x.keys.known = hello.KeyStatement
	if err := s.open(stream, x, hello); err != nil {
		return err
	}
	defer s.close(x)
	go s.receive(stream, x)
	return s.send(stream, x)
}

// receiveHello waits for the first message.
func (s *Server) receiveHello(stream spokev1.SpokeService_SessionServer) (*spokev1.Hello, error) {
	m, err := receiveFirst(s, stream.Recv, helloTimeout, "no hello")
	if err != nil {
		return nil, err
	}
	return checkHello(m)
}

// receiveFirst returns the first message of a stream, which receive receives. If none comes in time, the error says
// late; if the hub is stopping, the error is errStopping.
func receiveFirst[M any](s *Server, receive func() (M, error), limit time.Duration, late string) (m M, err error) {
	received := make(chan func() (M, error), 1)
	go func() {
		m, err := receive() // ends with the stream when nobody waits any more
		received <- func() (M, error) { return m, err }
	}()
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	select {
	case result := <-received:
		return result()
	case <-timeout.C:
		return m, status.Error(codes.DeadlineExceeded, late)
	case <-s.draining:
		return m, errStopping
	}
}

var errStopping = status.Error(codes.Unavailable, "the hub is stopping")

// checkHello returns the hello of a first message.
func checkHello(m *spokev1.SessionRequest) (*spokev1.Hello, error) {
	hello := m.GetHello()
	switch {
	case hello == nil:
		return nil, invalid("the first message must be hello")
	case proto.Size(m) > maxSessionMessage:
		return nil, invalid("a message of a session has at most %d bytes", maxSessionMessage)
	case hello.Protocol > version.Protocol || max(hello.Protocol, hello.NewestProtocol) < version.OldestProtocol:
		return nil, status.Errorf(codes.FailedPrecondition,
			"spoke speaks protocol %d, this hub %d to %d: bring them to the same version", hello.Protocol,
			version.OldestProtocol, version.Protocol)
	}
	return hello, nil
}

// open admits the session, takes over from an older one, and answers hello. On an error x is not open.
func (s *Server) open(stream spokev1.SpokeService_SessionServer, x *session, hello *spokev1.Hello) error {
	leave, err := s.enter(stream.Context())
	if err != nil {
		return err
	}
	defer leave()
	verified, err := bundle.IDFrom(hello.Verified)
	if err != nil {
		return invalid("%v", err)
	}
	s.takeOver(x) // before the store is read: from here on the watcher finds the session
	if err := s.greet(stream, x, hello, verified); err != nil {
		x.end(err)
		s.close(x)
		return err
	}
	x.welcomed = true
	s.arrived(x, hello)
	return nil
}

// takeOver makes x the session of its cluster.
func (s *Server) takeOver(x *session) {
	old, now := s.sessions.add(x), time.Now()
	if x.replaces = old != nil; !x.replaces {
		return
	}
	old.end(status.Error(codes.Aborted, "a newer session of this cluster took over"))
	reconnect := x.instance != "" && x.instance == old.instance // one agent, whose connection was lost unnoticed
	if reconnect || s.quotas.takeovers.Allow(x.cluster, 1, now) ||
		!s.quotas.warn(x.cluster, condition.DuplicateSpoke, now) {
		return
	}
	s.Log.Warn("sessions of one cluster replace one another", telemetry.Cluster(x.cluster), telemetry.Address(x.address))
	s.batch.event(s.warning(x.cluster, condition.DuplicateSpoke,
		"sessions replaced one another more than %d times within %s, last from %s and %s: a second agent may be using the "+
			"identity of this cluster; if so, block the cluster and register it anew",
		takeoverBurst, takeoverWindow, old.address, x.address))
}

// greet reads the cluster's rows, puts the signed bundle into the mailbox, and sends Welcome.
func (s *Server) greet(stream spokev1.SpokeService_SessionServer, x *session, hello *spokev1.Hello,
	verified bundle.ID) error {
	var signed *offer
	var spoke store.Spoke
	var chain [][]byte
	served, wants, err := s.named(stream.Context(), hello)
	if err != nil {
		return err
	}
	err = s.view(stream.Context(), x.caller, func(tx *store.Tx) (err error) {
		if spoke, _, err = store.Spokes.Get(tx, x.cluster); err == nil {
			signed, err = readOffer(tx, x.cluster)
		}
		if err == nil {
			chain, err = store.KeyChain(tx, 0)
		}
		return err
	})
	if err != nil {
		return refusal(err)
	}
	x.sinceLive = spoke.RegisteredAt
	s.batch.hello(x.cluster, hello, verified)
	s.batch.edit(x.cluster, func(d *spokeDelta) { d.capabilities = cmp.Or(served, d.capabilities) })
	s.compareKeys(x, chain, hello.KeyStatement)
	tellKeys(x, chain) // before the offer that may need them
	s.begin(x, signed, verified, hello.Stage)
	build, _ := version.Build()
	return stream.Send(&spokev1.SessionResponse{Message: &spokev1.SessionResponse_Welcome{
		Welcome: &spokev1.Welcome{Now: timestamppb.New(s.Now()), Version: build, Protocol: version.Protocol,
			WantsCapabilities: wants},
	}})
}

// begin notes in the mailbox which bundle the spoke has, and gives the session the signed bundle, if there is one.
func (s *Server) begin(x *session, signed *offer, verified bundle.ID, stage spokev1.AckStage) {
	x.known = verified
	lost := stage == spokev1.AckStage_ACK_STAGE_UNSPECIFIED // it verified that bundle once, and has it no more
	if lost {
		x.mailbox.lost(verified)
	} else {
		x.mailbox.has(verified)
	}
	if signed != nil {
		s.compare(x, signed, verified)
		s.give(x, signed)
		if !lost {
			x.mailbox.holds(verified)
		}
	}
}

// give puts an offer into the mailbox of a session. It holds back a bundle with a feature that the spoke does not know:
// the spoke would reject it. The spoke keeps what it runs, and the Cluster's status says so.
func (s *Server) give(x *session, o *offer) {
	lacks := o.features.Without(x.features)
	if lacks == "" {
		x.mailbox.post(o)
		return
	}
	if !s.quotas.warn(x.cluster, condition.BundleHeldBack, time.Now()) {
		return
	}
	s.Log.Warn("bundle held back: its spoke does not know a feature of it", telemetry.Cluster(x.cluster),
		telemetry.Sequence(o.id.Sequence), slog.String("features", string(lacks)))
	s.batch.event(s.warning(x.cluster, condition.BundleHeldBack, "bundle %s is held back: the spoke does not know bundle "+
		"feature %s; upgrade the spoke", showID(o.id), lacks))
}

// compare compares the bundle that the spoke verified with the signed one. Usually they are equal, or the spoke's is
// older and will be replaced. If the spoke's is newer, or another one of the same sequence, this hub lost history,
// which compare records.
func (s *Server) compare(x *session, signed *offer, verified bundle.ID) {
	switch {
	case verified == signed.id:
		x.observed = signed.changedAt
		s.batch.reject(x.cluster, "") // an earlier rejection is over
	case verified.Newer(signed.id):
		s.reject(x, verified, condition.HubBehind,
			"the spoke verified bundle "+showID(verified)+", but this hub's newest is "+showID(signed.id)+
				": the hub was restored from a backup, or another hub signs for this cluster; the spoke keeps what it has until "+
				"the hub signs a newer one")
	case !signed.id.Newer(verified):
		s.reject(x, verified, condition.BundleFork, "the spoke verified bundle "+showID(verified)+
			", but this hub signed "+showID(signed.id)+" under the same number: the hub was restored from a backup, or "+
			"another hub signs for this cluster")
	}
}

// reject records that hub and spoke disagree about a bundle, once for each bundle: in the cluster's row, and, at the
// rate of warnings, in the log and the events.
func (s *Server) reject(x *session, id bundle.ID, reason, message string) {
	if x.rejected == id {
		return
	}
	x.rejected = id
	s.batch.reject(x.cluster, message)
	if !s.quotas.warn(x.cluster, reason, time.Now()) {
		return
	}
	s.Log.Warn("bundle not accepted", telemetry.Cluster(x.cluster), telemetry.Sequence(id.Sequence),
		telemetry.Reason(reason))
	s.batch.event(s.warning(x.cluster, reason, "%s", message))
}

// send sends offers and questions until the session ends.
func (s *Server) send(stream spokev1.SpokeService_SessionServer, x *session) error {
	for {
		select {
		case <-x.mailbox.signal:
			for _, message := range x.keys.collect() {
				if err := stream.Send(message); err != nil {
					return err
				}
			}
			o := x.mailbox.collect()
			if o == nil {
				continue
			}
			x.sent.Store(s.Now().UnixNano())
			if err := stream.Send(o.message); err != nil {
				return err
			}
			for _, b := range o.message.GetOffer().GetBlobs() {
				s.metrics.fetched.Add(float64(len(b.Frame)))
			}
		case question := <-x.questions:
			if err := stream.Send(question); err != nil {
				return err
			}
		case <-x.ended:
			return x.err
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		case <-s.draining:
			return errStopping
		}
	}
}

// receive takes acks and heartbeats until the stream ends. A spoke that sends more than messageRate is read no faster.
func (s *Server) receive(stream spokev1.SpokeService_SessionServer, x *session) {
	pace := rate.NewLimiter(messageRate, messages)
	for {
		m, err := stream.Recv()
		if err == nil {
			err = s.handle(stream.Context(), x, m)
		}
		if err == nil {
			err = pace.Wait(stream.Context())
		}
		if errors.Is(err, io.EOF) { // the spoke is done; so are we
			x.end(nil)
			return
		}
		if err != nil {
			x.end(err)
			return
		}
	}
}

// handle handles one message after hello.
func (s *Server) handle(ctx context.Context, x *session, m *spokev1.SessionRequest) error {
	x.touch()
	if proto.Size(m) > maxSessionMessage {
		return invalid("a message of a session has at most %d bytes", maxSessionMessage)
	}
	switch v := m.Message.(type) {
	case *spokev1.SessionRequest_Ack:
		return s.ack(x, v.Ack)
	case *spokev1.SessionRequest_Heartbeat:
		return nil
	case *spokev1.SessionRequest_Capabilities:
		return s.capabilities(ctx, x, v.Capabilities)
	case *spokev1.SessionRequest_Hello:
		return invalid("hello comes once")
	}
	return invalid("neither ack, heartbeat nor capabilities")
}

// close ends and removes the session. If no newer session took its place, the spoke is not connected any more.
func (s *Server) close(x *session) {
	x.end(nil)
	if s.sessions.remove(x) {
		s.left(x)
	}
}

// refusal returns the answer to an error: the error itself if it has a status, the status of a context that ended, or
// UNAVAILABLE for an error of the store.
func refusal(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	if ended := status.FromContextError(err); ended.Code() != codes.Unknown {
		return ended.Err()
	}
	return status.Error(codes.Unavailable, "the hub cannot read its store")
}

// address returns the address of the caller, for logs and events.
func address(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		return p.Addr.String()
	}
	return "an unknown address"
}
