package dispatch

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/telemetry"
)

// maxStatements is how many bytes of statements about signing keys one message has, so that it stays below
// maxSessionMessage.
const maxStatements = 60 << 10

// statements are the statements about signing keys that one session has to send.
type statements struct {
	mu      sync.Mutex
	known   uint64   // the number of the last one that the spoke has, or that is pending
	pending [][]byte // not sent yet
}

// post adds the statements of a chain that the spoke lacks. The first one of the chain has the number 1.
func (s *statements) post(chain [][]byte) (posted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if uint64(len(chain)) <= s.known {
		return false
	}
	s.pending = append(s.pending, chain[s.known:]...)
	s.known = uint64(len(chain))
	return true
}

// collect returns messages with the statements to send, each once.
func (s *statements) collect() (messages []*spokev1.SessionResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys *spokev1.KeyStatements
	for _, envelope := range s.pending {
		if keys == nil || proto.Size(keys)+len(envelope) > maxStatements {
			keys = &spokev1.KeyStatements{}
			messages = append(messages, &spokev1.SessionResponse{Message: &spokev1.SessionResponse_Keys{Keys: keys}})
		}
		keys.Envelopes = append(keys.Envelopes, envelope)
	}
	s.pending = nil
	return messages
}

// tellKeys gives a session the statements that its spoke lacks, unless the spoke does not know statements. They are
// sent before the next offer.
func tellKeys(x *session, chain [][]byte) {
	if bundle.KeyStatements.Without(x.features) == "" && x.keys.post(chain) {
		x.mailbox.signal.Raise()
	}
}

// compareKeys records that a spoke has followed statements that this hub does not have: the hub was restored from a
// backup before its last rotation, or another hub signs for this cluster.
func (s *Server) compareKeys(x *session, chain [][]byte, known uint64) {
	if known <= uint64(len(chain)) || !s.quotas.warn(x.cluster, condition.HubBehind, time.Now()) {
		return
	}
	s.Log.Warn("a spoke knows newer signing keys than this hub", telemetry.Cluster(x.cluster))
	s.batch.event(s.warning(x.cluster, condition.HubBehind, "the spoke follows statement %d about signing keys, and this "+
		"hub has %d: the hub was restored from a backup before its key was rotated, or another hub signs for this cluster; "+
		"restore the newest backup, or make a new key and apply a new join manifest", known, len(chain)))
}

// tellAllKeys gives all sessions the statements that their spokes lack.
func (s *Server) tellAllKeys(ctx context.Context) {
	var chain [][]byte
	err := s.Store.View(ctx, func(tx *store.Tx) (err error) {
		chain, err = store.KeyChain(tx, 0)
		return err
	})
	if err != nil {
		s.Log.Error("the statements about signing keys cannot be read", telemetry.Err(err))
		return
	}
	for _, x := range s.sessions.all() {
		tellKeys(x, chain)
	}
}
