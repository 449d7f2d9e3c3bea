package publish

import (
	"slices"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/signing"
)

// did is what publishing one cluster came to.
type did int

const (
	nothing did = iota
	wasSigned
	wasRemoved
	wasRefused
)

// maxClaim bounds what a spoke may say it has seen: a number beyond it would leave no room to grow.
const maxClaim = 1 << 62

// publish makes the bundle of one cluster what its plan says.
func (p *Publisher) publish(tx *store.Tx, cluster string, now time.Time) (did, error) {
	plan, planned, err := store.Plans.Get(tx, cluster)
	if err != nil {
		return nothing, err
	}
	last, published, err := store.SignedBundles.Get(tx, cluster)
	if err != nil {
		return nothing, err
	}
	if !planned {
		if !published {
			return nothing, nil
		}
		return wasRemoved, store.SignedBundles.Delete(tx, cluster)
	}
	spoke, _, err := store.Spokes.Get(tx, cluster)
	if err != nil {
		return nothing, err
	}
	seen := newest(spoke)
	if !follows(last.Bundle, seen) && len(plan.Removals) > 0 {
		if plan, err = withdraw(tx, cluster, plan); err != nil {
			return nothing, err
		}
	}
	if published && follows(last.Bundle, seen) && p.stands(cluster, plan, last, now) {
		return nothing, nil
	}
	desired, err := p.sign(cluster, plan, p.after(last.Bundle, seen), now)
	if err != nil {
		return wasRefused, p.refuse(tx, cluster, err, now)
	}
	if published && !plan.ChangedAt.After(last.ChangedAt) {
		desired.ChangedAt = now // the same content in a new envelope is not a change that was made then
	}
	return wasSigned, store.SignedBundles.Put(tx, cluster, desired)
}

// withdraw takes the removals out of a plan. The spoke has seen bundles that this store does not know of: the store is
// an older copy, and what was to be removed then may have come back since. The spoke keeps what is in no list, and an
// operator decides.
func withdraw(tx *store.Tx, cluster string, plan store.Plan) (store.Plan, error) {
	plan.Removals = nil
	return plan, store.Plans.Put(tx, cluster, plan)
}

// refuse tells, once, that no bundle can be made of a plan. It is that cluster's matter alone, which keeps its last
// bundle; another plan is tried as any other.
func (p *Publisher) refuse(tx *store.Tx, cluster string, cause error, now time.Time) error {
	message := "no bundle can be made of the plan, the last one stays: " + cause.Error()
	if p.told[cluster] == message {
		return nil
	}
	p.untold[cluster] = message
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

// stands reports whether the last bundle still says what the plan says, in words that the spoke accepts. A bundle that
// was issued after now is from a clock that was ahead and has been set back: no spoke with a right clock accepts it.
func (p *Publisher) stands(cluster string, plan store.Plan, last store.SignedBundle, now time.Time) bool {
	if last.ExpiresAt.Sub(now) < p.TTL/2 {
		return false
	}
	e, err := signing.DecodeEnvelope(last.Envelope)
	if err != nil {
		return false
	}
	b, err := bundle.DecodeBundle(e.Payload)
	if err != nil || b.IssuedAt.After(now.Add(maxStep)) || b.Cluster != p.spiffe(cluster) || !says(b, plan) {
		return false // and the signature, which costs more than all of this, does not matter any more
	}
	_, err = p.keyring.Verify(e, bundle.PayloadType)
	return err == nil
}

// says reports whether a bundle lists what the plan does.
func says(b *bundle.Bundle, plan store.Plan) bool {
	return slices.Equal(b.Applications, plan.Applications) && slices.Equal(b.Pending, plan.Pending) &&
		b.Incomplete == plan.Incomplete && slices.Equal(b.Removals, plan.Removals)
}

// spiffe is the name of a cluster in certificates and bundles.
func (p *Publisher) spiffe(cluster string) string {
	return identity.ID{TrustDomain: p.TrustDomain, Role: identity.Cluster, Name: cluster}.String()
}

// sign makes a bundle of the plan.
func (p *Publisher) sign(cluster string, plan store.Plan, id bundle.ID, now time.Time) (store.SignedBundle, error) {
	b := &bundle.Bundle{
		Cluster: p.spiffe(cluster), Epoch: id.Epoch, Sequence: id.Sequence,
		IssuedAt: now, ExpiresAt: now.Add(p.TTL),
		Applications: plan.Applications, Pending: plan.Pending, Incomplete: plan.Incomplete, Removals: plan.Removals,
	}
	payload, err := b.Encode()
	if err != nil {
		return store.SignedBundle{}, err
	}
	envelope, err := p.Signer.Sign(bundle.PayloadType, payload).Encode()
	if err != nil {
		return store.SignedBundle{}, err
	}
	id.Digest = manifest.DigestOf(payload)
	return store.SignedBundle{Bundle: id, Envelope: envelope, ExpiresAt: b.ExpiresAt, ChangedAt: plan.ChangedAt,
		Removals: plan.Removals, Features: b.Features()}, nil
}
