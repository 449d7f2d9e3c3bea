package dispatch

import (
	"context"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
)

// maxInline is the largest envelope that travels inside an offer, in bytes.
const maxInline = 32 << 10

// watch is the only store watcher. It puts each changed SignedBundle into the mailbox of its session, and ends the
// sessions of clusters that are deleted, blocked or registered anew.
func (s *Server) watch(ctx context.Context) error {
	w := s.Store.Watch(ctx, store.SignedBundles.Name(), store.Resources.Name(), store.JoinTokens.Name(),
		store.SigningKeys.Name())
	defer w.Close()
	s.tellAllKeys(ctx)
	s.refresh(ctx, s.everyone()) // who came before the watcher did
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-w.C():
			if !open && ctx.Err() == nil {
				return store.ErrClosed
			}
			changes := w.Take()
			if slices.ContainsFunc(changes, ofKeys) {
				s.tellAllKeys(ctx) // before the bundles that the new key signed
			}
			s.refresh(ctx, s.concerned(ctx, slices.DeleteFunc(changes, ofKeys)))
		}
	}
}

// ofKeys reports whether a change is one of the statements about signing keys.
func ofKeys(c store.Change) bool { return c.Table == store.SigningKeys.Name() }

// concerns are the sessions that changes are about. The value is true if the Cluster itself changed, so that the
// session may have to end.
type concerns map[*session]bool

func (s *Server) everyone() concerns {
	all := concerns{}
	for _, x := range s.sessions.all() {
		all[x] = true
	}
	return all
}

// concerned returns the sessions that changes are about.
func (s *Server) concerned(ctx context.Context, changes []store.Change) concerns {
	found := concerns{}
	for _, c := range changes {
		if c.Key == "" { // the whole table
			return s.everyone()
		}
		cluster, itself := s.clusterOf(ctx, c)
		if x := s.sessions.get(cluster); x != nil {
			found[x] = found[x] || itself
		}
	}
	return found
}

// clusterOf returns the cluster that a change is about; empty for none. itself is true if the session may have to end.
func (s *Server) clusterOf(ctx context.Context, c store.Change) (cluster string, itself bool) {
	switch c.Table {
	case store.Resources.Name():
		if strings.HasPrefix(c.Key, store.OfCluster("")) {
			return api.ClusterOf(c.Key), true
		}
		return "", false
	case store.JoinTokens.Name(): // spent: a spoke registered
		err := s.Store.View(ctx, func(tx *store.Tx) error {
			token, _, err := store.JoinTokens.Get(tx, c.Key)
			cluster = token.Cluster
			return err
		})
		if err != nil {
			s.Log.Error("a join token cannot be read", telemetry.Err(err))
		}
		return cluster, true
	}
	return c.Key, false
}

// refresh reads the rows of the sessions' clusters in one View, and then offers each its signed bundle or ends it.
func (s *Server) refresh(ctx context.Context, c concerns) {
	if len(c) == 0 {
		return
	}
	offers, refusals := map[*session]*offer{}, map[*session]error{}
	err := s.Store.View(ctx, func(tx *store.Tx) error {
		for x, itself := range c {
			if itself {
				refusals[x] = admitted(tx, x.caller)
			}
			if refusals[x] == nil {
				offers[x], refusals[x] = readOffer(tx, x.cluster)
			}
		}
		return nil
	})
	if err != nil {
		s.Log.Error("signed bundles cannot be read", telemetry.Err(err))
		return
	}
	for x := range c {
		if err := refusals[x]; err != nil {
			x.end(refusal(s.warnRevoked(x.caller, err)))
		} else if o := offers[x]; o != nil {
			s.enclose(ctx, x, o)
			s.give(x, o)
		}
	}
}

// readOffer returns the offer of a cluster's signed bundle; nil if there is none yet.
func readOffer(tx *store.Tx, cluster string) (*offer, error) {
	row, ok, err := store.SignedBundles.Get(tx, cluster)
	if err != nil || !ok {
		return nil, err
	}
	message := &spokev1.Offer{Bundle: row.Bundle.Message()}
	o := &offer{
		id:        row.Bundle,
		changedAt: row.ChangedAt,
		features:  row.Features,
		envelope:  row.Envelope,
		message:   &spokev1.SessionResponse{Message: &spokev1.SessionResponse_Offer{Offer: message}},
	}
	if len(row.Envelope) <= maxInline {
		message.Envelope = row.Envelope
		o.applications = applicationsOf(row.Envelope)
	} else {
		digest := manifest.DigestOf(row.Envelope)
		message.EnvelopeDigest = digest[:]
	}
	return o, nil
}

// applicationsOf returns the digests of the Applications of a bundle; nil if the envelope cannot be read, which the
// spoke will report.
func applicationsOf(envelope []byte) []manifest.Digest {
	b, err := readBundle(envelope)
	if err != nil {
		return nil
	}
	digests := make([]manifest.Digest, len(b.Applications))
	for i, e := range b.Applications {
		digests[i] = e.Digest
	}
	return digests
}
