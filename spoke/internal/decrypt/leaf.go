package decrypt

import (
	"slices"
	"strconv"

	"github.com/getsops/sops/v3"
)

// leaf is a scalar of a tree: its place, the value that was read, and where the library puts the decrypted value.
type leaf struct {
	document int
	path     []string // map keys, and list indexes in decimal, comments not counted
	before   any
	value    *any
}

// sealed reports whether the library decrypted the leaf.
func (l leaf) sealed() bool {
	text, isText := l.before.(string)
	return isText && (text == "" || *l.value != text)
}

// scalars returns the scalars of the documents, before the library decrypts them in place.
func scalars(docs []document) []leaf {
	var leaves []leaf
	for _, doc := range docs {
		var root any = doc.tree
		leaves = appendScalars(leaves, doc.index, nil, &root)
	}
	return leaves
}

// holdsLeaf reports whether a scalar of the document is an encrypted leaf.
func (d document) holdsLeaf() bool {
	return slices.ContainsFunc(scalars([]document{d}), func(l leaf) bool {
		text, ok := l.before.(string)
		return ok && leafPattern.MatchString(text)
	})
}

// appendScalars appends the scalars of one node to leaves.
func appendScalars(leaves []leaf, document int, path []string, at *any) []leaf {
	switch v := (*at).(type) {
	case nil, sops.Comment:
	case sops.TreeBranch:
		for i := range v {
			if key, ok := v[i].Key.(string); ok {
				leaves = appendScalars(leaves, document, append(slices.Clip(path), key), &v[i].Value)
			}
		}
	case []any:
		n := 0
		for i := range v {
			leaves = appendScalars(leaves, document, append(slices.Clip(path), strconv.Itoa(n)), &v[i])
			if !isComment(v[i]) {
				n++
			}
		}
	default:
		leaves = append(leaves, leaf{document, path, v, at})
	}
	return leaves
}

// isComment reports whether an element of a list is a comment: SOPS writes an encrypted comment as one more element.
func isComment(v any) bool {
	text, _ := v.(string)
	_, plain := v.(sops.Comment)
	m := leafPattern.FindStringSubmatch(text)
	return plain || m != nil && m[1] == "comment"
}
