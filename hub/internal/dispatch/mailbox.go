package dispatch

import (
	"sync"
	"time"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wait"
)

// offer is the newest signed bundle of one cluster, ready to send.
type offer struct {
	id           bundle.ID
	changedAt    time.Time
	features     bundle.FeatureSet        // that the bundle uses
	envelope     []byte                   // nil when the spoke has the bundle
	applications []manifest.Digest        // of the bundle; nil when that is not read
	message      *spokev1.SessionResponse // nil when the spoke has the bundle
}

// names returns o without the envelope and the message.
func (o *offer) names() *offer {
	return &offer{id: o.id, changedAt: o.changedAt, applications: o.applications}
}

// mailbox holds the newest offer of one session. Its zero value is not ready; use newMailbox.
type mailbox struct {
	signal wait.Signal // there is something to take

	mu     sync.Mutex
	floor  bundle.ID // what the spoke has; only newer offers are sent
	newest *offer    // ever put
	taken  bool
	sent   *offer // last taken
	held   *offer // what the spoke verified, when it is one of these
}

func newMailbox() *mailbox { return &mailbox{signal: wait.NewSignal(), taken: true} }

// has notes that the spoke verified id. From now on only newer offers are sent, because the sequence of a spoke never
// goes back.
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

// lost notes that the spoke verified id once and lost it. The same or a newer offer is sent.
func (m *mailbox) lost(id bundle.ID) {
	if id.Sequence > 0 {
		m.has(bundle.ID{Epoch: id.Epoch, Sequence: id.Sequence - 1})
	}
}

// holds notes that the spoke has the bundle id with all its blobs. It is not sent again, so that its offer loses the
// envelope and the message.
func (m *mailbox) holds(id bundle.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held != nil && m.held.id == id {
		return
	}
	if m.sent != nil && m.sent.id == id {
		m.held = m.sent.names()
		m.sent = m.held
	}
	if m.newest != nil && m.newest.id == id {
		m.held = m.newest.names()
		m.newest, m.taken = m.held, true
	}
}

// known returns the offer whose bundle the spoke has when o is sent. If o is not sent, or the spoke has none of the
// offered bundles, known returns nil.
func (m *mailbox) known(o *offer) *offer {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !o.id.Newer(m.floor) || m.newest != nil && !o.id.Newer(m.newest.id) {
		return nil
	}
	return m.held
}

// offered reports whether id is the newest offer, or the one that was last sent.
func (m *mailbox) offered(id bundle.ID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.newest != nil && m.newest.id == id || m.sent != nil && m.sent.id == id
}

// post replaces the newest offer if o is newer. Two readers of the store may post in either order.
func (m *mailbox) post(o *offer) {
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
	m.signal.Raise()
}

// collect returns the newest offer once; nil if it was collected.
func (m *mailbox) collect() *offer {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.taken {
		return nil
	}
	m.taken = true
	m.sent = m.newest
	return m.newest
}

// latest returns the newest offer ever put, taken or not; nil if there was none.
func (m *mailbox) latest() *offer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.newest
}
