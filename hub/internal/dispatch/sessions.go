package dispatch

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
)

// session is the hub's side of one spoke connection. The handler goroutine sends; one more receives.
type session struct {
	caller
	instance string            // of the spoke, as it says; empty for an older one
	features bundle.FeatureSet // of bundles, that the spoke knows; set before the session is open
	mailbox  *mailbox
	keys     statements
	seen     atomic.Int64 // when something was last received, nanoseconds since began
	replaces bool         // another session of the cluster; set before the session is open
	welcomed bool         // the spoke was greeted; of the handler goroutine

	asking    chan struct{}            // taken while there is a question
	question  atomic.Pointer[question] // nil: no preview is open
	schemas   atomic.Pointer[schemaQuestion]
	questions chan *spokev1.SessionResponse
	readers   logReaders

	once  sync.Once
	ended chan struct{}
	err   error // why; read after ended

	sent atomic.Int64 // when the newest offer was sent, Unix nanoseconds; 0: none was

	// What follows belongs to the receiving goroutine.
	traced    traced    // the bundle whose acks were last traced
	known     bundle.ID // the newest bundle that the spoke said it verified
	observed  time.Time // the change whose commit → live was last observed
	rejected  bundle.ID // the bundle whose rejection was last recorded
	sinceLive time.Time // changes before this moment are not measured: there was no spoke yet
}

func newSession(c caller, instance string) *session {
	x := &session{caller: c, instance: instance, features: bundle.Baseline, mailbox: newMailbox(),
		asking: make(chan struct{}, 1), questions: make(chan *spokev1.SessionResponse), ended: make(chan struct{})}
	x.touch()
	return x
}

// end makes the handler return err; only the first call counts.
func (x *session) end(err error) {
	x.once.Do(func() {
		x.err = err
		close(x.ended)
	})
}

// began is when the process did: a duration since then is right, whatever is done to the clock.
var began = time.Now()

func (x *session) touch() { x.seen.Store(int64(time.Since(began))) }

// silence is for how long nothing was received.
func (x *session) silence() time.Duration { return time.Since(began) - time.Duration(x.seen.Load()) }

// sessions are the live sessions, one for each cluster.
type sessions struct{ byCluster sync.Map } // of *session

// add makes x the session of its cluster and returns the one it replaces, if any.
func (s *sessions) add(x *session) (old *session) {
	previous, _ := s.byCluster.Swap(x.cluster, x)
	old, _ = previous.(*session)
	return old
}

// remove takes x out and reports whether it still was its cluster's session.
func (s *sessions) remove(x *session) bool { return s.byCluster.CompareAndDelete(x.cluster, x) }

// get returns the session of a cluster, or nil if there is none.
func (s *sessions) get(cluster string) *session {
	found, _ := s.byCluster.Load(cluster)
	x, _ := found.(*session)
	return x
}

func (s *sessions) all() (list []*session) {
	for _, x := range s.byCluster.Range {
		list = append(list, x.(*session))
	}
	return list
}

// silentFor returns the sessions that said nothing for longer than d.
func (s *sessions) silentFor(d time.Duration) []*session {
	return slices.DeleteFunc(s.all(), func(x *session) bool { return x.silence() <= d })
}
