package apply

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/trust"
)

// DefaultConcurrency is how many objects are sent at the same time.
const DefaultConcurrency = 16

// Config is what an Applier works with.
type Config struct {
	Client *kube.Client
	Index  *inventory.Index
	// Allow is the cluster's local policy; nil allows everything. It is asked before an object is applied or deleted.
	Allow func(bundle.ObjectIdentity) error
	// Self is the spoke's own installation, which is neither applied nor deleted.
	Self        trust.Self
	Concurrency int          // 0: DefaultConcurrency
	Log         *slog.Logger // nil: slog.Default
}

// Applier applies and deletes Applications. It is safe for concurrent use by different Applications.
type Applier struct {
	Config
}

// New returns an Applier.
func New(c Config) *Applier {
	if c.Concurrency <= 0 {
		c.Concurrency = DefaultConcurrency
	}
	if c.Index == nil {
		c.Index = inventory.NewIndex()
	}
	c.Log = cmp.Or(c.Log, slog.Default())
	return &Applier{Config: c}
}

// Loaded is the plaintext of one object, for as long as it is being sent.
type Loaded struct {
	Object *manifest.Object
	// Sealed: the object holds sealed values. Of what the API server finds invalid, only the fields are reported.
	Sealed bool
	// Redact takes the application's sealed values out of a text; nil when it has none. Every error about the object goes
	// through it, after Release.
	Redact func(string) string
	// Release is called when the object is not needed any more; it may be nil.
	Release func()
}

func (l *Loaded) release() {
	if l.Release != nil {
		l.Release()
	}
	l.Object, l.Release = nil, nil
}

// Object is one object as it should be.
type Object struct {
	bundle.ObjectReference
	// Load returns the plaintext. It is called only for objects that are sent, from several goroutines at a time. Its
	// error must hold no secret.
	Load func(ctx context.Context) (Loaded, error)
}

// Set is one Application to apply.
type Set struct {
	Application    bundle.ApplicationName
	Objects        []Object             // in the order of bundle.Application
	Previous       *inventory.Inventory // what the last Apply returned; nil: nothing
	Prune          bool                 // delete what left the set; else it is only forgotten
	Force          bool                 // recreate objects whose immutable fields change
	ServiceAccount string               // to impersonate, in the application's namespace; empty: the spoke's own account
	Reapply        bool                 // send every object, changed or not
	Guard          Guard                // the zero Guard is off; see DefaultGuard
	// Confirmed is the digest of the prune that an operator confirmed (GuardError.Digest); the Guard lets exactly that
	// pass.
	Confirmed manifest.Digest
	// Claimed names the application of the current bundle that wants an object; nil: nobody else wants any.
	Claimed func(manifest.ID) (bundle.ApplicationName, bool)
	// Redact takes the application's sealed values out of what the API server says about a deletion; nil: it has none.
	Redact func(string) string
	// Save keeps the inventory before it returns; nil: not kept. The inventory must not be changed or kept by reference.
	Save func(*inventory.Inventory) error
}

// Removal is one Application that left the bundle.
type Removal struct {
	Application    bundle.ApplicationName
	Previous       *inventory.Inventory
	Policy         bundle.DeletionPolicy
	Prune          bool          // for MirrorPrune
	Timeout        time.Duration // for WaitForTermination
	ServiceAccount string
	Claimed        func(manifest.ID) (bundle.ApplicationName, bool)
	Redact         func(string) string // as of a Set
	Save           func(*inventory.Inventory) error
}
