package helm

import (
	"cmp"
	"maps"
	"slices"
	"text/template/parse"
)

// strange are functions whose results two renders can share by chance or within a second, each with a call that takes
// the same arguments and gives another result.
var strange = map[string]string{
	"now":     `(toDate "2006-01-02T15:04:05" "2001-02-03T04:05:06")`,
	"ago":     "unixEpoch",
	"randInt": "add 1009",
	"shuffle": `print "~"`,
}

// transparent are the functions of strange, and functions that make a hash of a password, with calls that return it.
var transparent = map[string]string{
	"now": strange["now"], "ago": strange["ago"], "randInt": strange["randInt"], "shuffle": strange["shuffle"],
	"bcrypt": `print "~"`, "htpasswd": `print "~"`, "encryptAES": `print "~"`,
}

// estrange returns a template with other calls in place of some functions. If the template cannot be parsed, estrange
// returns it as it is.
func estrange(text string, others map[string]string) string {
	calls := map[*parse.IdentifierNode]string{}
	eachNode(text, func(n parse.Node) {
		if call, ok := n.(*parse.IdentifierNode); ok && others[call.Ident] != "" {
			calls[call] = others[call.Ident]
		}
	})
	return replaceCallsIn(text, calls)
}

// replaceCallsIn returns a template with other texts in place of the names of some functions.
func replaceCallsIn(text string, others map[*parse.IdentifierNode]string) string {
	calls := slices.Collect(maps.Keys(others))
	slices.SortFunc(calls, func(a, b *parse.IdentifierNode) int { return cmp.Compare(b.Pos, a.Pos) })
	for _, call := range calls { // from the end, so that positions stay
		at, end := int(call.Pos), int(call.Pos)+len(call.Ident)
		if end <= len(text) && text[at:end] == call.Ident {
			text = text[:at] + others[call] + text[end:]
		}
	}
	return text
}

// eachNode calls fn for each node of a template, outer ones first. If the template cannot be parsed, there are none.
func eachNode(text string, fn func(parse.Node)) {
	t := parse.New("template")
	t.Mode = parse.SkipFuncCheck
	trees := map[string]*parse.Tree{}
	if _, err := t.Parse(text, "", "", trees); err != nil {
		return
	}
	for _, tree := range trees {
		walkNodes(tree.Root, fn)
	}
}

// walkNodes calls fn for a node and for each node below, outer ones first.
func walkNodes(n parse.Node, fn func(parse.Node)) {
	fn(n)
	for _, below := range nodesBelow(n) {
		walkNodes(below, fn)
	}
}

// nodesBelow returns the nodes of which a node consists.
func nodesBelow(n parse.Node) (nodes []parse.Node) {
	branch := func(b *parse.BranchNode) []parse.Node {
		nodes := []parse.Node{b.Pipe, b.List}
		if b.ElseList != nil {
			nodes = append(nodes, b.ElseList)
		}
		return nodes
	}
	switch n := n.(type) {
	case *parse.ListNode:
		return n.Nodes
	case *parse.ActionNode:
		return []parse.Node{n.Pipe}
	case *parse.PipeNode:
		for _, c := range n.Cmds {
			nodes = append(nodes, c)
		}
	case *parse.CommandNode:
		return n.Args
	case *parse.ChainNode:
		return []parse.Node{n.Node}
	case *parse.IfNode:
		return branch(&n.BranchNode)
	case *parse.RangeNode:
		return branch(&n.BranchNode)
	case *parse.WithNode:
		return branch(&n.BranchNode)
	case *parse.TemplateNode:
		if n.Pipe != nil {
			return []parse.Node{n.Pipe}
		}
	}
	return nodes
}
