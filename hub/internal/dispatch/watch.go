package dispatch

import (
	"context"
	"strings"

	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
)

// maxInline is the largest envelope that travels inside an offer, in bytes.
const maxInline = 32 << 10

// watch is the one store watcher: it reads each changed Desired once and puts it into the mailbox of its session, and
// ends the sessions of clusters that are gone or blocked.
func (s *Server) watch(ctx context.Context) error {
	w := s.store.Watch(store.Desireds.Name(), store.Resources.Name())
	defer w.Close()
	s.refresh(s.everyone()) // who came before the watcher did
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-w.C():
			if !open {
				return store.ErrClosed
			}
			s.refresh(s.concerned(w.Take()))
		}
	}
}

// concerns are the sessions that changes are about; true when the Cluster itself changed and may be shut out now.
type concerns map[*session]bool

func (s *Server) everyone() concerns {
	all := concerns{}
	for _, x := range s.sessions.all() {
		all[x] = true
	}
	return all
}

// concerned returns the sessions that changes are about.
func (s *Server) concerned(changes []store.Change) concerns {
	found := concerns{}
	for _, c := range changes {
		cluster, ok, itself := c.Key, true, c.Table == store.Resources.Name()
		if c.Key == "" { // the whole table
			return s.everyone()
		}
		if itself {
			cluster, ok = strings.CutPrefix(c.Key, clusterKey("").Path())
		}
		if !ok {
			continue
		}
		if x := s.sessions.get(cluster); x != nil {
			found[x] = found[x] || itself
		}
	}
	return found
}

// refresh reads the rows of the sessions' clusters, in one View.
func (s *Server) refresh(c concerns) {
	if len(c) == 0 {
		return
	}
	err := s.store.View(func(tx *store.Tx) error {
		for x, itself := range c {
			s.refreshOne(tx, x, itself)
		}
		return nil
	})
	if err != nil {
		s.log.Error("read desired state", telemetry.Err(err))
	}
}

// refreshOne offers the cluster's desired state to its session, or ends the session.
func (s *Server) refreshOne(tx *store.Tx, x *session, itself bool) {
	var o *offer
	var err error
	if itself {
		err = admitted(tx, x.cluster)
	}
	if err == nil {
		o, err = readOffer(tx, x.cluster)
	}
	if err != nil {
		x.end(refusal(err))
		return
	}
	if o != nil {
		x.mailbox.put(o)
	}
}

// readOffer makes the offer of a cluster from its row; nil when nothing is desired yet.
func readOffer(tx *store.Tx, cluster string) (*offer, error) {
	row, ok, err := store.Desireds.Get(tx, cluster)
	if err != nil || !ok {
		return nil, err
	}
	message := &spokev1.Offer{Bundle: writeID(row.Bundle)}
	if len(row.Envelope) <= maxInline {
		message.Envelope = row.Envelope
	} else {
		digest := manifest.DigestOf(row.Envelope)
		message.EnvelopeDigest = digest[:]
	}
	return &offer{
		id:        row.Bundle,
		changedAt: row.ChangedAt,
		message:   &spokev1.SessionResponse{Message: &spokev1.SessionResponse_Offer{Offer: message}},
	}, nil
}
