package graph

import (
	"fmt"
	"maps"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// Guard limits how much one change may remove from a cluster without the confirmation of an operator: fewer than all of
// its Applications, and at most a share of them if the cluster has enough Applications.
type Guard struct {
	Applications int // the least number of Applications for which Percent counts
	Percent      int // the share that may be removed
}

// DefaultGuard lets one change remove half of four Applications or more.
var DefaultGuard = Guard{Applications: 4, Percent: 50}

// Check returns an error if a value of the guard is out of range. The zero Guard means DefaultGuard.
func (g Guard) Check() error {
	if g != (Guard{}) && (g.Applications < 1 || g.Percent < 0 || g.Percent > 100) {
		return fmt.Errorf("guard: %d %% of %d applications: want 0 to 100 %% of 1 or more", g.Percent, g.Applications)
	}
	return nil
}

// holds reports whether a change that removes lost of total Applications exceeds the guard.
func (g Guard) holds(lost, total int) bool {
	if g == (Guard{}) {
		g = DefaultGuard
	}
	return lost > 0 && (lost == total || total >= g.Applications && lost*100 > total*g.Percent)
}

// guard holds the objects that left, if one change may not remove so many unconfirmed. A held object stays as it was
// last, until an operator confirms its removal or an owner gives it again. guard returns false if it held no object.
func (p *pass) guard() bool {
	if p.guarded {
		return false
	}
	p.guarded = true
	held := append(p.heldRemovals(), p.heldClusters()...)
	for _, key := range held {
		n := p.in.Previous[key]
		n.Held = true
		p.keep(n)
		if isRenderable(key) {
			p.keepApplication(key, false)
		}
		switch {
		case p.isJoined(key):
			p.graph.Findings[key] = Finding{Reason: condition.RemovalHeld, Message: holdCluster(key.Name)}
		case p.decides(key):
			p.graph.Findings[key] = Finding{Reason: condition.RemovalHeld, Message: p.holdMessage()}
		}
	}
	return len(held) > 0
}

func (p *pass) holdMessage() string {
	return "no longer in Git; its removal is held, because it came with more than one change may remove unconfirmed. " +
		"It stays as it was. Bring it back in Git, or run: " + p.confirmation()
}

// holdCluster returns the message about a Cluster that left Git while its spoke is registered.
func holdCluster(name string) string {
	return fmt.Sprintf("no longer in Git; its spoke has registered, so its removal is held and it stays as it was. Bring "+
		"it back in Git, or take it over: nave cluster add %[1]s --adopt, or remove it: nave cluster remove %[1]s", name)
}

// confirmation returns the command that confirms the held removals of the graph.
func (p *pass) confirmation() string {
	if p.in.Cluster == "" {
		return "nave confirm hub"
	}
	return "nave confirm cluster " + p.in.Cluster
}

// heldRemovals returns the objects that left and have to stay, sorted. If an Application that left has to stay, the
// sources that left stay, too.
func (p *pass) heldRemovals() []api.Key {
	var deciding, held []api.Key
	fresh := false
	for key := range p.gone {
		if !p.decides(key) || p.in.Confirmed[key] || p.harmless(key) {
			continue
		}
		deciding = append(deciding, key)
		fresh = fresh || !p.in.Previous[key].Held
	}
	all := fresh && p.tooMany(deciding)
	for _, key := range deciding {
		if all || p.in.Previous[key].Held {
			held = append(held, key)
		}
	}
	if len(held) == 0 {
		return nil
	}
	for key := range p.gone {
		if !p.decides(key) && !p.in.Confirmed[key] && (all || p.in.Previous[key].Held) {
			held = append(held, key)
		}
	}
	slices.SortFunc(held, api.Key.Compare)
	return held
}

// decides reports whether the guard counts an object: a renderable of a cluster, or a Fleet of the hub.
func (p *pass) decides(key api.Key) bool {
	if p.in.Cluster == "" {
		return key.Role() == api.FleetRole
	}
	return isRenderable(key)
}

// heldClusters returns the Clusters that left unconfirmed although their spokes have registered.
func (p *pass) heldClusters() (held []api.Key) {
	for key := range p.gone {
		if p.isJoined(key) && !p.in.Confirmed[key] {
			held = append(held, key)
		}
	}
	return held
}

// isJoined reports whether an object is a Cluster whose spoke has registered. Its removal is always held, because the
// hub would refuse the spoke from then on.
func (p *pass) isJoined(key api.Key) bool {
	return key.Role() == api.ClusterRole && p.in.Joined != nil && p.in.Joined(key.Name)
}

// harmless reports whether the removal of an object leaves all of its objects in the cluster.
func (p *pass) harmless(key api.Key) bool {
	return isRenderable(key) && (p.isPassedOn(key) || p.orphansAll(p.in.Previous[key]))
}

// tooMany reports whether a change removes more than it may unconfirmed: the hub's last Fleet, a Fleet's last cluster,
// all Applications of a cluster, or more than the share of the guard. An Application counts if most of its objects are
// removed. It does not count if it has no objects, if its objects went to other Applications, or if it leaves them in
// the cluster.
func (p *pass) tooMany(leaving []api.Key) bool {
	if p.in.Cluster == "" {
		return !slices.ContainsFunc(slices.Collect(maps.Keys(p.graph.Nodes)), p.decides)
	}
	left := map[bundle.ApplicationName]bool{}
	for _, key := range leaving {
		n := p.in.Previous[key]
		if api.IsRoot(n.Owner) && p.in.LastCluster[n.Owner.Name] {
			return true
		}
		left[key.Application()] = !n.Held
	}
	given := p.given()
	total, lost := 0, 0
	for owner, entry := range p.in.Entries {
		objects, err := p.in.Contents(entry.Digest)
		if err == nil && len(objects) == 0 || p.gone[api.ApplicationKey(p.in.Cluster, owner)] && !left[owner] {
			continue
		}
		total++
		if left[owner] && (err != nil || isLost(objects, given)) {
			lost++
		}
	}
	return p.in.Guard.holds(lost, total)
}

// isLost reports whether most of an Application's objects are removed, because no other Application has them.
func isLost(objects []manifest.ID, given map[manifest.ID]bool) bool {
	going := 0
	for _, id := range objects {
		if !given[id] {
			going++
		}
	}
	return going*2 > len(objects)
}

// given returns the objects that all Applications of this pass have, or are going to have with all rights.
func (p *pass) given() map[manifest.ID]bool {
	given := map[manifest.ID]bool{}
	for id, e := range p.graph.Expected {
		given[id] = e.ServiceAccount == "" // what a tenant expects is deleted all the same
	}
	for _, app := range p.apps {
		for _, id := range p.contents(app) {
			given[id] = true
		}
	}
	return given
}
