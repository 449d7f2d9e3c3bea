package dispatch

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/internal/lru"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/hub/internal/trace"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/telemetry"
)

// Config configures a Server. Store and TrustDomain must be set.
type Config struct {
	Store       *store.Store
	TrustDomain string                // callers must be clusters of this domain
	Log         *slog.Logger          // slog.Default()
	Metrics     prometheus.Registerer // nil: none are exposed
	Trace       *trace.Tracer         // nil: none
	Now         func() time.Time      // nil: time.Now
}

// Server serves spokev1.SpokeService. It answers only while Run runs.
type Server struct {
	spokev1.UnimplementedSpokeServiceServer
	Config
	metrics *metrics

	sessions  sessions
	batch     *batch
	reachable *reachableSets
	whole     *wholeBlobs
	changes   *changes
	quotas    *quotas
	schemas   *lru.Cache[schemaHash, []byte] // of all clusters, compressed
	hellos    chan struct{}                  // a slot for each hello that is being answered

	drainOnce sync.Once
	draining  chan struct{}
}

// Limits on what one spoke may ask of the hub.
const (
	maxHellos         = 64               // answered at the same moment, of all spokes
	helloPatience     = 5 * time.Second  // a hello waits this long for a slot, then is refused with a time to come back
	helloTimeout      = 10 * time.Second // from the call to its hello
	silenceTimeout    = 150 * time.Second
	sweepInterval     = 15 * time.Second
	maxSessionMessage = 64 << 10
)

// New returns a Server on the store.
func New(c Config) *Server {
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Server{
		Config:    c,
		reachable: newReachableSets(c.Store.Blobs()),
		whole:     newWholeBlobs(c.Store.Blobs()),
		quotas:    newQuotas(),
		schemas:   lru.New[schemaHash, []byte](maxSchemas),
		hellos:    make(chan struct{}, maxHellos),
		draining:  make(chan struct{}),
	}
	s.changes = newChanges(s.reachable)
	s.metrics = newMetrics(c.Metrics, func() int { return len(s.sessions.all()) })
	s.batch = newBatch(c.Store, c.Log, c.Now)
	return s
}

// Run watches the store, writes batches and sweeps silent sessions until ctx ends; then it writes what is left and
// returns nil. Stop the gRPC server first: reports are answered by Run.
func (s *Server) Run(ctx context.Context) error {
	if err := s.disconnectAll(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("dispatch: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.watch(ctx) })
	g.Go(func() error { return s.batch.run(ctx) })
	g.Go(func() error { return s.sweep(ctx) })
	g.Go(func() error { return s.watchCertificates(ctx) })
	if err := g.Wait(); err != nil {
		return fmt.Errorf("dispatch: %w", err)
	}
	return nil
}

// Drain ends every session, telling the spokes to come back, and refuses new ones. It returns at once.
func (s *Server) Drain() { s.drainOnce.Do(func() { close(s.draining) }) }

// disconnectAll writes that no spoke is connected, which is true after a start.
func (s *Server) disconnectAll(ctx context.Context) error {
	now := s.Now().UTC()
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		return store.Spokes.ScanApart(tx, "", func(cluster string, row store.Spoke) error {
			if !row.Connected || s.sessions.get(cluster) != nil {
				return nil
			}
			row.Connected, row.Since = false, now
			return store.Spokes.Put(tx, cluster, row)
		}, func(cluster string, err error) error {
			s.Log.Error("the registration of a cluster cannot be read: delete the Cluster and register it again",
				telemetry.Cluster(cluster), telemetry.Err(err))
			return nil
		})
	})
}

// sweep ends the sessions that have been silent for too long, with one timer for all.
func (s *Server) sweep(ctx context.Context) error {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			for _, x := range s.sessions.silentFor(silenceTimeout) {
				x.end(status.Error(codes.Unavailable, "no heartbeat for too long"))
			}
		}
	}
}

// caller is the caller of a call, from its certificate.
type caller struct {
	cluster      string
	registration string    // that the certificate is of
	issued       time.Time // the certificate, to the second
	address      string    // where from, for people
}

// caller returns the caller by its certificate. Only admitted tells whether the certificate is still valid for the
// cluster.
func (s *Server) caller(ctx context.Context) (caller, error) {
	peer, err := identity.Peer(ctx)
	if err != nil {
		return caller{}, status.Error(codes.Unauthenticated, "show a certificate of a cluster")
	}
	if peer.Role != identity.Cluster || peer.TrustDomain != s.TrustDomain {
		return caller{}, status.Errorf(codes.PermissionDenied, "%s is not a cluster of this hub", peer.ID)
	}
	return caller{peer.Name, peer.Registration, peer.IssuedAt, address(ctx)}, nil
}
