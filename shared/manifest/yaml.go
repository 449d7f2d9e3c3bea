package manifest

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// parseYAML reads a stream of YAML documents.
func (r *reader) parseYAML(data []byte) []document {
	documents, failed := r.parseDocuments(data)
	if failed == nil {
		return documents
	}
	if !r.all {
		r.fail(failed)
		return nil
	}
	r.faults = nil
	return r.parseEach(data)
}

// parseDocuments reads a stream of YAML documents up to an error of its syntax, which it returns.
func (r *reader) parseDocuments(data []byte) (documents []document, failed *ParseError) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for number := 1; !r.stops(); number++ {
		node, err := nextNode(decoder)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && number > MaxDocuments {
			r.fail(&ParseError{Err: fmt.Errorf("more than %d documents", MaxDocuments)})
			break
		}
		if err != nil {
			return documents, syntaxError(number, err, 1+bytes.Count(bytes.TrimSuffix(data, []byte("\n")), []byte("\n")))
		}
		value, fault := (&composer{}).document(node)
		if at := (*ParseError)(nil); errors.As(fault, &at) {
			at.Document = number
			r.fail(at)
		} else if value != nil {
			documents = append(documents, r.documentOf(number, node, value))
		}
	}
	return documents, nil
}

// documentOf returns the document of a node.
func (r *reader) documentOf(number int, node *yaml.Node, value any) document {
	d := document{number: number, line: contentLine(node), value: value}
	if r.all {
		d.node = node.Content[0]
	}
	return d
}

// parseEach reads the documents of a stream one by one, so that an error in one does not hide the others.
func (r *reader) parseEach(data []byte) (documents []document) {
	number, offset := 0, 0
	for _, part := range bytes.SplitAfter(data, []byte("\n---")) {
		text, _ := bytes.CutSuffix(part, []byte("---"))
		if number > 0 || !isBlank(text) {
			number++
		}
		before := len(r.faults)
		found, failed := r.parseDocuments(text)
		if failed != nil {
			r.fail(failed)
		}
		for _, d := range found {
			d.number, d.line, d.offset = number, d.line+offset, offset
			documents = append(documents, d)
		}
		for _, fault := range r.faults[before:] {
			fault.Document = number
			if fault.Line > 0 {
				fault.Line += offset
			}
		}
		offset += bytes.Count(part, []byte("\n"))
	}
	return documents
}

// isBlank reports whether a text has nothing but comments and directives, and so is no document.
func isBlank(text []byte) bool {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' && line[0] != '%' {
			return false
		}
	}
	return true
}

// nextNode reads one document. The YAML module panics on some malformed streams ("internal error … please report").
func nextNode(decoder *yaml.Decoder) (node *yaml.Node, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("malformed YAML: %v", cause)
		}
	}()
	node = new(yaml.Node)
	return node, decoder.Decode(node)
}

// contentLine returns the line in which the content of a document begins.
func contentLine(node *yaml.Node) int {
	if len(node.Content) > 0 {
		return node.Content[0].Line
	}
	return node.Line
}

// parserErrors are the messages of the YAML module whose lines count from 0. The lines of its scanner count from 1.
var parserErrors = []string{
	"did not find expected key", "did not find expected '-' indicator", "did not find expected node content",
	"did not find expected ',' or ']'", "did not find expected ',' or '}'", "did not find expected <document start>",
}

// syntaxError returns the *ParseError of an error of the YAML module, whose text has the line: "yaml: line 3: …". The
// stream has the given number of lines.
func syntaxError(number int, err error, lines int) *ParseError {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	parsed := &ParseError{Document: number, Err: errors.New(text)}
	rest, ok := strings.CutPrefix(text, "line ")
	if !ok {
		return parsed
	}
	digits, message, ok := strings.Cut(rest, ": ")
	if line, err := strconv.Atoi(digits); ok && err == nil {
		if slices.Contains(parserErrors, message) {
			line = min(line+1, lines)
		}
		parsed.Line, parsed.Err = line, errors.New(message)
	}
	return parsed
}

// at returns a *ParseError with the line of a node.
func at(node *yaml.Node, format string, args ...any) error {
	return &ParseError{Line: node.Line, Err: fmt.Errorf(format, args...)}
}

// composer turns the nodes of one document into JSON values. All its errors are from at.
type composer struct {
	depth   int
	aliases int // aliases that are open now
	aliased int // values made from aliases so far
}

func (c *composer) document(node *yaml.Node) (any, error) {
	if node.Kind != yaml.DocumentNode {
		return c.value(node)
	}
	if len(node.Content) == 0 {
		return nil, nil
	}
	return c.value(node.Content[0])
}

// value returns the JSON value of a node.
func (c *composer) value(node *yaml.Node) (any, error) {
	if c.aliases > 0 {
		if c.aliased++; c.aliased > MaxAliasedValues {
			return nil, at(node, "aliases expand to more than %d values", MaxAliasedValues)
		}
	}
	if node.Kind == yaml.ScalarNode {
		return scalar(node)
	}
	if c.depth++; c.depth > MaxDepth {
		return nil, at(node, "%w", errDepth)
	}
	defer func() { c.depth-- }()
	switch node.Kind {
	case yaml.MappingNode:
		return c.mapping(node)
	case yaml.SequenceNode:
		return c.sequence(node)
	case yaml.AliasNode:
		// An anchor inside of what it names would never end; it ends at the limit of depth.
		c.aliases++
		defer func() { c.aliases-- }()
		return c.value(node.Alias)
	}
	return nil, at(node, "a YAML node of an unknown kind")
}

func (c *composer) sequence(node *yaml.Node) (any, error) {
	if tag := node.ShortTag(); tag != "!!seq" {
		return nil, at(node, "tag %s has no meaning in a Kubernetes object", tag)
	}
	list := make([]any, 0, len(node.Content))
	for _, item := range node.Content {
		value, err := c.value(item)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	return list, nil
}

func (c *composer) mapping(node *yaml.Node) (any, error) {
	if tag := node.ShortTag(); tag != "!!map" {
		return nil, at(node, "tag %s has no meaning in a Kubernetes object", tag)
	}
	fields := make(map[string]any, len(node.Content)/2)
	var merges []*yaml.Node
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].ShortTag() == "!!merge" {
			merges = append(merges, node.Content[i+1])
			continue
		}
		name, err := key(node.Content[i])
		if err != nil {
			return nil, err
		}
		if _, duplicate := fields[name]; duplicate {
			return nil, at(node.Content[i], "duplicate key %q", name)
		}
		if fields[name], err = c.value(node.Content[i+1]); err != nil {
			return nil, err
		}
	}
	return fields, c.merge(fields, merges)
}

// merge adds the fields that YAML merge keys (<<) name, in a map or a list of maps. The map's own fields win, then
// those of the first map.
func (c *composer) merge(fields map[string]any, merges []*yaml.Node) error {
	if len(merges) > 1 {
		return at(merges[1], "duplicate key %q", "<<")
	}
	for _, node := range merges {
		value, err := c.value(node)
		if err != nil {
			return err
		}
		sources, isList := value.([]any)
		if !isList {
			sources = []any{value}
		}
		for _, source := range sources {
			merged, ok := source.(map[string]any)
			if !ok {
				return at(node, "the merge key << takes a map or a list of maps")
			}
			for name, v := range merged {
				if _, own := fields[name]; !own {
					fields[name] = v
				}
			}
		}
	}
	return nil
}

// key returns the name of a field: a string as it is, another scalar as JSON writes it.
func key(node *yaml.Node) (string, error) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.ScalarNode {
		return "", at(node, "a key is a scalar, not a map or a list")
	}
	value, err := scalar(node)
	if err != nil {
		return "", err
	}
	switch value := value.(type) {
	case string:
		return value, nil
	case bool:
		return strconv.FormatBool(value), nil
	case int64:
		return strconv.FormatInt(value, 10), nil
	case float64:
		return strconv.FormatFloat(value, 'g', -1, 64), nil
	}
	return "", at(node, "a key cannot be null")
}

// scalar returns the JSON value of a scalar.
func scalar(node *yaml.Node) (any, error) {
	switch tag := node.ShortTag(); tag {
	case "!!str":
		return text(node), nil
	case "!!timestamp", "!!merge":
		return node.Value, nil // JSON has no timestamps: the text stays
	case "!!null":
		return nil, nil
	case "!!bool", "!!int", "!!float":
		return plain(node)
	case "!!binary":
		return binary(node)
	default:
		return nil, at(node, "tag %s has no meaning in a Kubernetes object", tag)
	}
}

// text returns a string, or the boolean that a plain word is in YAML 1.1, which kubectl and Flux read.
func text(node *yaml.Node) any {
	if node.Style == 0 {
		switch node.Value {
		case "y", "Y", "yes", "Yes", "YES", "on", "On", "ON":
			return true
		case "n", "N", "no", "No", "NO", "off", "Off", "OFF":
			return false
		}
	}
	return node.Value
}

// plain returns a boolean or a number.
func plain(node *yaml.Node) (any, error) {
	if n, err := strconv.ParseInt(node.Value, 10, 64); err == nil && (node.Value[0] != '0' || n == 0) &&
		node.Tag == "!!int" {
		return n, nil // the usual case, without reflection
	}
	var value any
	if err := node.Decode(&value); err != nil {
		return nil, at(node, "%q is no %s", node.Value, strings.TrimPrefix(node.ShortTag(), "!!"))
	}
	switch value := value.(type) {
	case bool:
		return value, nil
	case int:
		return int64(value), nil
	case int64:
		return value, nil
	case uint64:
		return float64(value), nil // as encoding/json does, for want of a type
	case float64:
		return number(node, value)
	}
	return nil, at(node, "%q is not a JSON value", node.Value)
}

// number returns a whole number as int64, however it is written: in JSON, and so in a digest, 1.0 and 1 are equal.
func number(node *yaml.Node, f float64) (any, error) {
	const exact = 1 << 53
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return nil, at(node, "%s is not a JSON number", node.Value)
	case f == math.Trunc(f) && math.Abs(f) < exact:
		return int64(f), nil
	}
	return f, nil
}

// binary returns the string that !!binary encodes.
func binary(node *yaml.Node) (any, error) {
	decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(node.Value), ""))
	if err != nil {
		return nil, at(node, "!!binary: %w", err)
	}
	if !utf8.Valid(decoded) {
		return nil, at(node, "!!binary that is no text: write it as base64 into a string field")
	}
	return string(decoded), nil
}
