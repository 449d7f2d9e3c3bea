package kustomize

import (
	"bytes"
	"fmt"
	"iter"
	"regexp"

	"go.yaml.in/yaml/v3"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
)

// maxAliased limits how many values YAML aliases add to one file. Each use of an alias counts.
const maxAliased = 100_000

var aliasMark = regexp.MustCompile(`(?m)(^|[\s,\[\{:-])\*[^\s*]`)

// checkAliases refuses a file whose aliases add more values than any real file has. kustomize expands every alias, and
// for a few lines that can take hours. If a file cannot be parsed, checkAliases returns nil; kustomize reports the
// error.
func checkAliases(p string, data []byte) error {
	if !bytes.ContainsRune(data, '&') || !aliasMark.Match(data) {
		return nil
	}
	for doc := range documents(data) {
		c := aliasCounter{known: map[*yaml.Node]int{}}
		if c.expanded(doc); c.aliased > maxAliased {
			return fmt.Errorf("%s: %w: its YAML aliases stand for more than %d values", tree.Local(p), render.ErrLimit,
				maxAliased)
		}
	}
	return nil
}

// documents returns the documents of a file, up to the first that cannot be parsed.
func documents(data []byte) iter.Seq[*yaml.Node] {
	return func(yield func(*yaml.Node) bool) {
		d := yaml.NewDecoder(bytes.NewReader(data))
		for {
			var doc yaml.Node
			if d.Decode(&doc) != nil || !yield(&doc) {
				return
			}
		}
	}
}

// aliasCounter counts the values that aliases add.
type aliasCounter struct {
	known   map[*yaml.Node]int
	aliased int
}

// expanded returns the number of values in a node with its aliases expanded, at most maxAliased+1.
func (c *aliasCounter) expanded(n *yaml.Node) int {
	if size, ok := c.known[n]; ok {
		return size
	}
	c.known[n] = maxAliased + 1 // should it contain itself
	size := 1
	if n.Kind == yaml.AliasNode {
		size = c.expanded(n.Alias)
		c.aliased = min(c.aliased+size, maxAliased+1)
	}
	for _, child := range n.Content {
		size = min(size+c.expanded(child), maxAliased+1)
	}
	c.known[n] = size
	return size
}
