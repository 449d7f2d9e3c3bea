package publish

import (
	"context"
	"errors"
	"fmt"
	"reflect"
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

// maxClaim bounds the epoch and sequence that a spoke may claim to have seen, so that larger numbers are left for later
// bundles.
const maxClaim = 1 << 62

// candidate is a cluster whose bundle may have to change: its rows, and the rows to write.
type candidate struct {
	name      string
	planned   bool
	row       string // of store.Plans, as it is stored
	plan      store.Plan
	withdrawn bool                  // the removals of the plan
	release   store.Release         // the last one, and then the next
	pin       *store.Pin            // nil: the cluster is not pinned
	pinRow    string                // of store.Pins, as it is stored
	turns     map[string]store.Turn // by Fleet with a rollout
	image     string                // that the bundle names for the spoke
	applied   bool                  // the spoke has applied the last bundle
	anew      bool                  // the Applications of the release are others than before, or it is the first
	published bool
	last      store.SignedBundle // zero if it cannot be read
	unread    error              // the reason if last cannot be read
	seen      bundle.ID          // the newest bundle that the spoke has acknowledged

	signed  *store.SignedBundle // nil: the last one stays
	refused string              // the reason if no bundle can be made; the last bundle and the last release stay
	noted   bool                // the reason is another than that of the last Refusal
}

// readAll reads candidates. If the rows of a cluster cannot be read, readAll sets refused of that candidate.
func (p *Publisher) readAll(ctx context.Context, clusters []string) (candidates []*candidate, err error) {
	err = p.Store.View(ctx, func(tx *store.Tx) error {
		candidates = nil
		paced := pacedFleets()
		for _, cluster := range clusters {
			c := &candidate{name: cluster}
			if err := errors.Join(c.read(tx), c.readTurns(tx, paced)); errors.Is(err, store.ErrDamaged) {
				c.refused = "no bundle can be made, the last one stays: " + err.Error()
			} else if err != nil {
				return fmt.Errorf("cluster %s: %w", cluster, err)
			}
			candidates = append(candidates, c)
		}
		return nil
	})
	return candidates, err
}

// read reads the rows of a candidate.
func (c *candidate) read(tx *store.Tx) (err error) {
	row, err := store.Plans.Bytes(tx, c.name)
	if err != nil {
		return err
	}
	c.row = string(row)
	if err := c.readPin(tx); err != nil {
		return err
	}
	if c.image, err = offeredImage(tx, c.name); err != nil {
		return err
	}
	c.last, c.published, err = store.SignedBundles.Get(tx, c.name)
	if errors.Is(err, store.ErrDamaged) {
		c.last, c.published, c.unread = store.SignedBundle{}, true, err
	} else if err != nil {
		return err
	}
	if c.plan, c.planned, err = store.Plans.Get(tx, c.name); err != nil {
		return err
	}
	if c.release, _, err = store.Releases.Get(tx, c.name); err != nil {
		return err
	}
	spoke, _, err := store.Spokes.Get(tx, c.name)
	c.seen, c.applied = newest(spoke), c.published && spoke.Acks[bundle.Applied] == c.last.Bundle
	if !follows(c.last.Bundle, c.seen) && len(c.plan.Removals) > 0 {
		// The spoke has seen bundles that this store does not have, so the store is an older copy. An application whose
		// removal it has may have come back since. The spoke keeps applications that are in no list, and an operator decides.
		c.plan.Removals, c.withdrawn = nil, true
	}
	return err
}

// readPin reads the pin of a candidate.
func (c *candidate) readPin(tx *store.Tx) error {
	row, err := store.Pins.Bytes(tx, c.name)
	if err != nil || row == nil {
		return err
	}
	c.pinRow = string(row)
	pin, _, err := store.Pins.Get(tx, c.name)
	c.pin = &pin
	return err
}

// offeredImage returns the image that the bundle of a cluster names for its spoke. The package upgrade replaces a
// damaged row.
func offeredImage(tx *store.Tx, cluster string) (string, error) {
	row, _, err := store.Upgrades.GetIntact(tx, cluster)
	return row.Offered(), err
}

// readTurns reads the turns of a candidate in the rollouts of its Fleets.
func (c *candidate) readTurns(tx *store.Tx, paced func(*store.Tx, string) (bool, error)) error {
	c.turns = map[string]store.Turn{}
	for _, entries := range [][]store.Entry{c.plan.Applications, c.release.Applications} {
		for _, e := range entries {
			if _, known := c.turns[e.Fleet]; known || e.Fleet == "" {
				continue
			}
			is, err := paced(tx, e.Fleet)
			if err != nil {
				return err
			}
			if is {
				if c.turns[e.Fleet], err = turnOf(tx, c.name, e.Fleet); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// turnOf returns the turn of a cluster. The package stages replaces a damaged one; until then the cluster waits.
func turnOf(tx *store.Tx, cluster, fleet string) (store.Turn, error) {
	turn, _, err := store.Turns.GetIntact(tx, store.TurnKey(cluster, fleet))
	return turn, err
}

// pacedFleets returns a function that reports whether a Fleet has a rollout, for one transaction. A Fleet that cannot
// be read may have one.
func pacedFleets() func(*store.Tx, string) (bool, error) {
	known := map[string]bool{}
	return func(tx *store.Tx, name string) (bool, error) {
		if paced, ok := known[name]; ok {
			return paced, nil
		}
		row, ok, err := store.Resources.Get(tx, api.FleetKey(name).Path())
		switch {
		case errors.Is(err, store.ErrDamaged):
			known[name] = true
		case err != nil:
			return false, err
		case ok:
			f, err := row.Object.Fleet()
			known[name] = err == nil && f.Spec.Rollout != nil
		default:
			known[name] = false
		}
		return known[name], nil
	}
}

// prepare decides the next release of a cluster, and signs a bundle of the release unless the last bundle is current.
func (p *Publisher) prepare(c *candidate, now time.Time) {
	if !c.planned || c.refused != "" {
		return
	}
	before := c.release
	c.release = release.Next(release.Cluster{
		Name: c.name, Plan: c.plan, Last: before, Pin: c.pin, Turns: c.turns, Applied: c.applied,
	})
	isFirst := !c.published && len(c.release.Applications) > 0
	c.anew = isFirst || !sameApplications(before, c.release)
	b := &bundle.Bundle{
		Cluster: p.spiffe(c.name), Applications: store.BundleEntries(c.release.Applications),
		Pending: c.release.Pending, Incomplete: c.release.Incomplete, Removals: c.release.Removals,
		Handovers: c.release.Handovers, Questions: c.release.Questions, SpokeImage: c.image,
	}
	if c.published && follows(c.last.Bundle, c.seen) && p.isCurrent(c.last, b, now) {
		return
	}
	id := p.after(c.last.Bundle, c.seen)
	b.Epoch, b.Sequence, b.IssuedAt, b.ExpiresAt = id.Epoch, id.Sequence, now, now.Add(p.TTL)
	signed, err := p.sign(b)
	if err != nil {
		c.refused = "no bundle can be made of the plan, the last one stays: " + err.Error()
		return
	}
	signed.ChangedAt = c.release.ChangedAt
	if c.published && !signed.ChangedAt.After(c.last.ChangedAt) || isPinned(before) != (c.pin != nil) {
		signed.ChangedAt = now // the envelope is new, but the plan did not change now
	}
	c.signed = &signed
}

// isPinned reports whether a release was made for a pin.
func isPinned(r store.Release) bool {
	return slices.ContainsFunc(r.Applications, func(e store.Entry) bool { return e.KeepsObjects })
}

// write writes the prepared candidates in one transaction, but for those whose rows changed since they were read.
func (p *Publisher) write(ctx context.Context, candidates []*candidate, now time.Time) error {
	var written []*candidate
	err := p.Store.Update(ctx, func(tx *store.Tx) error {
		written = nil
		for _, c := range candidates {
			moved, err := c.moved(tx)
			if err == nil && !moved {
				written = append(written, c)
				err = p.writeOne(tx, c, now)
			}
			if err != nil {
				return fmt.Errorf("cluster %s: %w", c.name, err)
			}
		}
		return nil
	})
	if err == nil {
		p.report(ctx, written, now)
	}
	return err
}

// moved reports whether the plan, or the newest bundle of the spoke, changed since the candidate was read. Only this
// package writes releases and bundles; a package that deletes them deletes the plan, too.
func (c *candidate) moved(tx *store.Tx) (bool, error) {
	row, err := store.Plans.Bytes(tx, c.name)
	if err != nil || string(row) != c.row || c.refused != "" {
		return string(row) != c.row, err
	}
	if pin, err := store.Pins.Bytes(tx, c.name); err != nil || string(pin) != c.pinRow {
		return true, err
	}
	if image, err := offeredImage(tx, c.name); err != nil || image != c.image {
		return true, err
	}
	for fleet, read := range c.turns {
		if turn, err := turnOf(tx, c.name, fleet); err != nil || !reflect.DeepEqual(turn, read) {
			return true, err
		}
	}
	spoke, _, err := store.Spokes.Get(tx, c.name)
	return newest(spoke) != c.seen, err
}

// writeOne writes the release and the bundle of one cluster, or deletes them if the cluster has no plan any more; the
// release goes with the pin. It does not write a refused release, because a rollout would rely on it.
func (p *Publisher) writeOne(tx *store.Tx, c *candidate, now time.Time) error {
	if c.withdrawn {
		if err := store.Plans.Put(tx, c.name, c.plan); err != nil {
			return err
		}
	}
	switch {
	case c.refused != "":
		return c.refuse(tx, now)
	case !c.planned:
		err := errors.Join(store.SignedBundles.Delete(tx, c.name), store.Refusals.Delete(tx, c.name))
		if c.pin == nil { // see store.DeleteGraph
			err = errors.Join(err, store.Releases.Delete(tx, c.name))
		}
		return err
	}
	err := errors.Join(store.Refusals.Delete(tx, c.name), store.Releases.Put(tx, c.name, c.release))
	if err == nil && c.signed != nil {
		err = store.SignedBundles.Put(tx, c.name, *c.signed)
	}
	if err == nil && c.signed != nil && c.anew {
		err = remember(tx, c, now)
	}
	if err == nil && c.unread != nil {
		err = record(tx, c.name, condition.BundleUnread, "the last bundle was replaced by a new one: "+c.unread.Error(), now)
	}
	return err
}

// refuse writes why no bundle of a cluster can be made, and records an event, unless the last Refusal says the same.
func (c *candidate) refuse(tx *store.Tx, now time.Time) error {
	last, _, err := store.Refusals.Get(tx, c.name)
	if err != nil && !errors.Is(err, store.ErrDamaged) {
		return err
	}
	if c.noted = last.Message != c.refused; !c.noted {
		return nil
	}
	return errors.Join(store.Refusals.Put(tx, c.name, store.Refusal{Message: c.refused, Since: now}),
		record(tx, c.name, condition.BundleRefused, c.refused, now))
}

// record records an event of a Cluster.
func record(tx *store.Tx, cluster, reason, message string, now time.Time) error {
	return store.Record(tx, store.Event{
		Time: now, Object: api.ClusterKey(cluster), Type: condition.Warning, Reason: reason, Message: message,
	})
}

// newest returns the newest bundle that the spoke has acknowledged.
func newest(s store.Spoke) bundle.ID {
	var seen bundle.ID
	for _, id := range s.Acks {
		if id.Epoch < maxClaim && id.Sequence < maxClaim && id.Newer(seen) {
			seen = id
		}
	}
	return seen
}

// follows reports whether a spoke that has seen a bundle has the last one or accepts it. A spoke may have another
// bundle of the same number, from before its cluster was removed and added again. Such a spoke accepts only a newer
// bundle.
func follows(last, seen bundle.ID) bool { return last == seen || last.Newer(seen) }

// after returns an epoch and sequence newer than the last bundle of the hub and the newest one that the spoke has seen.
func (p *Publisher) after(published, seen bundle.ID) bundle.ID {
	next := bundle.ID{Epoch: p.Store.Epoch(), Sequence: 1}
	for _, id := range []bundle.ID{published, seen} {
		if !next.Newer(id) {
			next = bundle.ID{Epoch: id.Epoch, Sequence: id.Sequence + 1}
		}
	}
	return next
}

// isCurrent reports whether the last bundle lists the same as the next one, is signed by the current key and is not due
// for renewal. If the last bundle was issued after now, the clock was ahead and has been set back. Then isCurrent
// returns false, because no spoke with a correct clock accepts the bundle.
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
		return false // without verifying the signature, which costs more than all other checks
	}
	_, err = p.keyring.Verify(e, bundle.PayloadType)
	return err == nil
}

// listsSame reports whether two bundles differ in their number, their time and their cluster only.
func listsSame(a, b *bundle.Bundle) bool {
	return slices.Equal(a.Applications, b.Applications) && slices.Equal(a.Pending, b.Pending) &&
		a.Incomplete == b.Incomplete && slices.Equal(a.Removals, b.Removals) && slices.Equal(a.Handovers, b.Handovers) &&
		bundle.SameQuestions(a.Questions, b.Questions) && a.SpokeImage == b.SpokeImage
}

// spiffe returns the SPIFFE ID of a cluster, as it is in certificates and bundles.
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

// open decodes a bundle. If the current key did not sign the envelope, open returns an error.
func (p *Publisher) open(envelope []byte) (*bundle.Bundle, error) {
	e, err := signing.DecodeEnvelope(envelope)
	if err != nil {
		return nil, err
	}
	payload, err := p.keyring.Verify(e, bundle.PayloadType)
	if err != nil {
		return nil, err
	}
	return bundle.DecodeBundle(payload)
}
