package status

import (
	"cmp"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
)

// maxDepth bounds a tree, whatever the owners of objects say.
const maxDepth = 64

// Tree shows what an object leads to: a Fleet to the roots it gives its clusters, a Cluster to its roots, a
// Kustomization to the objects of the graph it gives and to the objects in the cluster. False when there is no such
// object.
func Tree(w *World, key api.Key) (*adminv1.TreeNode, bool) {
	f, ok := w.facts[key]
	if !ok {
		return nil, false
	}
	t := &tree{world: w, children: map[api.Key][]api.Key{}}
	for k, f := range w.facts {
		owner := f.Resource.GivenBy()
		if owner != nil {
			t.children[*owner] = append(t.children[*owner], k)
		}
		if k.Cluster != "" && (owner == nil || owner.Role() == api.FleetRole) && f.Resource.Object != nil {
			t.roots = append(t.roots, root{api.ClusterKey(k.Cluster), k})
		}
	}
	for _, list := range t.children {
		slices.SortFunc(list, func(a, b api.Key) int { return cmp.Compare(a.Path(), b.Path()) })
	}
	slices.SortFunc(t.roots, func(a, b root) int { return cmp.Compare(a.key.Path(), b.key.Path()) })
	return t.node(f, key.Cluster, 0), true
}

// tree is a world by owner.
type tree struct {
	world    *World
	children map[api.Key][]api.Key
	roots    []root
}

// root is a root of a cluster's graph: a Fleet's, or what its owner left.
type root struct{ cluster, key api.Key }

// node is one object of the hub and all below it. Objects of another cluster than the parent's say of which.
func (t *tree) node(f Facts, within string, depth int) *adminv1.TreeNode {
	key := f.Resource.Key
	v := f.verdict()
	n := &adminv1.TreeNode{Object: nodeName(key, within), Status: v.ready, Message: v.message}
	if f.Resource.Orphaned {
		n.Message = strings.TrimPrefix(v.message+"; left by "+f.Resource.Owner.String(), "; ")
	}
	if depth >= maxDepth {
		return n
	}
	for _, child := range t.below(key) {
		n.Children = append(n.Children, t.node(t.world.facts[child], key.Cluster, depth+1))
	}
	n.Children = append(n.Children, inventoryNodes(f)...)
	return n
}

// below lists the objects of the hub that an object leads to.
func (t *tree) below(key api.Key) []api.Key {
	if key.Role() != api.ClusterRole {
		return t.children[key]
	}
	var keys []api.Key
	for _, r := range t.roots {
		if r.cluster == key {
			keys = append(keys, r.key)
		}
	}
	return keys
}

// nodeName is "kind.group namespace/name", with the cluster where it is another than before.
func nodeName(key api.Key, within string) string {
	id := manifest.ID{Kind: key.Kind, Namespace: key.Namespace, Name: key.Name}
	if kind, ok := api.KindByName(key.Kind); ok {
		id.Group = kind.Group
	}
	if key.Cluster == within {
		return id.String()
	}
	return id.String() + " on " + key.Cluster
}

// inventoryNodes returns the objects in the cluster with their health. Objects that a complete report does not name as
// unhealthy are Current.
func inventoryNodes(f Facts) []*adminv1.TreeNode {
	r := f.Report
	if r == nil {
		return nil
	}
	unhealthy := map[string]*adminv1.TreeNode{}
	for _, o := range r.Objects {
		name := nameOf(o.Object)
		unhealthy[name] = &adminv1.TreeNode{Object: name, Status: o.Status, Message: o.Message}
	}
	complete := len(r.Objects) < reporting.MaxObjects // a full list may lack some unhealthy objects
	var nodes []*adminv1.TreeNode
	for _, o := range r.Inventory {
		name := nameOf(o)
		n := unhealthy[name]
		delete(unhealthy, name)
		if n == nil {
			n = &adminv1.TreeNode{Object: name}
			if complete {
				n.Status = string(health.Current)
			}
		}
		nodes = append(nodes, n)
	}
	return append(nodes, rest(unhealthy)...)
}

// rest returns the unhealthy objects that are not in the inventory: the cluster refused them.
func rest(unhealthy map[string]*adminv1.TreeNode) []*adminv1.TreeNode {
	nodes := make([]*adminv1.TreeNode, 0, len(unhealthy))
	for _, n := range unhealthy {
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, b *adminv1.TreeNode) int { return cmp.Compare(a.Object, b.Object) })
	return nodes
}
