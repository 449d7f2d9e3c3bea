package status

import (
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// Locate returns the objects of one name that the trees of the Clusters have, by cluster.
func Locate(w *World, name string) (found []*adminv1.LocatedObject) {
	var clusters []api.Key
	for key := range w.facts {
		if key.Role() == api.ClusterRole {
			clusters = append(clusters, key)
		}
	}
	slices.SortFunc(clusters, api.Key.Compare)
	t := newTree(w)
	for _, cluster := range clusters {
		for _, root := range t.node(w.facts[cluster], "", 0).Children {
			found = locate(found, root, name, cluster.Name, nil)
		}
	}
	return found
}

// locate adds a node and those below it that have the name.
func locate(found []*adminv1.LocatedObject, n *adminv1.TreeNode, name, cluster string,
	above []string) []*adminv1.LocatedObject {
	if nameOfNode(n.Object) == name {
		found = append(found, &adminv1.LocatedObject{Cluster: cluster, Object: n.Object, Status: n.Status,
			Message: n.Message, Above: above})
	}
	for _, child := range n.Children {
		found = locate(found, child, name, cluster, append(slices.Clip(above), n.Object))
	}
	return found
}

// nameOfNode returns the name of the object of a node (nodeName).
func nameOfNode(object string) string {
	_, name, _ := strings.Cut(object, " ")
	name, _, _ = strings.Cut(name, " on ")
	return name[strings.IndexByte(name, '/')+1:]
}
