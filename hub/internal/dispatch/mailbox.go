package dispatch

import (
	"sync"
	"time"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
)

// offer is the newest desired state of one cluster, ready to send.
type offer struct {
	id        bundle.ID
	changedAt time.Time
	message   *spokev1.SessionResponse
}

// mailbox holds the newest offer of one session. Its zero value is not ready; use newMailbox.
type mailbox struct {
	signal chan struct{} // capacity 1: there is something to take

	mu     sync.Mutex
	floor  bundle.ID // what the spoke has; only newer offers are sent
	newest *offer    // ever put
	taken  bool
}

func newMailbox() *mailbox { return &mailbox{signal: make(chan struct{}, 1), taken: true} }

// has says that the spoke verified id: nothing that is not newer needs to be sent. The sequence never goes back on a
// spoke, so a hub that knows less than its spoke stays silent.
func (m *mailbox) has(id bundle.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !id.Newer(m.floor) {
		return
	}
	m.floor = id
	if m.newest != nil && !m.newest.id.Newer(id) {
		m.taken = true
	}
}

// put replaces what is there, unless o is not newer: two readers of the store may put in either order.
func (m *mailbox) put(o *offer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.newest != nil && !o.id.Newer(m.newest.id) {
		return
	}
	m.newest = o
	if !o.id.Newer(m.floor) {
		return
	}
	m.taken = false
	select {
	case m.signal <- struct{}{}:
	default:
	}
}

// take returns the newest offer once; nil when it was taken.
func (m *mailbox) take() *offer {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.taken {
		return nil
	}
	m.taken = true
	return m.newest
}

// latest returns the newest offer ever put, taken or not; nil when there was none.
func (m *mailbox) latest() *offer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.newest
}
