package decrypt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/getsops/sops/v3"
	"go.yaml.in/yaml/v3"
	"gopkg.in/ini.v1"

	"github.com/navefleet/nave/shared/bundle"
)

// parsers read the files of each format as the stores of SOPS do. They separate the metadata from the values.
var parsers = map[bundle.Format]func([]byte) ([]document, error){
	bundle.YAML: parseYAML, bundle.JSON: parseJSON, bundle.Binary: parseJSON, bundle.Dotenv: parseDotenv,
	bundle.INI: parseINI,
}

// parse returns the documents of a file. Its errors are ErrFormat and ErrMalformed, and never quote the file.
func parse(data []byte, format bundle.Format) ([]document, error) {
	parser, ok := parsers[format]
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrFormat, format)
	}
	if err := bundle.FitsSealedFile("", data); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return parser(data)
}

// parseJSON reads a JSON file. SOPS writes a binary file as one, too.
func parseJSON(data []byte) ([]document, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	v, err := jsonValue(decoder, 0)
	if err != nil {
		if errors.Is(err, errJSON) {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		return nil, fmt.Errorf("%w: not JSON", ErrMalformed)
	}
	tree, ok := v.(sops.TreeBranch)
	if _, err := decoder.Token(); !ok || !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: not one JSON object", ErrMalformed)
	}
	doc := document{}
	for _, item := range tree {
		if item.Key != metadataKey {
			doc.tree = append(doc.tree, item)
			continue
		}
		if doc.metadata, err = nodeOf(item.Value); err != nil {
			return nil, err
		}
	}
	return []document{doc}, nil
}

// errJSON is wrapped by errors about JSON that quote no value.
var errJSON = errors.New("not JSON as SOPS writes it")

// jsonValue reads one value. Numbers are int or float64, as in SOPS.
func jsonValue(decoder *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: nested deeper than %d", errJSON, maxDepth)
	}
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		if v == '[' {
			return jsonList(decoder, depth)
		}
		return jsonBranch(decoder, depth)
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return int(i), nil
		}
		return v.Float64()
	}
	return token, nil
}

func jsonList(decoder *json.Decoder, depth int) (list []any, err error) {
	for decoder.More() {
		v, err := jsonValue(decoder, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err = decoder.Token()
	return list, err
}

func jsonBranch(decoder *json.Decoder, depth int) (branch sops.TreeBranch, err error) {
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		key, _ := token.(string)
		if seen[key] {
			return nil, fmt.Errorf("%w: key %q appears twice", errJSON, key)
		}
		seen[key] = true
		v, err := jsonValue(decoder, depth+1)
		if err != nil {
			return nil, err
		}
		branch = append(branch, sops.TreeItem{Key: key, Value: v})
	}
	_, err = decoder.Token()
	return branch, err
}

// nodeOf returns the metadata of a JSON file as a YAML node.
func nodeOf(v any) (*yaml.Node, error) {
	data, err := emitJSON(v)
	node := &yaml.Node{}
	if err == nil {
		err = yaml.Unmarshal(data, node)
	}
	if err != nil || len(node.Content) == 0 {
		return nil, fmt.Errorf("%w: the sops block is not SOPS metadata", ErrMalformed)
	}
	return node.Content[0], nil
}

const sopsPrefix = metadataKey + "_"

// parseDotenv reads a file of lines KEY=value. The keys of the metadata begin with sops_.
func parseDotenv(data []byte) ([]document, error) {
	doc := document{}
	flat := flatMetadata{}
	number := 0
	for line := range strings.SplitSeq(string(data), "\n") {
		number++
		if line == "" {
			continue
		}
		if comment, ok := strings.CutPrefix(line, "#"); ok {
			doc.tree = append(doc.tree, sops.TreeItem{Key: sops.Comment{Value: comment}})
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("%w: line %d is not KEY=value", ErrMalformed, number)
		}
		value = strings.ReplaceAll(value, `\n`, "\n")
		if name, ok := strings.CutPrefix(key, sopsPrefix); ok {
			flat.add(name, value)
			continue
		}
		doc.tree = append(doc.tree, sops.TreeItem{Key: key, Value: value})
	}
	doc.metadata = flat.node()
	return []document{doc}, nil
}

// parseINI reads a file of sections. The metadata is the section sops.
func parseINI(data []byte) (docs []document, err error) {
	defer func() {
		if recover() != nil {
			docs, err = nil, fmt.Errorf("%w: not INI", ErrMalformed)
		}
	}()
	file, err := ini.LoadSources(ini.LoadOptions{AllowNonUniqueSections: true}, data)
	if err != nil {
		return nil, fmt.Errorf("%w: not INI", ErrMalformed) // the parser's error quotes the file
	}
	doc := document{}
	flat := flatMetadata{}
	for _, section := range file.Sections() {
		if section.Name() != metadataKey {
			doc.tree = append(doc.tree, sops.TreeItem{Key: section.Name(), Value: sectionOf(section)})
			continue
		}
		for _, key := range section.Keys() {
			flat.add(key.Name(), strings.ReplaceAll(key.Value(), `\n`, "\n"))
		}
	}
	doc.metadata = flat.node()
	return []document{doc}, nil
}

// sectionOf returns the items of a section, with its comments where SOPS has them.
func sectionOf(section *ini.Section) sops.TreeBranch {
	branch := sops.TreeBranch{}
	comment := func(text string) {
		if text != "" {
			branch = append(branch, sops.TreeItem{Key: sops.Comment{Value: withoutMark(text)}})
		}
	}
	comment(section.Comment)
	for _, key := range section.Keys() {
		branch = append(branch, sops.TreeItem{Key: key.Name(), Value: key.Value()})
		comment(key.Comment)
	}
	return branch
}

// withoutMark returns a comment of an INI file without its first characters: # or ;, and spaces.
func withoutMark(comment string) string {
	if strings.HasPrefix(comment, ";") {
		return strings.TrimLeft(comment, "; ")
	}
	return strings.TrimLeft(comment, "# ")
}

// flatMetadata is the metadata of a format without nesting, in which a key holds a whole path: age__list_0__map_enc is
// the entry enc of the first element of the list age.
type flatMetadata []flatValue

type flatValue struct {
	path  []string // an index of a list begins with listMark
	value string
}

const listMark = "\x00"

func (f *flatMetadata) add(key, value string) {
	path := strings.Split(strings.ReplaceAll(key, "__list_", "__map_"+listMark), "__map_")
	*f = append(*f, flatValue{path, value})
}

// node returns the metadata as YAML has it; nil if there is none.
func (f flatMetadata) node() *yaml.Node {
	if len(f) == 0 {
		return nil
	}
	if len(f[0].path) == 0 {
		return &yaml.Node{Kind: yaml.ScalarNode, Value: f[0].value}
	}
	below := map[string]flatMetadata{}
	var keys []string
	for _, v := range f {
		if len(v.path) == 0 {
			continue // a value and a mapping in one
		}
		key := v.path[0]
		if below[key] == nil {
			keys = append(keys, key)
		}
		below[key] = append(below[key], flatValue{v.path[1:], v.value})
	}
	node := &yaml.Node{Kind: yaml.MappingNode}
	if strings.HasPrefix(keys[0], listMark) {
		node.Kind = yaml.SequenceNode
	}
	for _, key := range keys {
		if node.Kind == yaml.MappingNode {
			node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key})
		}
		node.Content = append(node.Content, below[key].node())
	}
	return node
}
