package agent

import (
	"fmt"
	"slices"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/state"
)

// displace gives a node that is not an application of the bundle its standing. It is deleted only if the bundle lists it as
// removed.
func (m *model) displace(n *node, b *bundle.Bundle, guard error) []action {
	removal, removed := removalOf(b, n.entry.Owner)
	was, wasKept := n.standing, n.kept
	n.kept = Condition{}
	switch {
	case removed && (guard != nil || was == withheld) && !removal.Confirmed && deletes(removal, n.mark):
		n.standing, n.kept = withheld, wasKept
		if guard != nil {
			n.kept = Condition{Status: "False", Reason: reasonRemovalHeld, Message: guard.Error()}
		}
	case removed:
		n.standing = leaving
	case slices.Contains(b.Pending, n.entry.Owner):
		n.standing = pending
		n.kept = Condition{Status: "Unknown", Reason: reasonPending, Message: "the hub could not render it yet; what runs stays as it is"}
	case b.Incomplete:
		n.standing = unlisted
		n.kept = Condition{Status: "Unknown", Reason: reasonPending, Message: "the hub does not know yet whether it belongs here, " +
			"because something that may give it could not be rendered; what runs stays as it is"}
	default:
		n.standing = unlisted
		n.kept = Condition{Status: "False", Reason: reasonRemovalHeld, Message: "not in the bundle, and not removed by the hub, " +
			"whose store may be new or restored; what runs stays as it is. If it should go, run: nave confirm cluster " + m.cluster}
	}
	if n.standing == was && n.app == nil && (was == leaving || wasKept.Status != "") {
		return nil
	}
	out := n.stop()
	if n.work == deleting {
		n.mark.Digest = manifest.Digest{} // some of it is gone already
	}
	n.app = nil
	n.failures, n.failure, n.retryAt = 0, failure{}, m.now
	n.mark.Suspended = n.entry.Suspended || n.mark.Suspended
	if n.dirty = n.standing == leaving; n.dirty && removal.Policy != bundle.MirrorPrune {
		n.mark.DeletionPolicy, n.mark.Suspended = removal.Policy, false
	}
	return out
}

func removalOf(b *bundle.Bundle, owner bundle.Owner) (bundle.Removal, bool) {
	at, found := slices.BinarySearchFunc(b.Removals, owner, func(r bundle.Removal, o bundle.Owner) int { return r.Owner.Compare(o) })
	if !found {
		return bundle.Removal{}, false
	}
	return b.Removals[at], true
}

// deletes reports whether a removal deletes the objects of an application with this mark.
func deletes(r bundle.Removal, mark state.Mark) bool {
	switch r.Policy {
	case bundle.Delete, bundle.WaitForTermination:
		return true
	case bundle.Orphan:
		return false
	}
	return !mark.Suspended && apply.Removal{Policy: mark.DeletionPolicy, Prune: mark.Prune}.Deletes()
}

// guard returns why the removals of a bundle that no operator confirmed are held; nil if they may pass. It counts the
// objects of all applications together: what looks like an accident for one application does so for a cluster.
func (m *model) guard(b *bundle.Bundle) error {
	owned, gone := 0, 0
	for owner, n := range m.nodes {
		objects := n.health.Objects()
		owned += objects
		if r, removed := removalOf(b, owner); removed && !r.Confirmed && n.work != deleting && deletes(r, n.mark) {
			gone += objects
		}
	}
	if !apply.DefaultGuard.Stops(owned, gone) {
		return nil
	}
	return fmt.Errorf("removal held: with all that left the bundle, %d of the %d objects of this cluster would be deleted; "+
		"bring it back in Git, or run: nave confirm cluster %s", gone, owned, m.cluster)
}
