package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/manifest"
)

func newTreeCommand(s *session) *cobra.Command {
	var o outputFlags
	cmd := &cobra.Command{
		Use:   "tree KIND NAME",
		Short: "Show what an object leads to, down to the objects in the cluster",
		Args:  cobra.MinimumNArgs(1),
		RunE: s.runKey(func(cmd *cobra.Command, client adminv1.AdminServiceClient, key *adminv1.ObjectKey) error {
			p, err := o.printer(cmd)
			if err != nil {
				return err
			}
			answer, err := client.Tree(cmd.Context(), &adminv1.TreeRequest{Key: key})
			if err != nil {
				return err
			}
			return p.print(printoutOfTree(answer.GetRoot(), key.GetCluster()))
		}),
	}
	o.add(cmd)
	return cmd
}

// treeNode is an object of a tree as it is printed as JSON or YAML. Its field names are stable.
type treeNode struct {
	Cluster   string      `json:"cluster,omitempty"`
	Kind      string      `json:"kind"`
	Group     string      `json:"group,omitempty"`
	Namespace string      `json:"namespace,omitempty"`
	Name      string      `json:"name"`
	Status    string      `json:"status,omitempty"`
	Message   string      `json:"message,omitempty"`
	Children  []*treeNode `json:"children,omitempty"`
}

// printoutOfTree returns a tree. The lines of custom-columns are its objects from top to bottom.
func printoutOfTree(root *adminv1.TreeNode, cluster string) printout {
	l := printout{items: []any{}, names: []string{}}
	l.value = l.addNode(root, cluster)
	l.text = func(out io.Writer) error {
		printNode(out, root, "", "")
		return nil
	}
	return l
}

// addNode adds a node to a printout and returns it. cluster is that of its parent.
func (l *printout) addNode(n *adminv1.TreeNode, cluster string) *treeNode {
	id, cluster := objectOf(n, cluster)
	node := &treeNode{Cluster: cluster, Kind: id.Kind, Group: id.Group, Namespace: id.Namespace, Name: id.Name,
		Status: n.GetStatus(), Message: n.GetMessage()}
	l.items = append(l.items, *node)
	l.names = append(l.names, strings.ToLower(id.GroupKind().String())+"/"+node.Name)
	for _, child := range n.GetChildren() {
		node.Children = append(node.Children, l.addNode(child, node.Cluster))
	}
	return node
}

// objectOf returns the object of a node and its cluster. The hub names it "Kind.group namespace/name on cluster", with
// the cluster only if it is another one than that of its parent, which is within.
func objectOf(n *adminv1.TreeNode, within string) (id manifest.ID, cluster string) {
	kind, name, _ := strings.Cut(n.GetObject(), " ")
	if i := strings.LastIndex(name, " on "); i >= 0 {
		name, within = name[:i], name[i+len(" on "):]
	}
	id.Kind, id.Group, _ = strings.Cut(kind, ".")
	id.Name = name
	if namespace, name, namespaced := strings.Cut(name, "/"); namespaced {
		id.Namespace, id.Name = namespace, name
	}
	return id, within
}

// printNode draws a node. Its line begins with lead, and the lines of its children begin with below.
func printNode(out io.Writer, n *adminv1.TreeNode, lead, below string) {
	line := lead + oneLine(n.GetObject())
	if n.GetStatus() != "" {
		line += "  " + oneLine(n.GetStatus())
	}
	if n.GetMessage() != "" {
		line += "  " + briefly(oneLine(n.GetMessage()))
	}
	fmt.Fprintln(out, line)
	for i, child := range n.GetChildren() {
		if i == len(n.GetChildren())-1 {
			printNode(out, child, below+"└── ", below+"    ")
		} else {
			printNode(out, child, below+"├── ", below+"│   ")
		}
	}
}
