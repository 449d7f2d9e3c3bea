package agent

import (
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/release"
	"github.com/navefleet/nave/spoke/internal/session"
	"github.com/navefleet/nave/spoke/internal/state"
)

// maxRunning bounds the applications that are applied at the same time. Their objects share the requests that the
// Kubernetes client allows anyway.
const maxRunning = 8

// model is the state that the agent's decisions depend on.
type model struct {
	cluster string         // its name, for messages
	jitter  func() float64 // in [0,1); injected
	// owned returns the objects in the inventory of an application; injected.
	owned func(bundle.ApplicationName) []manifest.ID
	// ownerOf returns the application that has an object in the cluster; injected.
	ownerOf func(manifest.ID) (bundle.ApplicationName, bool)

	now    time.Time // of the latest input
	bundle bundle.ID
	stage  bundle.Stage
	nodes  map[bundle.ApplicationName]*node
	names  []bundle.ApplicationName // keys of nodes, sorted
	// dependents has, for each application to delete, the applications that were applied depending on it.
	dependents map[bundle.ApplicationName][]bundle.ApplicationName
	// above has, for each application that was asked about, the nearest parent with dependencies; see dependentAbove.
	above map[bundle.ApplicationName]*node
	// takers has, for each application, those that take objects over from it; see findTakers.
	takers map[bundle.ApplicationName][]bundle.ApplicationName

	left map[bundle.ApplicationName]*leftover // state of the last process, until there is a bundle

	offer    *session.Offer // being received, or waiting to be tried again
	tries    int
	reported bool      // the hub got the reason why the offer is not accepted
	retryAt  time.Time // of the offer

	armed time.Time
}

// applications are the Applications of a bundle.
type applications map[bundle.ApplicationName]*bundle.Application

// node is one application: one of the bundle, or one that left the bundle and is not deleted yet.
type node struct {
	entry bundle.Entry
	app   *bundle.Application // nil unless listed
	// peers and objects are named in the application's health checks: applications of the bundle, and objects of the
	// cluster.
	peers   []bundle.ApplicationName
	objects []bundle.ObjectIdentity
	// readyExpressions are the parsed expressions of the application's dependencies.
	readyExpressions []*readyExpression
	mark             state.Mark // of the last complete apply
	// unsaved is set while the mark on disk is an older one.
	unsaved bool

	standing standing
	kept     Condition // why it stays, unless it is listed or leaving

	work    work   // running now
	run     uint64 // number of the latest run, so that results of earlier ones are recognised
	stopped bool   // the run was cancelled, and its result has not come yet
	dirty   bool   // to be applied or deleted
	moved   bool   // an object that it reads, or one of a pinned release, changed while it was applied

	failures int
	retryAt  time.Time
	failure  failure

	verifyAt time.Time // when its objects are listed next; see verify
	// appliedAt is when the digest was first applied, or when an apply last changed objects, such as a repair. The timeout
	// of health begins here.
	appliedAt time.Time
	health    inventory.Summary
	checks    health.Status // of objects in spec.healthChecks; see checkMessage
	checkText string
	checkAt   time.Time
	checking  bool

	blockedBy     bundle.ApplicationName // the dependency to wait for, or the dependent to be deleted first; zero: none
	blockedWhy    string                 // why the dependency is not ready
	peer          bundle.ApplicationName // the application among its health checks that is not ready; zero: none
	peerAtWork    bool                   // that application has time left to become ready
	ready         Condition
	readyEventDue bool // an event is to tell that it became ready
	repaired      uint64
	heldDrift     map[manifest.ID]string // drift that is not repaired yet, and why
	heldSince     time.Time
	drifts        []drift        // the latest, newest first
	driftAt       time.Time      // when drift that is left is looked at again; zero: there is none
	keys          keyNames       // as they were last read
	release       *releaseStatus // nil: it is no release of Helm, or nothing was done since the start
	reported      tell
	reportAgain   bool // the last report left out a message that can be redacted now
}

// standing is the list of the bundle that an application is in.
type standing int

const (
	listed   standing = iota // to be applied
	leaving                  // removed on purpose: its objects are deleted according to its deletion policy
	withheld                 // removed on purpose, but too many objects would be deleted, and no operator confirmed that
	pending                  // not rendered yet by the hub: neither applied nor deleted
	unlisted                 // in no list: the hub does not know the application, so its objects stay
)

// work is the kind of run of a node.
type work int

const (
	idle work = iota
	applying
	deleting
)

// failure is the reason why the latest attempt failed; zero if it succeeded.
type failure struct {
	reason  string
	message string
	objects []objectFailure
	held    *apply.GuardError // the prune that waits for an operator's confirmation; nil: none
}

// objectFailure is one object that could not be applied or deleted. Message holds no secret.
type objectFailure struct {
	Object  manifest.ID
	Message string
}

// Condition is the Ready condition of an application.
type Condition struct {
	Status  string // True, False, Unknown
	Reason  string
	Message string
	Since   time.Time
}

// Inputs: the events that the model handles.
type (
	// restored is the state that was on disk at the start. If there was no usable bundle, bundle is nil.
	restored struct {
		id     bundle.ID
		bundle *bundle.Bundle
		apps   applications
		left   map[bundle.ApplicationName]*leftover
	}
	// offered is a new offer of the hub.
	offered struct{ offer session.Offer }
	// received is the end of receiving an offer. If err is nil, the bundle and all blobs that it reaches are stored.
	received struct {
		id     bundle.ID
		bundle *bundle.Bundle
		apps   applications
		err    error
		retry  bool // another attempt may succeed
		quiet  bool // the connection failed, not the bundle
	}
	// applied is the end of an apply.
	applied struct {
		name     bundle.ApplicationName
		run      uint64
		mark     state.Mark // to be stored if the apply succeeded
		request  string     // the operator's request that was tried
		failure  failure
		repaired int
		changed  string  // the objects that changed, for an event; empty: none
		drifts   []drift // that were repaired, or are left
		health   inventory.Summary
		release  *releaseStatus // nil: it is no release of Helm, or its state is not known
		// the event about a release that was uninstalled, such as before another one took its place; empty: none was
		uninstalled string
		retryAt     time.Time // after a failure; zero: after a growing pause
	}
	// removed is the end of a deletion.
	removed struct {
		name    bundle.ApplicationName
		run     uint64
		failure failure
		deleted string // the objects that were deleted, for events; empty: none
		// the release that was uninstalled; empty: none was
		uninstalled string
	}
	// observed is an observation of an application's objects by the watches.
	observed struct {
		name   bundle.ApplicationName
		drift  bool
		held   map[manifest.ID]string // drift that is not repaired yet, and why
		health inventory.Summary
	}
	// checked is the health of the objects of spec.healthChecks.
	checked struct {
		name   bundle.ApplicationName
		status health.Status
		text   string
	}
	// learned means that the values of an application's sealed files are known, so that a message that was left out can
	// be reported.
	learned struct {
		name bundle.ApplicationName
		ok   bool
	}
	// ticked is the timer that the model armed.
	ticked struct{}
)

// input is an event. advance changes the model accordingly, and returns the actions that follow.
type input interface{ advance(m *model) []action }

// leftover is the state on disk of an application.
type leftover struct {
	mark    state.Mark
	unclean bool              // see unclean
	health  inventory.Summary // zero: there is no inventory
}

// Actions: the decisions of the model. They are performed in their order.
type (
	// receive verifies, fetches and stores an offer, and cancels the offer that is being received.
	receive struct{ offer session.Offer }
	// start applies an application. remember is stored first.
	start struct {
		name    bundle.ApplicationName
		run     uint64
		entry   bundle.Entry
		app     *bundle.Application
		reapply bool // every object, changed or not
		asked   bool // an operator asked
		// confirmed is the digest of the prune that an operator confirmed.
		confirmed manifest.Digest
		remember  state.Mark
		revisions []release.Revision // of a release of Helm, as they were observed last
	}
	// remove deletes an application that left the bundle.
	remove struct {
		name bundle.ApplicationName
		run  uint64
		mark state.Mark
	}
	// cancel ends the run of an application. The result of the run is still an input.
	cancel struct{ name bundle.ApplicationName }
	// remember stores a mark on disk.
	remember struct {
		name bundle.ApplicationName
		mark state.Mark
	}
	// sweep deletes, after sweepDelay, the blobs that are not needed any more.
	sweep struct{}
	// forget deletes the state on disk of an application that is gone.
	forget struct{ name bundle.ApplicationName }
	// adopt makes a bundle current: its objects are not pruned by other applications, and its blobs are kept.
	adopt struct {
		id        bundle.ID
		apps      applications
		pending   []bundle.ApplicationName
		handovers []bundle.Handover
		questions []bundle.ShapeQuestion
		image     string // of the spoke
		expires   time.Time
	}
	// ack reports the stage of a bundle to the hub. If err is set, ack reports that the bundle was rejected.
	ack struct {
		id    bundle.ID
		stage bundle.Stage
		err   error
	}
	// tell reports an application.
	tell struct {
		entry   bundle.Entry
		mark    state.Mark
		ready   Condition
		health  inventory.Summary
		refused []objectFailure
		held    *apply.GuardError // nil: no prune is held
		drift   uint64            // repaired since the start
		keys    keyNames
		drifts  []drift
		release *releaseStatus
	}
	// event records an Event for people.
	event struct {
		name            bundle.ApplicationName
		warning         bool
		reason, message string
	}
	// check finds the health of the objects of spec.healthChecks, with the rights of a service account.
	check struct {
		name    bundle.ApplicationName
		account string // empty: the spoke's own rights
		objects []bundle.ObjectIdentity
	}
	// verify lists the kinds of an application again, to find changes that the watches may have missed.
	verify struct{ name bundle.ApplicationName }
	// arm makes the timer tick at a time; zero: never.
	arm struct{ at time.Time }
)

// action is a decision to perform. Work that takes time runs in another goroutine.
type action interface{ perform(a *Agent) }
