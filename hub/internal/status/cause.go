package status

import (
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/rollout"
	"github.com/navefleet/nave/shared/condition"
)

// cause is the object because of which others are not ready. A Cluster or Fleet may be several causes, each with a
// reason; the reason of any other object is "".
type cause struct {
	key    api.Key
	reason string
}

// causes finds the causes in a world. It keeps what it found.
type causes struct {
	world    *World
	verdicts map[api.Key]verdict
	roots    map[api.Key]cause // of sources and renderables that are not ready because of another object
	own      map[api.Key][]problem
	covered  map[api.Key][]cause // of Clusters and Fleets
}

func newCauses(w *World) *causes {
	return &causes{w, map[api.Key]verdict{}, map[api.Key]cause{}, map[api.Key][]problem{},
		map[api.Key][]cause{}}
}

// verdict returns the verdict about an object: of a Cluster or Fleet without its suspension and its pin, which are
// problems of their own.
func (c *causes) verdict(f Facts) verdict {
	v, known := c.verdicts[f.Resource.Key]
	if known {
		return v
	}
	switch role := f.role(); {
	case f.Damaged != nil:
		v = f.damagedVerdict()
	case role == api.ClusterRole:
		v = f.clusterVerdict()
	case role == api.FleetRole:
		v = f.fleetVerdict()
	default:
		v = f.verdict()
	}
	c.verdicts[f.Resource.Key] = v
	return v
}

// unready returns an object of the world that is not ready. If the object is ready or does not exist, unready returns
// false.
func (c *causes) unready(key api.Key) (Facts, bool) {
	f, ok := c.world.facts[key]
	return f, ok && c.verdict(f).ready != condition.True
}

// of returns the causes that explain the state of an object: the object itself, if it has failed or is suspended,
// pinned or held, or those because of which it is not ready. An object that is as it should be has none.
func (c *causes) of(f Facts) (list []cause) {
	key := f.Resource.Key
	if f.rollsUp() {
		for _, p := range c.problems(f) {
			list = append(list, cause{key, p.reason})
		}
		return append(list, c.below(f)...)
	}
	if _, derived := c.direct(f); derived {
		return []cause{c.root(key)}
	}
	if c.needsExplanation(f) {
		return []cause{{key: key}}
	}
	return nil
}

// needsExplanation reports whether an object that rolls up no others is not ready, or is suspended, pinned, held or
// incomplete.
func (c *causes) needsExplanation(f Facts) bool {
	return c.verdict(f).ready != condition.True || f.suspension() != nil || f.isPinned() || f.holds() || f.isIncomplete()
}

// holds reports whether the removal of objects that an application gave before is held.
func (f Facts) holds() bool {
	return f.role() == api.RenderableRole && f.Condition != nil && f.Condition.Held > 0
}

// root returns the end of the way from an object that is not ready to the cause. On a circle that is the first object
// of the circle.
func (c *causes) root(key api.Key) cause {
	if at, known := c.roots[key]; known {
		return at
	}
	path := []api.Key{key}
	at := cause{key: key}
	for {
		next, ok := c.direct(c.world.facts[at.key])
		if !ok {
			break
		}
		if known, ok := c.roots[next.key]; ok && next.reason == "" {
			at = known
			break
		}
		if i := slices.Index(path, next.key); i >= 0 {
			at = cause{key: slices.MinFunc(path[i:], api.Key.Compare)}
			break
		}
		at = next
		if next.reason != "" {
			break
		}
		path = append(path, next.key)
	}
	for _, k := range path {
		c.roots[k] = at
	}
	return at
}

// direct returns the next object on the way from a source or a renderable to the cause. If there is none, direct
// returns false.
func (c *causes) direct(f Facts) (cause, bool) {
	v := c.verdict(f)
	switch role := f.role(); {
	case role == api.RenderableRole && f.With != nil && f.With.with != (api.Key{}) && v.ready != condition.False:
		return cause{f.With.with, condition.Suspended}, true
	case role == api.RenderableRole && f.holds() && v.ready == condition.True:
		return c.cluster(f, condition.RemovalHeld)
	case v.ready == condition.True:
		return cause{}, false
	case role == api.SourceRole:
		return c.input(f, v)
	case role == api.RenderableRole:
		return c.ofRenderable(f, v)
	}
	return cause{}, false
}

// ofRenderable is direct for a renderable that is not ready.
func (c *causes) ofRenderable(f Facts, v verdict) (cause, bool) {
	if f.isHeld() && f.Rollout.Phase != rollout.Succeeded && v.reason == f.heldReason() {
		return cause{api.FleetKey(f.Entry.Fleet), v.reason}, true
	}
	next, ok := c.world.facts[f.peerOf(v)]
	switch {
	case ok:
	case v.reason == condition.DependencyNotReady:
		next, ok = c.world.blocker(f)
	case v.reason == condition.SourceNotReady, v.reason == condition.ArtifactFailed:
		next, ok = c.world.source(f)
	}
	if ok && c.isFailure(next) {
		return cause{key: next.Resource.Key}, true
	}
	return c.cluster(f, v.reason)
}

// isFailure reports whether an object is not ready, and no operator wants that.
func (c *causes) isFailure(f Facts) bool {
	v := c.verdict(f)
	return v.ready == condition.False || v.ready == condition.Unknown && f.suspension() == nil
}

// isWanted reports whether a cause is what an operator wants.
func (c *causes) isWanted(at cause) bool {
	if f := c.world.facts[at.key]; !f.rollsUp() {
		return !c.isFailure(f)
	}
	return isWish(at.reason)
}

// peerOf returns the renderable whose health an application that is not ready waits for, or waited for in vain.
func (f Facts) peerOf(v verdict) api.Key {
	switch {
	case f.Awaited != nil && strings.HasPrefix(v.message, f.Awaited.key.Local()+" is not ready: "):
		return f.Awaited.key
	case f.Report == nil || !strings.Contains(v.message, f.Report.Message):
		return api.Key{}
	}
	return f.awaitedPeer()
}

// input returns the source that a source waits for. Of a source that the hub made, the cause is its renderable.
func (c *causes) input(f Facts, v verdict) (cause, bool) {
	if owner := f.Resource.GivenBy(); owner != nil && f.Resource.Key.Derived() {
		o, ok := c.unready(*owner)
		reason := c.verdict(o).reason
		if ok && (reason == condition.ArtifactFailed || reason == condition.SourceNotReady) {
			return cause{key: *owner}, true
		}
	}
	if v.reason != condition.SourceNotReady && !c.world.failsAsInput(f, v) {
		return cause{}, false
	}
	list := c.world.inputs(f)
	at := slices.IndexFunc(list, c.isFailure)
	if at < 0 {
		return cause{}, false
	}
	return cause{key: list[at].Resource.Key}, true
}

// clusterReasons are the reasons of an application that is not ready because of its Cluster, which has the same reason.
var clusterReasons = []string{condition.BundleRefused, condition.BundleRejected, condition.BundleHeldBack,
	condition.BundleTooLarge, condition.ReportsLimited, condition.RemovalHeld, condition.Pinned}

// absentReasons are those of an application whose spoke has no session.
var absentReasons = []string{condition.Offline, condition.NotRegistered, condition.CapabilitiesUnknown}

// cluster returns the Cluster of an application, if the Cluster is why the application has a reason.
func (c *causes) cluster(f Facts, reason string) (cause, bool) {
	key := api.ClusterKey(f.Resource.Key.Cluster)
	cluster, ok := c.world.facts[key]
	switch {
	case !ok || f.Resource.Key.Cluster == "":
		return cause{}, false
	case slices.Contains(absentReasons, reason):
		return c.absent(cluster)
	case slices.Contains(clusterReasons, reason):
		isIt := func(p problem) bool { return p.reason == reason }
		return cause{key, reason}, slices.ContainsFunc(c.problems(cluster), isIt)
	}
	return cause{}, false
}

// absent returns a Cluster as a cause, if its spoke has no session.
func (c *causes) absent(cluster Facts) (cause, bool) {
	if s := cluster.Spoke; s != nil && s.Connected {
		return cause{}, false
	}
	for _, p := range c.problems(cluster) {
		if p.session {
			return cause{cluster.Resource.Key, p.reason}, true
		}
	}
	return cause{}, false
}

// below returns the causes of what a Cluster or Fleet covers and that is not ready, each once.
func (c *causes) below(f Facts) []cause {
	key := f.Resource.Key
	if list, known := c.covered[key]; known {
		return list
	}
	var all []cause
	for _, object := range f.below() {
		if known, ok := c.unready(object.Resource.Key); ok {
			all = append(all, c.of(known)...)
		}
	}
	for _, m := range f.Members {
		all = append(all, c.ofMember(m.Resource.Key)...)
	}
	var list []cause
	seen := map[cause]bool{}
	for _, at := range all {
		if at.key != key && !seen[at] {
			seen[at] = true
			list = append(list, at)
		}
	}
	c.covered[key] = list
	return list
}

// ofMember returns what is wrong with a Cluster itself, without what an operator wants.
func (c *causes) ofMember(key api.Key) (list []cause) {
	cluster, ok := c.world.facts[key]
	if !ok {
		return nil
	}
	for _, p := range c.problems(cluster) {
		if !isWish(p.reason) {
			list = append(list, cause{key, p.reason})
		}
	}
	return list
}
