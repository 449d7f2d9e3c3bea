package status

import (
	"maps"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/reporting"
)

// maxDepth limits the depth of a tree, because owners may form a cycle.
const maxDepth = 64

// Tree returns the objects that an object leads to: a Fleet to the roots that it gives to clusters, a Cluster to its
// roots, a renderable to the objects of the graph that it gives and to the objects in the cluster. If the object does
// not exist, Tree returns false.
func Tree(w *World, key api.Key) (*adminv1.TreeNode, bool) {
	f, ok := w.facts[key]
	if !ok {
		return nil, false
	}
	return newTree(w).node(f, key.Cluster, 0), true
}

// newTree returns the tree of a world.
func newTree(w *World) *tree {
	t := &tree{world: w, children: map[api.Key][]api.Key{}}
	for k, f := range w.facts {
		owner := f.Resource.GivenBy()
		if owner != nil {
			t.children[*owner] = append(t.children[*owner], k)
		}
		exists := f.Resource.Object != nil || f.Report != nil || f.restored() // the spoke still has what left the graph
		if k.Cluster != "" && (owner == nil || api.IsRoot(owner)) && exists {
			cluster := api.ClusterKey(k.Cluster)
			t.children[cluster] = append(t.children[cluster], k)
		}
	}
	for _, list := range t.children {
		slices.SortFunc(list, api.Key.Compare)
	}
	return t
}

// tree is a world by owner. The children of a Cluster are the roots that Fleets give it, the orphans of its graph, and
// the applications that left its graph and that its spoke still has.
type tree struct {
	world    *World
	children map[api.Key][]api.Key
}

// node returns the tree of one object of the hub. An object of another cluster than the parent's is shown with its
// cluster.
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
	for _, child := range t.children[key] {
		n.Children = append(n.Children, t.node(t.world.facts[child], key.Cluster, depth+1))
	}
	n.Children = append(n.Children, inventoryNodes(f)...)
	return n
}

// nodeName returns "kind.group namespace/name", with the cluster if it is not the parent's.
func nodeName(key api.Key, within string) string {
	id := key.Identity().ID().String()
	if key.Cluster == within {
		return id
	}
	return id + " on " + key.Cluster
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
	for _, name := range slices.Sorted(maps.Keys(unhealthy)) { // objects that the cluster refused are in no inventory
		nodes = append(nodes, unhealthy[name])
	}
	return nodes
}
