package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/health"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/trust"
)

// concurrency is the most objects that are sent at the same time.
const concurrency = 16

// maxWholes is the most whole live objects that are in memory at the same time to be compared.
const maxWholes = 4

// maxTaken is the most live objects that are in memory at the same time, or wait for memory, to take fields from them.
const maxTaken = 4

// maxShown is the most objects of a set whose drifted fields are kept, for the sake of memory. Reports have fewer.
const maxShown = 100

// Config has the settings and dependencies of an Applier.
type Config struct {
	Client *kube.Client
	Index  *inventory.Index
	Health *health.Assessor // nil: no application has health expressions
	// Allow is the cluster's local policy; nil allows everything. It is asked before an object is applied or deleted.
	Allow func(bundle.ObjectIdentity) error
	// Self is the spoke's own installation, which is neither applied nor deleted.
	Self trust.Self
	Log  *slog.Logger // nil: slog.Default
}

// Applier applies and deletes Applications. It is safe for concurrent use by different Applications.
type Applier struct {
	Config
	// wholes is taken while a whole live object is compared with the desired one, for the sake of memory; nothing waits
	// for memory meanwhile.
	wholes slots
	taken  slots // taken while fields of a whole live object are taken over, which may wait for memory
}

// slots limits how many live objects are in memory at the same time.
type slots chan struct{}

// take waits for a slot, and returns the function that gives the slot back. Its error is the cause of the end of ctx.
func (s slots) take(ctx context.Context) (func(), error) {
	select {
	case s <- struct{}{}:
		return func() { <-s }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// New returns an Applier.
func New(c Config) *Applier {
	c.Log = cmp.Or(c.Log, slog.Default())
	return &Applier{Config: c, wholes: make(slots, maxWholes), taken: make(slots, maxTaken)}
}

// Permits returns an error for an object that nothing may change here: it is the spoke's own (trust.ErrSelf), or the
// local policy forbids it.
func (a *Applier) Permits(id bundle.ObjectIdentity) error {
	if err := a.Self.Allows(id); err != nil || a.Allow == nil {
		return err
	}
	if err := a.Allow(id); err != nil {
		return fmt.Errorf("%s is not allowed here: %w", id.ID(), err)
	}
	return nil
}

// Loaded is the plaintext of one object, for as long as the object is being sent.
type Loaded struct {
	Object *manifest.Object
	// Sealed reports that the object holds sealed values. If the API server finds such an object invalid, only the names
	// of the fields are reported.
	Sealed bool
	// Redact takes the application's sealed values out of a text; nil if the application has none. Every error about the
	// object goes through Redact, after Release.
	Redact func(string) string
	// Hold acquires memory for one more version of the object until Release: for a Preview, for a look at drifted fields
	// and for the answer to an apply. nil: it is not counted. If there is too little now, the error is ErrMemory.
	Hold kube.Hold
	// Await waits for memory for the live object until Release, for the fields that the object takes over from it; nil:
	// it is not counted. If the spoke has too little at all, the error is ErrMemory.
	Await kube.Hold
	// Release is called when the object is not needed any more; nil: no call.
	Release func()
}

// ErrMemory is the error of an object that the spoke has too little memory for.
var ErrMemory = errors.New("too little memory")

func (l *Loaded) release() {
	if l.Release != nil {
		l.Release()
	}
	l.Object, l.Release = nil, nil
}

// Object is one object as it should be.
type Object struct {
	bundle.ObjectReference
	// Load returns the plaintext. Load is called only for objects that are sent, from several goroutines at a time. The
	// error must hold no secret.
	Load func(ctx context.Context) (Loaded, error)
	// Again sends the object although its digest is the same, because the values that are put into it may have changed.
	Again bool
	// Made is set if the object may have values that the spoke makes. An action on a release may make new ones.
	Made bool
	// Generated are the paths of fields whose values in the cluster stay.
	Generated [][]string
}

// Target is an Application that is brought into the cluster or out of it.
type Target struct {
	Application    bundle.ApplicationName
	Previous       *inventory.Inventory // as the last Apply or Delete returned it; nil: empty
	ServiceAccount string               // to impersonate, in the application's namespace; empty: the spoke's own account
	// Claimed returns the application of the current bundle that wants an object; nil: no other application has objects.
	Claimed func(manifest.ID) (bundle.ApplicationName, bool)
	// Redact takes the application's sealed values out of the API server's answer to a deletion; nil: there are none.
	Redact func(string) string
	// Spare reports whether a live object stays in the cluster when the application does not have it any more, beyond what
	// its marks say; nil: none does.
	Spare func(kube.Live) bool
	// Propagation is how Kubernetes deletes the dependents of deleted objects; empty: in the background.
	Propagation metav1.DeletionPropagation
	// Save stores the inventory before it returns; nil: not stored. Save must not change the inventory or keep a
	// reference.
	Save func(*inventory.Inventory) error
}

// Set is one Application to apply.
type Set struct {
	Target
	Objects []Object // in the order of bundle.Application
	Prune   bool     // delete objects that left the set; else they are only forgotten
	Keep    bool     // neither delete nor forget objects that left the set
	Force   bool     // recreate objects whose immutable fields change
	Reapply bool     // send every object, changed or not
	// Drift is what happens to objects that drifted and did not change otherwise, unless Reapply is set.
	Drift bundle.DriftMode
	// Ignore names the fields that are left as they are in the cluster. The rules are valid.
	Ignore []bundle.IgnoreRule
	Guard  Guard // the zero Guard is off; see DefaultGuard
	// Confirmed is the digest of the prune that an operator confirmed (GuardError.Digest). The Guard lets exactly this
	// prune pass.
	Confirmed manifest.Digest
}

// Removal is one Application that left the bundle.
type Removal struct {
	Target
	Policy  bundle.DeletionPolicy
	Prune   bool          // for MirrorPrune
	Timeout time.Duration // for WaitForTermination
}
