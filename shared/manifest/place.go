package manifest

import (
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Located is an object of a stream, with its place.
type Located struct {
	*Object
	Document int // counted from 1

	node   *yaml.Node // nil: its lines are not known, but for the first
	line   int        // of the document
	offset int
}

// fieldNames matches the names and indexes in the path of a field.
var fieldNames = regexp.MustCompile(`\[([^\]]*)\]|[^.\[]+`)

// Line returns the line of a field in the stream, counted from 1. If the object does not have the field, Line returns
// that of the innermost field around it which the object has.
func (l *Located) Line(field string) int {
	if l.node == nil {
		return l.line
	}
	node, line := l.node, l.node.Line
	for _, name := range FieldNames(field) {
		key, value := entryOf(node, name)
		if value == nil {
			break
		}
		node, line = value, key.Line
	}
	return l.offset + line
}

// FieldNames returns the names and indexes in the path of a field, such as spec.dependsOn[0].name.
func FieldNames(field string) (names []string) {
	for _, match := range fieldNames.FindAllStringSubmatch(field, -1) {
		name := match[0]
		if name[0] == '[' {
			name = match[1]
		}
		names = append(names, name)
	}
	return names
}

// ValueAt returns the value at a path of names and indexes, and whether there is one.
func ValueAt(value any, path []string) (any, bool) {
	for _, segment := range path {
		switch v := value.(type) {
		case map[string]any:
			next, ok := v[segment]
			if !ok {
				return nil, false
			}
			value = next
		case []any:
			at, err := strconv.Atoi(segment)
			if err != nil || at < 0 || at >= len(v) {
				return nil, false
			}
			value = v[at]
		default:
			return nil, false
		}
	}
	return value, true
}

// entryOf returns the nodes of the key and the value of a name in a map, or twice the node of an item of a list.
func entryOf(node *yaml.Node, name string) (key, value *yaml.Node) {
	if node != nil && node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch {
	case node == nil:
	case node.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == name {
				return node.Content[i], node.Content[i+1]
			}
		}
	case node.Kind == yaml.SequenceNode:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(node.Content) {
			return node.Content[i], node.Content[i]
		}
	}
	return nil, nil
}

func childOf(node *yaml.Node, name string) *yaml.Node {
	_, value := entryOf(node, name)
	return value
}
