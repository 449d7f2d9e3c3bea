package decrypt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/getsops/sops/v3"
	"go.yaml.in/yaml/v3"

	"github.com/navefleet/nave/shared/bundle"
)

const (
	maxDocuments = 1000
	maxDepth     = 200
)

// ErrMalformed reports that a file is not a YAML file as SOPS writes it.
var ErrMalformed = errors.New("malformed SOPS file")

// document is one YAML document and the metadata found in it.
type document struct {
	tree     sops.TreeBranch
	metadata *yaml.Node
}

func parseYAML(data []byte) ([]document, error) {
	if err := bundle.FitsSealedFile("", data); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
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
		docs = append(docs, doc)
	}
}

func parseDocument(node *yaml.Node) (document, error) {
	var p parser
	p.comments(node.HeadComment, node.LineComment)
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
	p.comments(node.FootComment)
	return document{tree: p.out, metadata: p.metadata}, nil
}

// parser builds one branch. Comments go where SOPS puts them: before the item that they stand above or beside, in the
// branch of their node, unless the parent has taken them.
type parser struct {
	out      sops.TreeBranch
	metadata *yaml.Node
}

func (p *parser) comments(texts ...string) {
	for _, line := range commentLines(texts...) {
		p.out = append(p.out, sops.TreeItem{Key: line})
	}
}

// commentLines returns comments without their "#". SOPS keeps them in the tree and encrypts them too.
func commentLines(texts ...string) []sops.Comment {
	var lines []sops.Comment
	for _, text := range texts {
		for line := range strings.SplitSeq(text, "\n") {
			if line != "" {
				lines = append(lines, sops.Comment{Value: line[1:]})
			}
		}
	}
	return lines
}

func (p *parser) mapping(node *yaml.Node, commentsTaken bool, depth int) error {
	if !commentsTaken {
		p.comments(node.HeadComment, node.LineComment)
	}
	seen := make(map[string]bool, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		node.Content[i], node.Content[i+1] = nil, nil // nodes that were read need not stay in memory
		if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" {
			return fmt.Errorf("line %d: a key is not a string", key.Line)
		}
		if seen[key.Value] {
			return fmt.Errorf("line %d: key %q appears twice", key.Line, key.Value)
		}
		seen[key.Value] = true
		if depth == 0 && key.Value == metadataKey {
			p.metadata = value
			p.comments(key.HeadComment, key.LineComment, key.FootComment)
			continue
		}
		if err := p.pair(key, value, depth); err != nil {
			return err
		}
	}
	if !commentsTaken {
		p.comments(node.FootComment)
	}
	return nil
}

func (p *parser) pair(key, value *yaml.Node, depth int) error {
	scalar := value.Kind == yaml.ScalarNode
	p.comments(key.HeadComment, key.LineComment)
	if scalar {
		p.comments(value.HeadComment, value.LineComment)
	}
	v, err := parseValue(value, scalar, depth+1)
	if err != nil {
		return err
	}
	p.out = append(p.out, sops.TreeItem{Key: key.Value, Value: v})
	if scalar {
		p.comments(value.FootComment)
	}
	p.comments(key.FootComment)
	return nil
}

func parseValue(node *yaml.Node, commentsTaken bool, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("line %d: nested deeper than %d", node.Line, maxDepth)
	}
	switch node.Kind {
	case yaml.MappingNode:
		var p parser
		err := p.mapping(node, commentsTaken, depth)
		return p.out, err
	case yaml.SequenceNode:
		return parseList(node, commentsTaken, depth)
	case yaml.ScalarNode:
		return parseScalar(node)
	}
	// SOPS writes none, and they could make a small file a very large tree.
	return nil, fmt.Errorf("line %d: an alias", node.Line)
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

func parseList(node *yaml.Node, commentsTaken bool, depth int) ([]any, error) {
	var list []any
	add := func(texts ...string) {
		for _, line := range commentLines(texts...) {
			list = append(list, line)
		}
	}
	if !commentsTaken {
		add(node.HeadComment, node.LineComment)
	}
	for i, item := range node.Content {
		node.Content[i] = nil // as in mapping
		add(item.HeadComment, item.LineComment)
		v, err := parseValue(item, true, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		add(item.FootComment)
	}
	if !commentsTaken {
		add(node.FootComment)
	}
	return list, nil
}
