package agent

import (
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/session"
	"github.com/navefleet/nave/spoke/internal/state"
)

// maxRunning bounds the applications that are applied at the same time. Their objects share the requests that the
// Kubernetes client allows anyway.
const maxRunning = 8

// model is everything that the agent decides by.
type model struct {
	cluster string         // its name, for messages
	jitter  func() float64 // in [0,1); injected
	// owned returns the objects in the inventory of an application; injected.
	owned func(bundle.ApplicationName) []manifest.ID

	now    time.Time // of the latest input
	bundle bundle.ID
	stage  bundle.Stage
	nodes  map[bundle.ApplicationName]*node
	names  []bundle.ApplicationName // keys of nodes, sorted
	// dependents are the applications that were applied depending on one that is to be deleted.
	dependents map[bundle.ApplicationName][]bundle.ApplicationName

	left map[bundle.ApplicationName]*leftover // what the last process left behind, until there is a bundle

	offer    *session.Offer // being received, or waiting to be tried again
	tries    int
	reported bool      // the hub heard why the offer is not accepted
	retryAt  time.Time // of the offer

	armed time.Time
}

// applications are the Applications of a bundle.
type applications map[bundle.ApplicationName]*bundle.Application

// node is one application: of the bundle, or one that left it and is not deleted yet.
type node struct {
	entry bundle.Entry
	app   *bundle.Application // nil unless listed
	// peers and objects are what the health checks of the application name: applications of the bundle, and what is in
	// the cluster.
	peers   []bundle.ApplicationName
	objects []bundle.ObjectIdentity
	// readyExpressions are those of the application.
	readyExpressions []readyExpression
	mark             state.Mark // what was last applied as a whole
	// unsaved is set while the mark on disk is an older one.
	unsaved bool

	standing standing
	kept     Condition // why it stays, unless it is listed or leaving

	work    work   // what runs now
	run     uint64 // which one, so that results of cancelled ones are recognised
	stopped bool   // it was cancelled, and has not come back yet
	dirty   bool   // to be applied or deleted
	moved   bool   // what it reads changed while it was applied

	failures int
	retryAt  time.Time
	failure  failure

	verifyAt  time.Time // the interval's safety net
	appliedAt time.Time // when the digest was first applied; the timeout of health runs from here
	health    inventory.Summary
	checks    health.Status // of objects in spec.healthChecks; see checkMessage
	checkText string
	checkAt   time.Time
	checking  bool

	blockedBy   bundle.ApplicationName // the dependency it waits for, or the dependent that goes before it; zero: none
	blockedWhy  string                 // why the dependency is not ready
	peer        bundle.ApplicationName // the application among its health checks that is not ready; zero: none
	ready       Condition
	repaired    uint64
	heldDrift   map[manifest.ID]string // drift that is not repaired yet, and why
	heldSince   time.Time
	reported    tell
	reportAgain bool // the last report left something out that is known now
}

// standing is what the bundle says of an application.
type standing int

const (
	listed   standing = iota // to be applied
	leaving                  // removed on purpose: its objects go, as its deletion policy says
	withheld                 // removed on purpose, but it takes too much along, and no operator confirmed that
	pending                  // not rendered yet by the hub: neither applied nor deleted
	unlisted                 // in no list: the hub does not know of it, so it stays as it is
)

// work is what runs for a node.
type work int

const (
	idle work = iota
	applying
	deleting
)

// failure is why the latest attempt failed; the zero failure says that it did not.
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

// Inputs: what can happen.
type (
	// restored is the state found on disk at the start. Bundle is nil when there is none.
	restored struct {
		id     bundle.ID
		bundle *bundle.Bundle
		apps   applications
		left   map[bundle.ApplicationName]*leftover
	}
	// offered is a new offer of the hub.
	offered struct{ offer session.Offer }
	// received is the end of receiving an offer. Without err the bundle is stored with all it reaches.
	received struct {
		id     bundle.ID
		bundle *bundle.Bundle
		apps   applications
		err    error
		retry  bool // err may go away by itself
		quiet  bool // err is the connection's, not the bundle's
	}
	// applied is the end of an apply.
	applied struct {
		name     bundle.ApplicationName
		run      uint64
		mark     state.Mark // what it would be, with success
		request  string     // the operator's request that was tried
		failure  failure
		repaired int
		health   inventory.Summary
	}
	// removed is the end of a deletion.
	removed struct {
		name    bundle.ApplicationName
		run     uint64
		failure failure
	}
	// observed is news from the watches about an application.
	observed struct {
		name   bundle.ApplicationName
		drift  bool
		held   map[manifest.ID]string // drift that is not repaired yet, and why
		health inventory.Summary
	}
	// checked is how the objects of spec.healthChecks are doing.
	checked struct {
		name   bundle.ApplicationName
		status health.Status
		text   string
	}
	// learned is that the values of an application's sealed files are known, so that a message that was left out can be
	// reported.
	learned struct {
		name bundle.ApplicationName
		ok   bool
	}
	// ticked is the timer that the model armed.
	ticked struct{}
)

// input is something that happened. advance lets the model take the input in, and returns what to do about it.
type input interface{ advance(m *model) []action }

// leftover is what is on disk of an application.
type leftover struct {
	mark    state.Mark
	unclean bool              // an apply was cut off
	health  inventory.Summary // zero: it has no inventory
}

// Actions: what to do. They are performed in their order.
type (
	// receive verifies, fetches and stores an offer, in place of the one being received.
	receive struct{ offer session.Offer }
	// start applies an application. remember goes to disk first.
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
	}
	// remove deletes an application that left the bundle.
	remove struct {
		name bundle.ApplicationName
		run  uint64
		mark state.Mark
	}
	// cancel ends what runs for an application. Its result still comes.
	cancel struct{ name bundle.ApplicationName }
	// remember puts a mark on disk.
	remember struct {
		name bundle.ApplicationName
		mark state.Mark
	}
	// sweep deletes, after a while, the blobs that nothing needs any more.
	sweep struct{}
	// forget drops what is on disk of an application that is gone.
	forget struct{ name bundle.ApplicationName }
	// adopt makes a bundle's objects the ones that nobody prunes, and its blobs the ones that are kept.
	adopt struct {
		id   bundle.ID
		apps applications
	}
	// ack reports to the hub how far a bundle has come; with err, that it was rejected.
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
	}
	// event records something that happened, for people.
	event struct {
		name            bundle.ApplicationName
		warning         bool
		reason, message string
	}
	// check looks how objects are doing that health depends on, with the rights of a service account.
	check struct {
		name    bundle.ApplicationName
		account string // empty: the spoke's own rights
		objects []bundle.ObjectIdentity
	}
	// verify lists the kinds of an application again, for what the watches may have missed.
	verify struct{ name bundle.ApplicationName }
	// arm makes the timer tick at a time; zero: never.
	arm struct{ at time.Time }
)

// action is something to do. What takes time runs beside the loop.
type action interface{ perform(a *Agent) }
