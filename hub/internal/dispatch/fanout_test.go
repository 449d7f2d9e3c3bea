package dispatch

import (
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
)

// BenchmarkFanout measures one change of every cluster, from the rows that are written to every spoke's ack in the
// store. raw is the same bytes and the same answers on a bare gRPC stream.
func BenchmarkFanout(b *testing.B) {
	const spokes = 1000
	b.Run("hub", func(b *testing.B) {
		r := newRig(b)
		calls := r.fleet(spokes)
		sequence := uint64(0)
		for b.Loop() {
			sequence++
			r.fanOut(calls, sequence)
		}
		b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/change")
	})
	b.Run("raw", func(b *testing.B) {
		raw := newRaw(b)
		calls := raw.fleet(spokes)
		for b.Loop() {
			raw.broadcast(calls)
		}
		b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/change")
	})
}

// fleet registers clusters and opens their sessions.
func (r *rig) fleet(n int) (calls []*call) {
	r.t.Helper()
	for i := range n {
		name := fmt.Sprintf("c%04d", i)
		r.cluster(name, false)
		calls = append(calls, r.open(r.dial(identity.Cluster, name), bundle.ID{}, 0))
	}
	return calls
}

// fanOut makes a change for every cluster and returns when all have acknowledged it.
func (r *rig) fanOut(calls []*call, sequence uint64) {
	r.t.Helper()
	var group sync.WaitGroup
	for _, c := range calls {
		group.Go(func() {
			m, err := c.Recv()
			if err != nil {
				r.t.Error(err)
				return
			}
			ack := &spokev1.Ack{Bundle: m.GetOffer().Bundle, Stage: spokev1.AckStage_ACK_STAGE_RECEIVED}
			if err := c.Send(&spokev1.SessionRequest{Message: &spokev1.SessionRequest_Ack{Ack: ack}}); err != nil {
				r.t.Error(err)
			}
		})
	}
	r.update(func(tx *store.Tx) error {
		for i := range calls {
			row := store.SignedBundle{Bundle: bundle.ID{Epoch: 1, Sequence: sequence}, Envelope: make([]byte, 1024),
				ChangedAt: time.Now()}
			row.Bundle.Digest[0] = 1
			if err := store.SignedBundles.Put(tx, fmt.Sprintf("c%04d", i), row); err != nil {
				return err
			}
		}
		return nil
	})
	group.Wait()
	r.await("every ack", func(tx *store.Tx) (bool, error) {
		acked := 0
		err := store.Spokes.Scan(tx, "", func(_ string, row store.Spoke) error {
			if row.Acks[bundle.Received].Sequence == sequence {
				acked++
			}
			return nil
		})
		return acked == len(calls), err
	})
}

// raw is the least that could be done: a bare bidirectional stream that sends bytes and takes an answer.
type raw struct {
	spokev1.UnimplementedSpokeServiceServer

	*rig
	address string
	mu      sync.Mutex
	down    []chan *spokev1.SessionResponse
	acked   chan struct{}
}

func newRaw(b *testing.B) *raw {
	r := &raw{rig: newRig(b), acked: make(chan struct{}, 1<<16)}
	g := grpc.NewServer(grpc.Creds(credentials.NewTLS(identity.ServerTLS(r.credential(identity.Hub, "hub")))))
	spokev1.RegisterSpokeServiceServer(g, r)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	go func() { _ = g.Serve(listener) }()
	b.Cleanup(g.Stop)
	r.address = listener.Addr().String()
	return r
}

func (r *raw) Session(stream spokev1.SpokeService_SessionServer) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	down := make(chan *spokev1.SessionResponse, 1)
	r.mu.Lock()
	r.down = append(r.down, down)
	r.mu.Unlock()
	if err := stream.Send(&spokev1.SessionResponse{
		Message: &spokev1.SessionResponse_Welcome{Welcome: &spokev1.Welcome{}},
	}); err != nil {
		return err
	}
	for m := range down {
		if err := stream.Send(m); err != nil {
			return err
		}
		if _, err := stream.Recv(); err != nil {
			return err
		}
		r.acked <- struct{}{}
	}
	return nil
}

func (r *raw) fleet(n int) (calls []*call) {
	r.rig.address = r.address
	return r.rig.fleet(n)
}

func (r *raw) broadcast(calls []*call) {
	for _, c := range calls {
		go func() {
			m, err := c.Recv()
			if err != nil {
				return
			}
			_ = c.Send(&spokev1.SessionRequest{
				Message: &spokev1.SessionRequest_Ack{Ack: &spokev1.Ack{Bundle: m.GetOffer().Bundle, Stage: 1}},
			})
		}()
	}
	r.mu.Lock()
	for _, down := range r.down {
		id := bundle.ID{Epoch: 1, Sequence: 1}
		down <- &spokev1.SessionResponse{Message: &spokev1.SessionResponse_Offer{Offer: &spokev1.Offer{Bundle: id.Message(),
			Envelope: make([]byte, 1024)}}}
	}
	r.mu.Unlock()
	for range calls {
		<-r.acked
	}
}

// onDisk puts the rig's rows into a file, as a hub has them.
func onDisk(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "hub.db"), store.Twice)
	must(t, err)
	return s
}
