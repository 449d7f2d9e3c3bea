// Package publish turns plans into releases and signed bundles: it watches the plans, and keeps for each cluster one
// envelope that its spoke can verify. No other package uses the signing key, which package signer has.
//
// Package release decides which part of a plan is released now. Publish decides and signs outside of any transaction.
// It writes the release and its bundle in one transaction, unless a row that they were made of changed meanwhile; then
// the next round makes them again.
//
// A bundle is signed anew if
//
//   - the Applications of the release differ from those of the last bundle
//   - the bundle is to name another image for the spoke, or none any more (store.Upgrade)
//   - half of its time to live is over
//   - it was issued in the future, because the hub's clock was ahead
//   - the key changed
//   - the spoke has seen a newer bundle than the hub has, because the hub was restored from an older copy of its store
//
// Otherwise the bundle stays as it is, byte for byte.
//
// The sequence only grows, even if a cluster was removed and registered again: then the sequence continues after the
// bundle that the spoke acknowledged.
//
// If no bundle can be made of a release, or rows of a cluster cannot be read, the package writes a store.Refusal and
// records an event of the Cluster, which keeps its last bundle; other clusters are not affected. The planner makes no
// plan that is too large, because it observes the same limits (bundle.FitsBundle). A last bundle that cannot be read is
// replaced.
//
// The package also deletes blobs that no plan, release, bundle or recent render reaches (sweep.go).
package publish

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/hub/internal/loop"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/hub/internal/trace"
	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/shared/telemetry"
)

// DefaultTTL is how long a bundle is valid. If a spoke gets no newer one, it keeps what it applied and accepts no
// older bundle.
const DefaultTTL = 30 * 24 * time.Hour

// Times of the loop.
const (
	sweepEvery = time.Hour        // the first sweep is this long after the start
	checkEvery = 10 * time.Minute // how often to look for bundles that need refreshing, at most
	clockEvery = 5 * time.Second  // how often to look whether the clock was set, at most
	maxStep    = time.Minute      // a smaller step of the clock is ignored; spokes allow for more (trust.MaxSkew)
)

// maxClusters bounds the bundles of one transaction, so that no other writer waits for a whole fleet.
const maxClusters = 1000

// Signer has the key that signs, which may change; store.SigningKeys then changes, too.
type Signer interface {
	Sign(payloadType string, payload []byte) *signing.Envelope
	Public() ed25519.PublicKey
}

// Config configures a Publisher.
type Config struct {
	Store       *store.Store
	Signer      Signer
	TrustDomain string                // of the clusters' SPIFFE IDs
	TTL         time.Duration         // of a bundle; 0: DefaultTTL
	Log         *slog.Logger          // nil: slog.Default
	Metrics     prometheus.Registerer // nil: none
	Trace       *trace.Tracer         // nil: none
	Now         func() time.Time      // nil: time.Now
}

// Publisher keeps a signed bundle of each plan. Its fields belong to the goroutine of Run.
type Publisher struct {
	Config
	keyring *signing.Keyring // the signer's own key, when the round began
	metrics *metrics
	dirty   map[string]bool // clusters to check; false: only the row of the spoke changed
	whole   bool            // check all clusters
	checked moment          // when all clusters were checked last
	swept   time.Time       // when the store was swept last, or the start
}

// moment is one instant on two clocks.
type moment struct {
	wall   time.Time // from Now; this clock can be set
	steady time.Time // with a monotonic reading
}

func (p *Publisher) moment() moment { return moment{p.Now().Round(0), time.Now()} }

// since returns how long ago m was, and by how much the clock was set meanwhile.
func (p *Publisher) since(m moment) (elapsed, step time.Duration) {
	now := p.moment()
	elapsed = now.steady.Sub(m.steady)
	return elapsed, (now.wall.Sub(m.wall) - elapsed).Abs()
}

// New returns a publisher. Run starts it.
func New(c Config) *Publisher {
	if c.TTL <= 0 {
		c.TTL = DefaultTTL
	}
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Publisher{
		Config: c, metrics: newMetrics(c.Metrics), dirty: map[string]bool{}, whole: true,
	}
}

// Run publishes until ctx ends or the store is closed.
func (p *Publisher) Run(ctx context.Context) (err error) {
	if p.keyring, err = signing.NewKeyring(p.Signer.Public()); err != nil {
		return fmt.Errorf("keyring of the signing key: %w", err)
	}
	p.swept = p.Now()
	return loop.Loop{
		Name: "publish", Store: p.Store, Log: p.Log,
		Tables: []string{store.Plans.Name(), store.Spokes.Name(), store.Pins.Name(), store.Upgrades.Name(),
			store.Turns.Name(), store.SigningKeys.Name()},
		Note: p.note, Work: p.work,
	}.Run(ctx)
}

// note marks the clusters whose plan or spoke changed.
func (p *Publisher) note(_ context.Context, changes []store.Change) error {
	for _, c := range changes {
		if c.Key == "" || c.Table == store.SigningKeys.Name() {
			p.whole = true
			continue
		}
		cluster, _, _ := strings.Cut(c.Key, "/") // that of a Turn has the Fleet, too
		p.dirty[cluster] = p.dirty[cluster] || c.Table != store.Spokes.Name()
	}
	return nil
}

// work publishes and sweeps, and returns how long to wait before the clock is checked again.
func (p *Publisher) work(ctx context.Context) (time.Duration, error) {
	elapsed, step := p.since(p.checked) // checked first, so that a busy store does not delay it
	p.whole = p.whole || elapsed >= p.refreshEvery() || step >= maxStep
	if err := p.round(ctx); err != nil {
		return 0, err
	}
	pause := min(clockEvery, p.refreshEvery())
	if p.Now().Sub(p.swept) < sweepEvery {
		return pause, nil
	}
	p.swept = p.Now()
	return pause, p.sweep(ctx)
}

// refreshEvery returns the time between two checks of all bundles.
func (p *Publisher) refreshEvery() time.Duration { return min(checkEvery, p.TTL/8) }

// round publishes the marked clusters. A cluster that was not written stays marked.
func (p *Publisher) round(ctx context.Context) error {
	if err := p.listen(ctx); err != nil {
		return err
	}
	if len(p.dirty) == 0 && !p.whole {
		return nil
	}
	if err := p.keyring.Replace(p.Signer.Public()); err != nil {
		return fmt.Errorf("keyring of the signing key: %w", err)
	}
	checked := p.moment()
	if p.whole {
		if err := p.markAll(ctx); err != nil {
			return fmt.Errorf("publish bundles: %w", err)
		}
	}
	now := p.Now()
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(p.dirty)), maxClusters) {
		if err := p.publish(ctx, chunk, now); err != nil {
			return fmt.Errorf("publish bundles: %w", err)
		}
	}
	if p.whole {
		p.whole, p.checked = false, checked
	}
	return nil
}

// publish releases the plans of some clusters, signs bundles of the releases, and writes both in one transaction. If
// the plan of a cluster changed meanwhile, the cluster stays marked. The watcher of the loop has that change, so the
// next round begins at once.
func (p *Publisher) publish(ctx context.Context, clusters []string, now time.Time) error {
	candidates, err := p.readAll(ctx, clusters)
	if err != nil {
		return err
	}
	for _, c := range candidates {
		p.prepare(c, now)
	}
	return p.write(ctx, candidates, now)
}

// report counts and logs the candidates that were written, and unmarks them.
func (p *Publisher) report(ctx context.Context, written []*candidate, start time.Time) {
	signed, removed := 0, 0
	for _, c := range written {
		delete(p.dirty, c.name)
		if c.refused != "" {
			if c.noted {
				p.Log.WarnContext(ctx, "no bundle was made", telemetry.Cluster(c.name), telemetry.Reason(c.refused))
			}
			continue
		}
		switch {
		case c.signed != nil:
			signed++
			p.traceBundle(c, start)
		case !c.planned && c.published:
			removed++
		}
	}
	if signed+removed > 0 {
		p.metrics.signed.Add(float64(signed))
		p.metrics.rounds.Observe(p.Now().Sub(start).Seconds())
		p.Log.InfoContext(ctx, "published bundles", slog.Int("signed", signed), slog.Int("removed", removed))
	}
}

// traceBundle exports the span of a bundle that was signed because the Applications of its release changed.
func (p *Publisher) traceBundle(c *candidate, start time.Time) {
	if !c.anew {
		return
	}
	p.Trace.Add(trace.Span{Change: c.signed.ChangedAt, Name: "publish", Cluster: c.name, Start: start, End: p.Now(),
		Attributes: []trace.Attribute{
			{Key: "nave.sequence", Value: strconv.FormatUint(c.signed.Bundle.Sequence, 10)}}})
}

// listen unmarks the clusters whose spoke reported only bundles that the hub knows. Spokes report often, so listen
// takes no write lock.
func (p *Publisher) listen(ctx context.Context) error {
	return p.Store.View(ctx, func(tx *store.Tx) error {
		for cluster, planned := range p.dirty {
			if planned {
				continue
			}
			ahead, err := ahead(tx, cluster)
			if err != nil && !errors.Is(err, store.ErrDamaged) {
				return err
			}
			if p.dirty[cluster] = ahead || err != nil; !p.dirty[cluster] {
				delete(p.dirty, cluster)
			}
		}
		return nil
	})
}

// ahead reports whether a spoke has seen a newer bundle than the hub has, or another one of the same number.
func ahead(tx *store.Tx, cluster string) (bool, error) {
	last, published, err := store.SignedBundles.Get(tx, cluster)
	if err != nil || !published {
		return false, err
	}
	spoke, _, err := store.Spokes.Get(tx, cluster)
	return !follows(last.Bundle, newest(spoke)), err
}

// markAll marks the clusters that have a plan or a bundle.
func (p *Publisher) markAll(ctx context.Context) error {
	mark := func(cluster string, _ int) error {
		p.dirty[cluster] = true
		return nil
	}
	return p.Store.View(ctx, func(tx *store.Tx) error {
		return errors.Join(store.Plans.Sizes(tx, "", mark), store.SignedBundles.Sizes(tx, "", mark))
	})
}
