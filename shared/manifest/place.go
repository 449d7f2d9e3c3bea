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

// fieldNames matches the names in the path of a field, such as spec.dependsOn[0].name.
var fieldNames = regexp.MustCompile(`\[([^\]]*)\]|[^.\[]+`)

// Line returns the line of a field in the stream, counted from 1. If the object does not have the field, Line returns
// that of the innermost field around it which the object has.
func (l *Located) Line(field string) int {
	if l.node == nil {
		return l.line
	}
	node, line := l.node, l.node.Line
	for _, name := range fieldNames.FindAllStringSubmatch(field, -1) {
		text := name[0]
		if text[0] == '[' {
			text = name[1]
		}
		key, value := entryOf(node, text)
		if value == nil {
			break
		}
		node, line = value, key.Line
	}
	return l.offset + line
}

// ValueAt returns the value of a field of an object, and whether the object has it.
func ValueAt(o *Object, field string) (value any, ok bool) {
	value = o.Object
	for _, name := range fieldNames.FindAllStringSubmatch(field, -1) {
		text := name[0]
		if text[0] == '[' {
			text = name[1]
		}
		switch in := value.(type) {
		case map[string]any:
			value, ok = in[text]
		case []any:
			i, err := strconv.Atoi(text)
			if ok = err == nil && i >= 0 && i < len(in); ok {
				value = in[i]
			}
		default:
			ok = false
		}
		if !ok {
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
