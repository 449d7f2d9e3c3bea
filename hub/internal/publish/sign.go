package publish

import (
	"fmt"
	"slices"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/release"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/signing"
)

// did is the result of publishing one cluster.
type did int

const (
	nothing did = iota
	wasSigned
	wasRemoved
	wasRefused
)

// maxClaim bounds the epoch and sequence that a spoke may claim to have seen: a larger number would leave no room to
// grow.
const maxClaim = 1 << 62

// candidate is a cluster whose bundle may have to change, as one transaction finds it.
type candidate struct {
	name      string
	planned   bool
	plan      store.Plan
	released  bool
	release   store.Release // the last one, and then the next
	published bool
	last      store.SignedBundle
	seen      bundle.ID // the newest bundle that the spoke has acknowledged
}

// read reads a candidate.
func read(tx *store.Tx, cluster string) (c candidate, err error) {
	c.name = cluster
	if c.plan, c.planned, err = store.Plans.Get(tx, cluster); err != nil {
		return c, err
	}
	if c.release, c.released, err = store.Releases.Get(tx, cluster); err != nil {
		return c, err
	}
	if c.last, c.published, err = store.SignedBundles.Get(tx, cluster); err != nil {
		return c, err
	}
	spoke, _, err := store.Spokes.Get(tx, cluster)
	c.seen = newest(spoke)
	if err == nil && !follows(c.last.Bundle, c.seen) && len(c.plan.Removals) > 0 {
		c.plan, err = withdraw(tx, cluster, c.plan)
	}
	return c, err
}

// publishAll releases the plans of some clusters and signs bundles of the releases. It returns what it did for each
// cluster.
func (p *Publisher) publishAll(tx *store.Tx, clusters []string, now time.Time) (map[string]did, error) {
	clear(p.unreported)
	done := make(map[string]did, len(clusters))
	var candidates []candidate
	var planned []release.Cluster
	for _, cluster := range clusters {
		c, err := read(tx, cluster)
		if err != nil { // the store's failure, not the cluster's
			return nil, fmt.Errorf("cluster %s: %w", cluster, err)
		}
		if !c.planned {
			if done[cluster], err = remove(tx, c); err != nil {
				return nil, err
			}
			continue
		}
		candidates = append(candidates, c)
		planned = append(planned, release.Cluster{Name: cluster, Plan: c.plan, Last: c.release})
	}
	releases, err := release.Next(planned, now)
	if err != nil {
		return nil, err
	}
	for i, c := range candidates {
		c.release = releases[i]
		if done[c.name], err = p.publish(tx, c, now); err != nil {
			return nil, fmt.Errorf("cluster %s: %w", c.name, err)
		}
	}
	return done, nil
}

// remove deletes the bundle and the release of a cluster that has no plan any more.
func remove(tx *store.Tx, c candidate) (did, error) {
	if c.released {
		if err := store.Releases.Delete(tx, c.name); err != nil {
			return nothing, err
		}
	}
	if !c.published {
		return nothing, nil
	}
	return wasRemoved, store.SignedBundles.Delete(tx, c.name)
}

// publish signs a bundle of the release of one cluster unless the last one is current, and writes the release. A
// release that is refused is not written: a rollout would count on it.
func (p *Publisher) publish(tx *store.Tx, c candidate, now time.Time) (did, error) {
	entries := store.BundleEntries(c.release.Applications)
	b := &bundle.Bundle{
		Cluster: p.spiffe(c.name), Applications: entries,
		Pending: c.release.Pending, Incomplete: c.release.Incomplete, Removals: c.release.Removals,
	}
	if c.published && follows(c.last.Bundle, c.seen) && p.isCurrent(c.last, b, now) {
		return nothing, store.Releases.Put(tx, c.name, c.release)
	}
	id := p.after(c.last.Bundle, c.seen)
	b.Epoch, b.Sequence, b.IssuedAt, b.ExpiresAt = id.Epoch, id.Sequence, now, now.Add(p.TTL)
	signed, err := p.sign(b)
	if err != nil {
		return wasRefused, p.refuse(tx, c.name, err, now)
	}
	if err := store.Releases.Put(tx, c.name, c.release); err != nil {
		return nothing, err
	}
	signed.ChangedAt = c.release.ChangedAt
	if c.published && !signed.ChangedAt.After(c.last.ChangedAt) {
		signed.ChangedAt = now // the same content in a new envelope is not a change that was made then
	}
	return wasSigned, store.SignedBundles.Put(tx, c.name, signed)
}

// withdraw deletes the removals of a plan. The spoke has seen bundles that this store does not know of: the store is an
// older copy, and an application that was to be removed then may have come back since. The spoke keeps applications
// that are in no list, and an operator decides.
func withdraw(tx *store.Tx, cluster string, plan store.Plan) (store.Plan, error) {
	plan.Removals = nil
	return plan, store.Plans.Put(tx, cluster, plan)
}

// refuse reports, once, that no bundle can be made of a release. The cluster keeps its last bundle; its next release is
// tried like any other.
func (p *Publisher) refuse(tx *store.Tx, cluster string, cause error, now time.Time) error {
	message := "no bundle can be made of the plan, the last one stays: " + cause.Error()
	if p.reported[cluster] == message {
		return nil
	}
	p.unreported[cluster] = message
	return store.Record(tx, store.Event{
		Time: now, Object: api.ClusterKey(cluster), Type: condition.Warning, Reason: condition.BundleRefused,
		Message: message,
	})
}

// newest is the newest bundle that the spoke has acknowledged.
func newest(s store.Spoke) bundle.ID {
	var seen bundle.ID
	for _, id := range s.Acks {
		if id.Epoch < maxClaim && id.Sequence < maxClaim && id.Newer(seen) {
			seen = id
		}
	}
	return seen
}

// follows reports whether the spoke that has seen a bundle takes the last one, or has it. One that has another bundle
// of the same number, from before its cluster was removed and added again, takes only a newer one.
func follows(last, seen bundle.ID) bool { return last == seen || last.Newer(seen) }

// after returns the epoch and sequence that follow all that the hub published and all that the spoke has seen.
func (p *Publisher) after(published, seen bundle.ID) bundle.ID {
	next := bundle.ID{Epoch: p.Store.Epoch(), Sequence: 1}
	for _, id := range []bundle.ID{published, seen} {
		if !next.Newer(id) {
			next = bundle.ID{Epoch: id.Epoch, Sequence: id.Sequence + 1}
		}
	}
	return next
}

// isCurrent reports whether the last bundle lists what the next would, is signed by the current key and is not due for
// renewal. A bundle that was issued after now is from a clock that was ahead and has been set back: no spoke with a
// right clock accepts it.
func (p *Publisher) isCurrent(last store.SignedBundle, next *bundle.Bundle, now time.Time) bool {
	if last.ExpiresAt.Sub(now) < p.TTL/2 {
		return false
	}
	e, err := signing.DecodeEnvelope(last.Envelope)
	if err != nil {
		return false
	}
	b, err := bundle.DecodeBundle(e.Payload)
	if err != nil || b.IssuedAt.After(now.Add(maxStep)) || b.Cluster != next.Cluster || !listsSame(b, next) {
		return false // and the signature, which costs more than all of this, does not matter any more
	}
	_, err = p.keyring.Verify(e, bundle.PayloadType)
	return err == nil
}

// listsSame reports whether two bundles differ in their number, their time and their cluster only.
func listsSame(a, b *bundle.Bundle) bool {
	return slices.Equal(a.Applications, b.Applications) && slices.Equal(a.Pending, b.Pending) &&
		a.Incomplete == b.Incomplete && slices.Equal(a.Removals, b.Removals)
}

// spiffe is the name of a cluster in certificates and bundles.
func (p *Publisher) spiffe(cluster string) string {
	return identity.ID{TrustDomain: p.TrustDomain, Role: identity.Cluster, Name: cluster}.String()
}

// sign signs a bundle.
func (p *Publisher) sign(b *bundle.Bundle) (store.SignedBundle, error) {
	payload, err := b.Encode()
	if err != nil {
		return store.SignedBundle{}, err
	}
	envelope, err := p.Signer.Sign(bundle.PayloadType, payload).Encode()
	if err != nil {
		return store.SignedBundle{}, err
	}
	return store.SignedBundle{
		Bundle:   bundle.ID{Epoch: b.Epoch, Sequence: b.Sequence, Digest: manifest.DigestOf(payload)},
		Envelope: envelope, ExpiresAt: b.ExpiresAt, Removals: b.Removals, Features: b.Features(),
	}, nil
}
