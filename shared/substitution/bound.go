package substitution

import (
	"errors"
	"math"
	"strings"

	"github.com/fluxcd/pkg/envsubst/parse"
	"go.yaml.in/yaml/v3"
)

// Bound returns how many bytes Evaluate would return at most. Evaluating a text may take far more memory than the text
// and the values have.
func Bound(text string, value Lookup) (size int, err error) {
	defer func() {
		if recover() != nil {
			size, err = 0, errors.New("the expression in ${…} is not supported")
		}
	}()
	if strings.Count(text, "$") > maxReferences {
		return math.MaxInt32, nil
	}
	tree, err := parse.Parse(text)
	if err != nil {
		return 0, err
	}
	return boundOf(tree.Root, value), nil
}

// boundOf returns the bound of one node.
func boundOf(node parse.Node, value Lookup) int {
	switch node := node.(type) {
	case *parse.TextNode:
		return len(node.Value)
	case *parse.ListNode:
		return sum(node.Nodes, value)
	case *parse.FuncNode:
		v, _ := value(node.Param)
		args := sum(node.Args, value)
		if strings.HasPrefix(node.Name, "/") { // each byte of the value may be replaced
			return min((len(v)+1)*(args+1), math.MaxInt32)
		}
		return max(len(v), args) + 20 // ${#NAME} is a number
	}
	return 0
}

// sum returns the bound of several nodes.
func sum(nodes []parse.Node, value Lookup) int {
	size := 0
	for _, n := range nodes {
		size = min(size+boundOf(n, value), math.MaxInt32)
	}
	return size
}

// hasAlias reports whether a YAML text has an alias, which may stand for far more than its own size.
func hasAlias(text string) bool {
	var root yaml.Node
	if yaml.Unmarshal([]byte(text), &root) != nil {
		return true
	}
	return isAlias(&root)
}

func isAlias(n *yaml.Node) bool {
	if n.Kind == yaml.AliasNode {
		return true
	}
	for _, child := range n.Content {
		if isAlias(child) {
			return true
		}
	}
	return false
}
