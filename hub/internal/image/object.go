package image

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// Object identifies a Kubernetes object in a file. Fields that the file does not have are empty.
type Object struct{ APIVersion, Kind, Namespace, Name string }

// root returns the top of a document; nil if it is empty.
func root(document *yaml.Node) *yaml.Node {
	if document.Kind != yaml.DocumentNode || len(document.Content) == 0 {
		return nil
	}
	return document.Content[0]
}

// field returns the value of a field of a map; nil if there is none.
func field(node *yaml.Node, name string) *yaml.Node {
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i+1]
		}
	}
	return nil
}

// textOf returns the scalar of a field of a map; "" if there is none.
func textOf(node *yaml.Node, name string) string {
	if value := field(node, name); value != nil && value.Kind == yaml.ScalarNode {
		return value.Value
	}
	return ""
}

// objectOf returns the identity of an object.
func objectOf(node *yaml.Node) Object {
	metadata := field(node, "metadata")
	return Object{textOf(node, "apiVersion"), textOf(node, "kind"), textOf(metadata, "namespace"),
		textOf(metadata, "name")}
}

// itemsOf returns the list of objects of an object such as a List; nil if it is none.
func itemsOf(object *yaml.Node) *yaml.Node {
	items := field(object, "items")
	if items == nil || items.Kind != yaml.SequenceNode || !strings.HasSuffix(textOf(object, "kind"), "List") {
		return nil
	}
	return items
}
