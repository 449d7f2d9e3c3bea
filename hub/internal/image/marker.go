package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// marked is a line with a marker: the scalar before it and the setter in it, or why there is none.
type marked struct {
	value
	line   int
	setter string
	err    error
}

// value is a scalar or alias in a file.
type value struct {
	node       *yaml.Node
	object     *yaml.Node // that the scalar belongs to
	key        bool       // of a map, or the document itself
	start, end int        // in the content, without its tag and its anchor
}

// Errors of markers without a scalar.
var (
	errNoValue = errors.New("no value is before the marker on its line: put the marker behind a value, as a comment")
	errText    = errors.New("the marker is inside of a text: only values of the file itself are set, not those of a " +
		"file in a text")
	errKey        = errors.New("the marker is behind a key: put it behind the value")
	errCollection = errors.New("the marker is behind a list or map: put it behind a value in it, on the line of the value")
	errBlock      = errors.New("the marked value is a block scalar: write it on one line, without | or >")
	errAlias      = errors.New("the marked value is an alias: put the marker behind the value of its anchor")
	errMalformed  = errors.New(`the marker is malformed: want # {"$imagepolicy": "namespace:name"} and nothing else in the ` +
		"comment")
)

// marked returns all lines with markers in their order, without those that are commented out.
func (f *file) marked() (all []marked) {
	lines := linesOf(f.content)
	tokens := map[int]int{} // offset of the token by line
	for i, l := range lines {
		text := f.content[l.start:l.end]
		if at := bytes.Index(text, []byte(token)); at >= 0 && !isCommentedOut(text) {
			tokens[i+1] = l.start + at
		}
	}
	values := valuesOf(f.documents, func(line int) bool { _, ok := tokens[line]; return ok })
	for i, l := range lines {
		at, ok := tokens[i+1]
		if !ok {
			continue
		}
		m := marked{line: i + 1}
		m.value, m.err = f.before(l, at, values[i+1])
		if m.err == nil {
			m.setter, m.err = f.comment(m.end, l.end)
		}
		all = append(all, m)
	}
	return all
}

// isCommentedOut reports whether a line is a comment with more than a marker in it: a value that is not used now.
func isCommentedOut(line []byte) bool {
	text := bytes.TrimLeft(line, " \t")
	inside := bytes.TrimLeft(text, "# \t")
	return bytes.HasPrefix(text, []byte("#")) && !bytes.HasPrefix(inside, []byte("{"))
}

// valuesOf returns the scalars and aliases that start on some lines, by line.
func valuesOf(documents []*yaml.Node, wanted func(line int) bool) map[int][]value {
	found := map[int][]value{}
	var walk func(node, object *yaml.Node, key bool)
	walk = func(node, object *yaml.Node, key bool) {
		empty := node.Value == "" && node.Style&^yaml.TaggedStyle == 0
		if (node.Kind == yaml.ScalarNode && !empty || node.Kind == yaml.AliasNode) && wanted(node.Line) {
			found[node.Line] = append(found[node.Line], value{node: node, object: object, key: key})
		}
		items := itemsOf(node)
		for i, child := range node.Content {
			switch {
			case items != nil && child == items:
				for _, item := range items.Content {
					walk(item, item, false)
				}
			default:
				walk(child, object, node.Kind == yaml.MappingNode && i%2 == 0)
			}
		}
	}
	for _, d := range documents {
		if top := root(d); top != nil {
			walk(top, top, true)
		}
	}
	return found
}

// before returns the value that a marker at an offset is for. values are those that start on the line, in their order.
func (f *file) before(l line, marker int, values []value) (value, error) {
	found := value{start: -1}
	at, column := l.start, 1
	for _, v := range values {
		for ; column < v.node.Column && at < l.end; column++ {
			_, size := utf8.DecodeRune(f.content[at:l.end])
			at += size
		}
		if at >= marker {
			break
		}
		found, found.start = v, at
	}
	if found.start < 0 {
		return value{}, errNoValue
	}
	if found.node.Kind == yaml.AliasNode {
		found.end = found.start + len("*") + len(found.node.Value)
	} else if err := f.span(&found, l.end); err != nil {
		return value{}, err
	}
	if found.end > marker {
		return value{}, errText
	}
	return found, f.between(found, l.end)
}

// between returns the error if a comment behind a value is not for the value.
func (f *file) between(v value, end int) error {
	rest := bytes.TrimLeft(f.content[v.end:end], " \t")
	if after, ok := bytes.CutPrefix(rest, []byte(",")); ok {
		rest = bytes.TrimLeft(after, " \t")
	}
	switch {
	case v.key || bytes.HasPrefix(rest, []byte(":")):
		return errKey
	case bytes.HasPrefix(rest, []byte("]")) || bytes.HasPrefix(rest, []byte("}")):
		return errCollection
	case !bytes.HasPrefix(rest, []byte("#")):
		return errNoValue
	case v.node.Kind == yaml.AliasNode:
		return errAlias
	}
	return nil
}

// span finds where a scalar begins, behind its tag and anchor, and ends, on its line.
func (f *file) span(v *value, end int) error {
	text := f.content[v.start:end]
	for len(text) > 0 && (text[0] == '&' || text[0] == '!') {
		blank := bytes.IndexAny(text, " \t")
		if blank < 0 {
			return errNoValue
		}
		text = bytes.TrimLeft(text[blank:], " \t")
	}
	v.start = end - len(text)
	length := -1
	switch {
	case v.node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return errBlock
	case v.node.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		length = quoted(text)
	case bytes.HasPrefix(text, []byte(v.node.Value)):
		length = len(v.node.Value)
	}
	if length < 0 {
		return errText
	}
	v.end = v.start + length
	return nil
}

// quoted returns the length of the quoted scalar at the beginning of a line, or -1 if it does not end on the line.
func quoted(text []byte) int {
	if len(text) == 0 || text[0] != '"' && text[0] != '\'' {
		return -1
	}
	for i := 1; i < len(text); i++ {
		switch {
		case text[0] == '"' && text[i] == '\\':
			i++
		case text[i] != text[0]:
		case text[0] == '\'' && i+1 < len(text) && text[i+1] == '\'':
			i++
		default:
			return i + 1
		}
	}
	return -1
}

// comment returns the setter in the comment behind a value.
func (f *file) comment(start, end int) (string, error) {
	rest := f.content[start:end]
	text := bytes.TrimLeft(rest[bytes.IndexByte(rest, '#'):], "#")
	var fields map[string]string
	if err := json.Unmarshal(text, &fields); err != nil || fields["$imagepolicy"] == "" {
		return "", errMalformed
	}
	return fields["$imagepolicy"], nil
}

// line is a line in the content, without its line break.
type line struct{ start, end int }

// linesOf returns the lines of the content as the parser counts them (YAML 1.1 has more line breaks than LF), without
// a byte order mark.
func linesOf(content []byte) (lines []line) {
	start := 0
	if bytes.HasPrefix(content, []byte("\ufeff")) {
		start = len("\ufeff")
	}
	for at := start; at < len(content); {
		size := breakAt(content[at:])
		if size == 0 {
			at++
			continue
		}
		lines = append(lines, line{start, at})
		at += size
		start = at
	}
	return append(lines, line{start, len(content)})
}

// splitLines returns the lines of linesOf with their line breaks, and a byte order mark in the first one.
func splitLines(content []byte) []string {
	lines := linesOf(content)
	split := make([]string, len(lines))
	start := 0
	for i := range lines {
		end := len(content)
		if i+1 < len(lines) {
			end = lines[i+1].start
		}
		split[i], start = string(content[start:end]), end
	}
	return split
}

// breakAt returns the size of the line break at the beginning of a text, 0 if there is none.
func breakAt(text []byte) int {
	switch text[0] {
	case '\n':
		return 1
	case '\r':
		if len(text) > 1 && text[1] == '\n' {
			return 2
		}
		return 1
	case 0xc2, 0xe2:
		for _, b := range []string{"\u0085", "\u2028", "\u2029"} {
			if bytes.HasPrefix(text, []byte(b)) {
				return len(b)
			}
		}
	}
	return 0
}
