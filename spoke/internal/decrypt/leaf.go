package decrypt

import (
	"strconv"

	"github.com/getsops/sops/v3"
)

// leaf is a scalar of a tree: where it is, its text as it was read if it is one, and where the library puts its value.
type leaf struct {
	document int
	path     []string // map keys, and list indexes in decimal, comments not counted
	before   any
	value    *any
}

// sealed reports whether the library took the leaf for an encrypted one.
func (l leaf) sealed() bool {
	text, isText := l.before.(string)
	return isText && (text == "" || *l.value != text)
}

// scalars lists the scalars of the documents, before the library decrypts them in place.
func scalars(docs []document) []leaf {
	var c collector
	for i, doc := range docs {
		c.document = i
		c.branch(doc.tree, nil)
	}
	return c.leaves
}

type collector struct {
	document int
	leaves   []leaf
}

func (c *collector) branch(b sops.TreeBranch, path []string) {
	for i := range b {
		if key, ok := b[i].Key.(string); ok {
			c.value(&b[i].Value, extend(path, key))
		}
	}
}

func (c *collector) value(at *any, path []string) {
	switch v := (*at).(type) {
	case sops.TreeBranch:
		c.branch(v, path)
	case []any:
		c.list(v, path)
	case nil, sops.Comment:
	default:
		c.leaves = append(c.leaves, leaf{c.document, path, v, at})
	}
}

func (c *collector) list(items []any, path []string) {
	n := 0
	for i := range items {
		c.value(&items[i], extend(path, strconv.Itoa(n)))
		if !isComment(items[i]) {
			n++
		}
	}
}

// isComment recognises a comment of a list: SOPS writes one that it encrypted as one more element.
func isComment(v any) bool {
	text, _ := v.(string)
	_, plain := v.(sops.Comment)
	m := leafPattern.FindStringSubmatch(text)
	return plain || m != nil && m[1] == "comment"
}

// extend returns path with one more element, never sharing memory with another path.
func extend(path []string, element string) []string {
	return append(path[:len(path):len(path)], element)
}
