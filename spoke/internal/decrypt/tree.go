package decrypt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/getsops/sops/v3"
	"go.yaml.in/yaml/v3"
)

const (
	maxDocuments = 1000
	maxDepth     = 200
)

// maxAliased limits the values to which the aliases of a YAML document expand.
const maxAliased = 10_000

// ErrMalformed means that a file is not in the form that SOPS writes.
var ErrMalformed = errors.New("malformed SOPS file")

// document is one document of a file, and the metadata found in it. Files of other formats than YAML are one document.
type document struct {
	index    int // in the file
	tree     sops.TreeBranch
	metadata *yaml.Node
}

func parseYAML(data []byte) ([]document, error) {
	var docs []document
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var node yaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			// The parser's error quotes the file, so it is left out.
			return nil, fmt.Errorf("%w: document %d is not YAML", ErrMalformed, len(docs))
		}
		if len(docs) == maxDocuments {
			return nil, fmt.Errorf("%w: more than %d documents", ErrMalformed, maxDocuments)
		}
		doc, err := parseDocument(&node)
		if err != nil {
			return nil, fmt.Errorf("%w: document %d: %w", ErrMalformed, len(docs), err)
		}
		doc.index = len(docs)
		docs = append(docs, doc)
	}
}

func parseDocument(node *yaml.Node) (document, error) {
	p := parser{reading: &reading{keep: hasAlias(node)}}
	p.comments(false, node.HeadComment, node.LineComment)
	for _, root := range node.Content {
		switch {
		case root.Kind == yaml.MappingNode:
			if err := p.mapping(root, false, 0); err != nil {
				return document{}, err
			}
		case root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null":
		default:
			return document{}, errors.New("the root is not a mapping")
		}
	}
	p.comments(false, node.FootComment)
	return document{tree: p.out, metadata: p.metadata}, nil
}

// hasAlias reports whether there is an alias in a node. It follows none.
func hasAlias(node *yaml.Node) bool {
	return node.Kind == yaml.AliasNode || slices.ContainsFunc(node.Content, hasAlias)
}

// reading is the state that the parsers of one document share.
type reading struct {
	keep    bool // nodes stay after they were read, because an alias may name them
	within  int  // how many aliases the current node is in
	aliased int  // how many values were read in aliases
}

// count counts a value. If aliases expand to more than maxAliased values, count returns an error.
func (r *reading) count(node *yaml.Node) error {
	if r.within == 0 {
		return nil
	}
	if r.aliased++; r.aliased > maxAliased {
		return fmt.Errorf("line %d: aliases stand for more than %d values", node.Line, maxAliased)
	}
	return nil
}

// drop forgets a node that was read, so that it need not stay in memory.
func (r *reading) drop(nodes []*yaml.Node) {
	if !r.keep {
		clear(nodes)
	}
}

// parser builds one branch. Comments go where SOPS puts them: before the item that they are above or beside, in the
// branch of their node, unless the parent has taken them.
type parser struct {
	*reading
	out      sops.TreeBranch
	metadata *yaml.Node
}

func (p *parser) comments(inline bool, texts ...string) {
	for _, line := range commentLines(inline, texts...) {
		p.out = append(p.out, sops.TreeItem{Key: line})
	}
}

// commentLines returns comments without their "#". SOPS keeps them in the tree and encrypts them too.
func commentLines(inline bool, texts ...string) []sops.Comment {
	var lines []sops.Comment
	for _, text := range texts {
		for line := range strings.SplitSeq(text, "\n") {
			if line != "" {
				lines = append(lines, sops.Comment{Value: line[1:], Inline: inline})
			}
		}
	}
	return lines
}

func (p *parser) mapping(node *yaml.Node, commentsTaken bool, depth int) error {
	if !commentsTaken {
		p.comments(false, node.HeadComment, node.LineComment)
	}
	seen := make(map[string]bool, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		p.drop(node.Content[i : i+2])
		if err := checkKey(key, seen); err != nil {
			return err
		}
		if depth == 0 && key.Value == metadataKey {
			p.metadata = value
			p.comments(false, key.HeadComment, key.LineComment, key.FootComment)
			continue
		}
		if err := p.pair(key, value, depth); err != nil {
			return err
		}
	}
	if !commentsTaken {
		p.comments(false, node.FootComment)
	}
	return nil
}

// checkKey refuses a key that is no string, or is there twice. SOPS takes the merge key for a string.
func checkKey(key *yaml.Node, seen map[string]bool) error {
	if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" && key.ShortTag() != "!!merge" {
		return fmt.Errorf("line %d: a key is not a string", key.Line)
	}
	if seen[key.Value] {
		return fmt.Errorf("line %d: key %q appears twice", key.Line, key.Value)
	}
	seen[key.Value] = true
	return nil
}

func (p *parser) pair(key, value *yaml.Node, depth int) error {
	taken := value.Kind == yaml.ScalarNode || value.Kind == yaml.AliasNode
	p.comments(false, key.HeadComment, key.LineComment)
	if taken {
		p.comments(false, value.HeadComment)
		p.comments(true, value.LineComment)
	}
	v, err := p.value(value, taken, depth+1)
	if err != nil {
		return err
	}
	p.out = append(p.out, sops.TreeItem{Key: key.Value, Value: v})
	if taken {
		p.comments(false, value.FootComment)
	}
	p.comments(false, key.FootComment)
	return nil
}

// value returns the value of a node. An alias is replaced by its value, as in SOPS.
func (r *reading) value(node *yaml.Node, commentsTaken bool, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("line %d: nested deeper than %d", node.Line, maxDepth)
	}
	if err := r.count(node); err != nil {
		return nil, err
	}
	switch node.Kind {
	case yaml.MappingNode:
		p := parser{reading: r}
		err := p.mapping(node, commentsTaken, depth)
		return p.out, err
	case yaml.SequenceNode:
		return r.list(node, commentsTaken, depth)
	case yaml.ScalarNode:
		return parseScalar(node)
	case yaml.AliasNode:
		r.within++
		defer func() { r.within-- }()
		return r.value(node.Alias, false, depth+1)
	}
	return nil, fmt.Errorf("line %d: a node of an unknown kind", node.Line)
}

func parseScalar(node *yaml.Node) (any, error) {
	var v any
	if err := node.Decode(&v); err != nil {
		return nil, fmt.Errorf("line %d: a scalar is not what its tag says", node.Line)
	}
	switch v.(type) {
	case nil, string, int, float64, bool, time.Time:
		return v, nil
	}
	return nil, fmt.Errorf("line %d: a scalar of a type that SOPS does not know", node.Line)
}

func (r *reading) list(node *yaml.Node, commentsTaken bool, depth int) ([]any, error) {
	var list []any
	add := func(inline bool, texts ...string) {
		for _, line := range commentLines(inline, texts...) {
			list = append(list, line)
		}
	}
	if !commentsTaken {
		add(false, node.HeadComment, node.LineComment)
	}
	for i, item := range node.Content {
		r.drop(node.Content[i : i+1])
		add(false, item.HeadComment)
		add(true, item.LineComment)
		v, err := r.value(item, true, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		add(false, item.FootComment)
	}
	if !commentsTaken {
		add(false, node.FootComment)
	}
	return list, nil
}
