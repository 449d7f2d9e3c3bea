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
	"github.com/navefleet/nave/spoke/internal/decrypt"
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
	drainTimeout = 10 * time.Second // for the work that runs when the context ends
	sweepDelay   = 30 * time.Second // after a new bundle, until no work needs the old one's blobs any more
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

// Cluster applies and deletes applications.
type Cluster interface {
	Apply(ctx context.Context, s apply.Set) (*apply.ChangeSet, error)
	Delete(ctx context.Context, r apply.Removal) (*apply.ChangeSet, error)
	Preview(ctx context.Context, s apply.Set, hides func(manifest.ID) bool) (apply.Previews, error)
}

// Watcher observes the cluster.
type Watcher interface {
	C() <-chan struct{}
	Drain() []watch.Observation
}

// Kubernetes has the requests that the agent itself makes to the API server.
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

// Config has the settings and dependencies of an Agent.
type Config struct {
	Cluster    identity.ID
	Keyring    *signing.Keyring
	Store      *state.Store
	Ledger     *ledger.Ledger // copies marks and inventories to the cluster, where they survive the loss of the disk
	Hub        Hub
	Applier    Cluster
	Watcher    Watcher
	Index      *inventory.Index
	Kubernetes Kubernetes
	Health     *health.Assessor // gets the health expressions of the bundle; nil: they are not used
	// Check returns the health of an object as an application sees it, read with the rights of a service account; empty:
	// the spoke's own rights.
	Check func(ctx context.Context, app bundle.ApplicationName, account string, id bundle.ObjectIdentity) (health.Report,
		error)
	// Data reads a ConfigMap or Secret with the rights of a service account; empty: the spoke's own rights.
	Data   func(ctx context.Context, account string, id bundle.ObjectIdentity) (kube.Data, error)
	Inputs Inputs // nil: the objects that applications read are not watched
	// Questions are answered while nothing is applied; nil: there are none.
	Questions Questions
	// Shapes takes answers about shapes; nil: nothing is answered. ShapeKey returns the key of the hashes in them.
	Shapes   Shapes
	ShapeKey func(ctx context.Context) ([]byte, error)
	// DefaultServiceAccount is the account of Applications that name none, in the namespace of each Application; empty:
	// the spoke's own rights.
	DefaultServiceAccount string
	// Releases carries out releases of Helm; nil: they fail.
	Releases *Releases
	// KeyService is asked for the keys that are not in a cluster's Secrets; nil: there is none. Applications with a
	// service account may ask it only in KeyServiceNamespaces.
	KeyService           *decrypt.Service
	KeyServiceNamespaces []string

	// WantImage gets the image that the bundle names for the spoke, or "". nil: the spoke stays as it is.
	WantImage func(image string)

	Reporter *report.Reporter
	Registry prometheus.Registerer // of the metrics; nil: they are not registered
	Log      *slog.Logger          // nil: slog.Default
	// Now is the clock that bundles are checked with and that events are dated by, which may be set; nil: time.Now. Waits
	// and deadlines do not follow it: they are counted from time.Now, whose monotonic reading nobody sets.
	Now    func() time.Time
	Jitter func() float64 // in [0,1)
	Memory int64          // limit of this process in bytes; 0 or math.MaxInt64: none is known
}

// Agent gives inputs to its model, and performs the actions that the model returns.
type Agent struct {
	Config
	model  *model
	inputs chan input
	timer  *time.Timer
	sweep  *time.Timer
	rest   *time.Timer // returns memory to the system, because a start and a large apply take more than is needed later

	// Only the goroutine of the loop uses the following:
	inventories map[bundle.ApplicationName]*inventory.Inventory
	cancels     map[bundle.ApplicationName]context.CancelFunc
	working     map[bundle.ApplicationName]bool // see busy
	seen        map[manifest.ID]time.Time       // drift that waits for its repair
	receiving   context.CancelFunc
	previewing  *running // nil: no preview is running
	draining    bool
	sealed      map[bundle.ApplicationName]sealedFiles
	learned     map[bundle.ApplicationName]time.Time // when sealed files were last opened to redact a text
	failing     map[bundle.ApplicationName]string    // what was last logged about those that are not ready
	shapes      shapes

	budget    *budget
	redactors *redactors
	metrics   metrics

	rooms chan struct{} // taken by releases of Helm that have records or objects in memory

	keying   sync.Mutex // guards shapeKey; held while the key is read, or made
	shapeKey []byte

	claims atomic.Pointer[map[manifest.ID]claim] // which application of the current bundle has an object
	// read: blobs are being received; write: they are swept
	blobs    sync.RWMutex
	work     sync.WaitGroup
	base     context.Context // of all work; outlives the loop by drainTimeout
	restored chan struct{}   // closed when the state on disk is restored
}

// New returns an Agent that handles no input before Run.
func New(c Config) *Agent {
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.Now == nil {
		c.Now = time.Now
	}
	a := &Agent{
		Config: c, model: newModel(c.Cluster.Name, c.Jitter), inputs: make(chan input), restored: make(chan struct{}),
		inventories: map[bundle.ApplicationName]*inventory.Inventory{},
		cancels:     map[bundle.ApplicationName]context.CancelFunc{},
		working:     map[bundle.ApplicationName]bool{},
		rooms:       make(chan struct{}, maxRooms),
		seen:        map[manifest.ID]time.Time{},
		sealed:      map[bundle.ApplicationName]sealedFiles{},
		learned:     map[bundle.ApplicationName]time.Time{},
		failing:     map[bundle.ApplicationName]string{},
		budget:      newBudget(c.Memory), redactors: newRedactors(), metrics: newMetrics(c.Registry),
	}
	a.model.owned = func(name bundle.ApplicationName) []manifest.ID {
		return slices.Collect(maps.Keys(a.owned(name).Items))
	}
	a.model.ownerOf = func(id manifest.ID) (bundle.ApplicationName, bool) {
		owner, _, known := a.Index.Application(id)
		return owner, known
	}
	a.claims.Store(&map[manifest.ID]claim{})
	return a
}

// Restored is closed when the agent has restored the state on disk.
func (a *Agent) Restored() <-chan struct{} { return a.restored }

// Run keeps the cluster as the bundle describes it until the context ends. Then Run starts no more work, gives running
// work ten seconds to end, and returns nil. If the state on disk cannot be read, Run returns an error.
func (a *Agent) Run(ctx context.Context) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	a.base = base
	a.timer, a.sweep, a.rest, a.shapes.retry = stoppedTimer(), stoppedTimer(), stoppedTimer(), stoppedTimer()
	for _, timer := range []*time.Timer{a.timer, a.sweep, a.rest, a.shapes.retry} {
		defer timer.Stop()
	}
	if err := a.restore(); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	a.rest.Reset(restDelay)
	close(a.restored)
	for a.next(ctx) {
	}
	a.drain(cancel)
	return nil
}

// next waits for an input and handles it. If the context ends, next returns false.
func (a *Agent) next(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case in := <-a.inputs:
		a.handle(in)
	case <-a.Hub.Offers():
		if o, ok := a.Hub.TakeOffer(); ok {
			a.handle(offered{o})
		}
	case <-a.Watcher.C():
		a.observe()
	case envelope := <-a.questions():
		a.preview(envelope)
	case <-a.inputsChanged():
		objects := a.Inputs.Drain()
		a.shapesChanged(objects)
		a.handle(changed{objects})
	case <-a.shapes.retry.C:
		a.answerShapes()
	case <-a.timer.C:
		a.handle(ticked{})
	case <-a.sweep.C:
		a.sweepBlobs()
	case <-a.rest.C:
		debug.FreeOSMemory()
	}
	return true
}

func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// handle gives an input to the model and performs the actions that the model returns.
func (a *Agent) handle(in input) {
	switch in := in.(type) {
	case previewed:
		a.endPreview(in)
		return
	case roomTaken:
		a.busy(in.name, in.taken)
		return
	case shapeDoubted:
		a.askShape(in.question)
		a.answerShapes()
		return
	case shapesAnswered:
		a.shapesAnswered(in)
		return
	}
	if f, ok := in.(finished); ok {
		a.recordResult(f)
		in = a.withHealth(f)
	}
	for _, act := range a.model.step(time.Now(), in) {
		act.perform(a)
	}
}

// drain handles the results of running work, so that they are on disk, and starts no new work.
func (a *Agent) drain(cancel context.CancelFunc) {
	a.draining = true
	a.stopPreview()
	if a.receiving != nil {
		a.receiving()
	}
	a.interruptReleases()
	a.stopShapes()
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
			cancel() // running work ends with an error, which is still handled
		}
	}
}

// spawn runs fn in a goroutine and gives the input that fn returns to the loop.
func (a *Agent) spawn(fn func() input) {
	a.work.Go(func() { a.inputs <- fn() })
}

// observe handles the observations of the watches, one input for each application.
func (a *Agent) observe() {
	now := time.Now()
	drifted, held := map[bundle.ApplicationName]bool{}, map[bundle.ApplicationName]map[manifest.ID]string{}
	for _, o := range a.Watcher.Drain() {
		switch a.driftMode(o.Application) {
		case bundle.IgnoreDrift:
			o.Drift, o.RetryAt = inventory.Drift{}, time.Time{}
		case bundle.WarnOfDrift:
			o.RetryAt = time.Time{} // there is no repair to wait with
		}
		drifted[o.Application] = drifted[o.Application] || o.Drift.Any() && !o.Held()
		if o.Drift.Any() {
			a.noteDrift(o, now)
		}
		if o.Held() {
			if held[o.Application] == nil {
				held[o.Application] = map[manifest.ID]string{}
			}
			held[o.Application][o.Object.ID()] = a.heldMessage(o)
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
		event{name: o.Application, warning: true, reason: condition.DriftHeld, message: a.heldMessage(o)}.perform(a)
	}
}

// sweepBlobs deletes the blobs that are not needed. If blobs are being received, it tries again after sweepDelay.
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

// neededBlobs returns the blobs of the bundle, and those of the last healthy state of each application.
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
