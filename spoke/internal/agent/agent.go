package agent

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/health"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/ledger"
	"github.com/navefleet/nave/spoke/internal/report"
	"github.com/navefleet/nave/spoke/internal/session"
	"github.com/navefleet/nave/spoke/internal/state"
	"github.com/navefleet/nave/spoke/internal/watch"
)

const (
	drainTimeout = 10 * time.Second // for what runs when the context ends
	sweepDelay   = 30 * time.Second // after a new bundle, when nothing can need the old one's blobs any more
	restDelay    = 3 * time.Second  // after a start, and after an apply of manyObjects; see rest
	manyObjects  = 100
)

// Hub is the session with the hub.
type Hub interface {
	Offers() <-chan struct{}
	TakeOffer() (session.Offer, bool)
	Progress(bundle.ID, bundle.Stage)
	Reject(id bundle.ID, reason string)
	Fetch(ctx context.Context, digests []manifest.Digest,
		store func(d manifest.Digest, size uint64, frame []byte) error) error
}

// Cluster applies and deletes.
type Cluster interface {
	Apply(ctx context.Context, s apply.Set) (*apply.ChangeSet, error)
	Delete(ctx context.Context, r apply.Removal) (*apply.ChangeSet, error)
}

// Watcher observes the cluster.
type Watcher interface {
	C() <-chan struct{}
	Drain() []watch.Observation
}

// Kubernetes is what the agent itself asks the API server for.
type Kubernetes interface {
	Secret(ctx context.Context, namespace, name string) (map[string][]byte, error)
	List(ctx context.Context, m kube.Mapping, s kube.Scope, see func(kube.Live) error) (string, error)
	Warm(mappings ...kube.Mapping)
}

// Inputs observes objects that applications read.
type Inputs interface {
	Follow(objects []bundle.ObjectIdentity)
	C() <-chan struct{}
	Drain() map[manifest.ID]bool
}

// Config is what an Agent works with.
type Config struct {
	Cluster    identity.ID
	Keyring    *signing.Keyring
	Store      *state.Store
	Ledger     *ledger.Ledger // keeps what the state holds of applications where the loss of the disk does not reach it
	Hub        Hub
	Applier    Cluster
	Watcher    Watcher
	Index      *inventory.Index
	Kubernetes Kubernetes
	Health     *health.Assessor // the health expressions, which the agent takes from the bundle; nil: they are left out
	// Check asks how an object is doing for an application, with the rights of a service account; with an empty account
	// with the spoke's own.
	Check func(ctx context.Context, app bundle.ApplicationName, account string, id bundle.ObjectIdentity) (health.Report,
		error)
	// Data reads a ConfigMap or Secret with the rights of a service account; with an empty account with the spoke's own.
	Data   func(ctx context.Context, account string, id bundle.ObjectIdentity) (kube.Data, error)
	Inputs Inputs // nil: what applications read is not watched
	// DefaultServiceAccount is that of Applications that name none, in the namespace of each; empty: the spoke's own
	// rights.
	DefaultServiceAccount string

	Reporter *report.Reporter
	Registry prometheus.Registerer // of the metrics; nil: they are not registered
	Log      *slog.Logger          // nil: slog.Default
	Now      func() time.Time      // what bundles are judged by: a clock that may be set at any moment; nil: time.Now
	Jitter   func() float64        // in [0,1)
	Memory   int64                 // limit of this process in bytes; 0 or math.MaxInt64: none is known
}

// Agent performs what its model decides.
type Agent struct {
	Config
	model  *model
	inputs chan input
	timer  *time.Timer
	sweep  *time.Timer
	rest   *time.Timer // the memory goes back to the system, of which a start and a large apply take more than is kept

	// Of the loop's goroutine alone:
	inventories map[bundle.ApplicationName]*inventory.Inventory
	cancels     map[bundle.ApplicationName]context.CancelFunc
	seen        map[manifest.ID]time.Time // drift that waits for its repair
	receiving   context.CancelFunc
	draining    bool
	sealed      map[bundle.ApplicationName]sealedFiles
	learned     map[bundle.ApplicationName]time.Time // when sealed files were last opened for the sake of a text

	budget    *budget
	redactors *redactors
	metrics   metrics

	claims atomic.Pointer[map[manifest.ID]bundle.ApplicationName] // who wants an object, in the current bundle
	// read: blobs are being received; write: they are swept
	blobs    sync.RWMutex
	work     sync.WaitGroup
	base     context.Context // of everything that runs; outlives the loop by drainTimeout
	restored chan struct{}   // closed when what was on disk is taken up
}

// New returns an Agent that does nothing before Run.
func New(c Config) *Agent {
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.Now == nil {
		c.Now = time.Now
	}
	a := &Agent{
		Config: c, model: newModel(c.Cluster.Name, c.Jitter), inputs: make(chan input), restored: make(chan struct{}),
		inventories: map[bundle.ApplicationName]*inventory.Inventory{},
		cancels:     map[bundle.ApplicationName]context.CancelFunc{},
		seen:        map[manifest.ID]time.Time{},
		sealed:      map[bundle.ApplicationName]sealedFiles{},
		learned:     map[bundle.ApplicationName]time.Time{},
		budget:      newBudget(c.Memory), redactors: newRedactors(), metrics: newMetrics(c.Registry),
	}
	a.model.owned = func(name bundle.ApplicationName) []manifest.ID {
		return slices.Collect(maps.Keys(a.owned(name).Items))
	}
	a.claims.Store(&map[manifest.ID]bundle.ApplicationName{})
	return a
}

// Restored is closed when the agent has taken up what was on disk.
func (a *Agent) Restored() <-chan struct{} { return a.restored }

// Run keeps the cluster as the bundle says until the context ends. Then it starts nothing more, lets what runs end for
// ten seconds, and returns nil. It returns an error when what is on disk cannot be read.
func (a *Agent) Run(ctx context.Context) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	a.base = base
	a.timer, a.sweep, a.rest = stoppedTimer(), stoppedTimer(), stoppedTimer()
	for _, timer := range []*time.Timer{a.timer, a.sweep, a.rest} {
		defer timer.Stop()
	}
	if err := a.restore(); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	a.rest.Reset(restDelay)
	close(a.restored)
	for {
		select {
		case <-ctx.Done():
			a.drain(cancel)
			return nil
		case in := <-a.inputs:
			a.handle(in)
		case <-a.Hub.Offers():
			if o, ok := a.Hub.TakeOffer(); ok {
				a.handle(offered{o})
			}
		case <-a.Watcher.C():
			a.observe()
		case <-a.inputsChanged():
			a.handle(changed{a.Inputs.Drain()})
		case <-a.timer.C:
			a.handle(ticked{})
		case <-a.sweep.C:
			a.sweepBlobs()
		case <-a.rest.C:
			debug.FreeOSMemory()
		}
	}
}

func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// handle gives an input to the model and performs what it decides.
func (a *Agent) handle(in input) {
	if f, ok := in.(finished); ok {
		a.recordResult(f)
		in = a.withHealth(f)
	}
	for _, act := range a.model.step(time.Now(), in) {
		act.perform(a)
	}
}

// drain takes in the results of what still runs, so that they are on disk, and starts nothing.
func (a *Agent) drain(cancel context.CancelFunc) {
	a.draining = true
	if a.receiving != nil {
		a.receiving()
	}
	done := make(chan struct{})
	go func() { a.work.Wait(); close(done) }()
	deadline := time.NewTimer(drainTimeout)
	defer deadline.Stop()
	for {
		select {
		case <-done:
			return
		case in := <-a.inputs:
			a.handle(in)
		case <-deadline.C:
			cancel() // what runs ends with an error, and still comes in
		}
	}
}

// spawn runs something that comes back with an input.
func (a *Agent) spawn(fn func() input) {
	a.work.Go(func() { a.inputs <- fn() })
}

// observe takes the news of the watches, application by application.
func (a *Agent) observe() {
	now := time.Now()
	drifted, held := map[bundle.ApplicationName]bool{}, map[bundle.ApplicationName]map[manifest.ID]string{}
	for _, o := range a.Watcher.Drain() {
		drifted[o.Application] = drifted[o.Application] || o.Drift.Any() && !o.Held()
		if o.Drift.Any() {
			a.noteDrift(o, now)
		}
		if o.Held() {
			if held[o.Application] == nil {
				held[o.Application] = map[manifest.ID]string{}
			}
			held[o.Application][o.Object.ID()] = heldMessage(o)
		}
	}
	for name, drift := range drifted {
		a.handle(observed{name: name, drift: drift, held: held[name],
			health: a.Index.Summarize(name, reporting.MaxObjects)})
	}
}

func (a *Agent) noteDrift(o watch.Observation, now time.Time) {
	id := o.Object.ID()
	if _, ok := a.seen[id]; !ok {
		a.seen[id] = now
	}
	a.metrics.drifted.Inc()
	a.Log.Info("drift", telemetry.Application(o.Application), telemetry.Object(id),
		slog.String("drift", string(o.Drift.Kind)), slog.Any("by", o.Drift.By))
	if o.Held() {
		event{name: o.Application, warning: true, reason: condition.DriftHeld, message: heldMessage(o)}.perform(a)
	}
}

// sweepBlobs deletes the blobs that nothing needs, unless some are being received.
func (a *Agent) sweepBlobs() {
	if !a.blobs.TryLock() {
		a.sweep.Reset(sweepDelay)
		return
	}
	defer a.blobs.Unlock()
	needed := a.neededBlobs()
	n, err := a.Store.Sweep(func(d manifest.Digest) bool { return needed[d] })
	if err != nil {
		a.Log.Warn("blobs not swept", telemetry.Err(err))
	} else if n > 0 {
		a.Log.Debug("blobs swept", telemetry.Count(n))
	}
}

// neededBlobs returns the blobs of the bundle, and of what was last healthy of each application.
func (a *Agent) neededBlobs() map[manifest.Digest]bool {
	needed := map[manifest.Digest]bool{}
	need := func(app *bundle.Application) {
		for _, d := range app.Digests() {
			needed[d] = true
		}
	}
	for name, n := range a.model.nodes {
		needed[n.entry.Digest] = true
		if n.app != nil {
			need(n.app)
		}
		healthy := n.mark.HealthyDigest
		if healthy.IsZero() || n.app != nil && healthy == n.entry.Digest {
			continue
		}
		needed[healthy] = true
		data, err := a.Store.Blob(healthy)
		var app *bundle.Application
		if err == nil {
			app, err = bundle.DecodeApplication(data)
		}
		if err != nil {
			a.warn("the objects that were last healthy are not kept", name, err)
			continue
		}
		need(app)
	}
	return needed
}
