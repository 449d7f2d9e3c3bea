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

// maxAliased is how many values YAML aliases may add to one file, each time one is used.
const maxAliased = 100_000

var aliasMark = regexp.MustCompile(`(?m)(^|[\s,\[\{:-])\*[^\s*]`)

// checkAliases refuses a file whose aliases stand for more values than any real file has. kustomize writes every alias
// out, and a few lines can make that take hours. A file that does not parse passes; kustomize reports it.
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

// documents returns the documents of a file, up to the first that does not parse.
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

// aliasCounter counts what aliases add.
type aliasCounter struct {
	known   map[*yaml.Node]int
	aliased int
}

// expanded returns how many values a node is with its aliases written out, no more than just over the limit.
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
