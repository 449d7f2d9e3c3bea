package agent

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/state"
)

// displace sets the standing of a node that the bundle does not list as an application. The node is deleted only if the
// bundle lists it as removed.
func (m *model) displace(n *node, b *bundle.Bundle, guard error) []action {
	removal, _ := removalOf(b, n.entry.Name)
	was, wasKept := n.standing, n.kept
	n.standing, n.kept = m.standingOf(n, b, guard)
	withheldBefore := n.mark.Withheld
	n.mark.Withheld = n.standing == withheld // must survive a restart
	if n.standing == was && n.app == nil && (was == leaving && goesAs(removal, n.mark) || wasKept.Status != "") {
		return nil
	}
	out := n.stop()
	if n.work == deleting {
		n.mark.Digest = manifest.Digest{} // some of its objects are gone already
	}
	n.app = nil
	n.failures, n.failure, n.retryAt = 0, failure{}, m.now
	n.mark.Suspended = n.entry.Suspended || n.mark.Suspended
	if n.dirty = n.standing == leaving; n.dirty && !goesAs(removal, n.mark) {
		n.mark.DeletionPolicy, n.mark.Suspended = removal.Policy, false
	}
	n.unsaved = n.unsaved || n.mark.Withheld != withheldBefore
	return out
}

// standingOf returns the standing of an application that the bundle does not list to be applied, and the condition that
// gives the reason why it stays. A removal that was withheld stays withheld until an operator confirms it.
func (m *model) standingOf(n *node, b *bundle.Bundle, guard error) (standing, Condition) {
	removal, removed := removalOf(b, n.entry.Name)
	switch {
	case removed && (guard != nil || n.standing == withheld) && !removal.Confirmed && deletes(removal, n.mark):
		if guard == nil && n.kept.Status != "" {
			return withheld, n.kept
		}
		guard = cmp.Or(guard, fmt.Errorf("removal held: it would delete more than is allowed without confirmation; "+
			"bring it back in Git, or run: nave confirm cluster %s", m.cluster))
		return withheld, notReady(condition.RemovalHeld, guard.Error())
	case removed:
		return leaving, Condition{}
	case slices.Contains(b.Pending, n.entry.Name):
		return pending, unknown(condition.Pending, "the hub has not rendered it yet; its objects stay as they are")
	case b.Incomplete:
		return unlisted, unknown(condition.Pending, "the hub does not know yet whether it belongs to this cluster, "+
			"because a parent could not be rendered; its objects stay as they are")
	}
	return unlisted, notReady(condition.RemovalHeld, "not in the bundle, and not removed by the hub, whose store may be "+
		"new or restored; its objects stay as they are. To delete them, run: nave confirm cluster "+m.cluster)
}

// goesAs reports whether an application with this mark is deleted by the policy of the removal, without a change of the
// mark.
func goesAs(r bundle.Removal, mark state.Mark) bool {
	return r.Policy == bundle.MirrorPrune || r.Policy == mark.DeletionPolicy && !mark.Suspended
}

func removalOf(b *bundle.Bundle, name bundle.ApplicationName) (bundle.Removal, bool) {
	at, found := slices.BinarySearchFunc(b.Removals, name,
		func(r bundle.Removal, o bundle.ApplicationName) int { return r.Name.Compare(o) })
	if !found {
		return bundle.Removal{}, false
	}
	return b.Removals[at], true
}

// deletes reports whether a removal deletes the objects of an application with this mark.
func deletes(r bundle.Removal, mark state.Mark) bool {
	prunes := !mark.Suspended && mark.DeletionPolicy.Resolve(mark.Prune) != bundle.Orphan
	return r.Policy.Resolve(prunes) != bundle.Orphan
}

// guard returns why the removals of a bundle that no operator confirmed are held; nil if they may pass. It applies the
// limits of a prune to the objects of all applications together, so that a cluster is not emptied by accident. Objects
// that the bundle gives to another application do not count as deleted.
func (m *model) guard(b *bundle.Bundle, apps applications) error {
	if len(b.Removals) == 0 {
		return nil
	}
	claimed := claimsOf(apps, b.Handovers, b.Pending)
	owned, gone := 0, 0
	for name, n := range m.nodes {
		objects := n.health.Objects()
		owned += objects
		if r, removed := removalOf(b, name); removed && !r.Confirmed && n.work != deleting && deletes(r, n.mark) {
			gone += max(0, objects-m.countTaken(name, claimed))
		}
	}
	if !apply.DefaultGuard.Stops(owned, gone) {
		return nil
	}
	return fmt.Errorf("removal held: with all that left the bundle, %d of the %d objects of this cluster would be "+
		"deleted; bring it back in Git, or run: nave confirm cluster %s", gone, owned, m.cluster)
}

// countTaken returns the number of objects of an application that another application of the bundle has.
func (m *model) countTaken(name bundle.ApplicationName, claimed map[manifest.ID]claim) int {
	taken := 0
	for _, id := range m.owned(name) {
		if _, is := claimed[id]; is {
			taken++
		}
	}
	return taken
}
