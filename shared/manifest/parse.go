package manifest

import (
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Limits of Parse. If a stream exceeds one of them, Parse returns no object.
const (
	MaxBytes         = 64 << 20 // of a stream
	MaxDocuments     = 20_000   // of a stream; objects of a List count as documents of their own
	MaxDepth         = 256      // of maps and lists inside each other
	MaxAliasedValues = 100_000  // values of one document that come from YAML aliases, each time one is used
)

// ParseError is the error of a stream of manifests, with its place.
type ParseError struct {
	Document int // counted from 1; 0: the stream as a whole
	Line     int // counted from 1 over the whole stream; 0: not known
	Err      error
}

// Error returns "document 2, line 17: …".
func (e *ParseError) Error() string {
	switch {
	case e.Document == 0:
		return e.Err.Error()
	case e.Line == 0:
		return fmt.Sprintf("document %d: %v", e.Document, e.Err)
	}
	return fmt.Sprintf("document %d, line %d: %v", e.Document, e.Line, e.Err)
}

// Unwrap returns the cause.
func (e *ParseError) Unwrap() error { return e.Err }

// Parse returns the Kubernetes objects in YAML (any number of documents) or in one JSON value. Scalars have the meaning
// that kubectl and Flux give them (YAML 1.1: a plain yes is true); whole numbers become int64, others float64. The
// items of a List replace the List; documents without content are left out. Every error is a *ParseError: of syntax,
// duplicate keys, tags without a JSON value, objects without apiVersion, kind or name, and exceeded limits.
func Parse(data []byte) ([]*Object, error) {
	if len(data) > MaxBytes {
		return nil, &ParseError{Err: fmt.Errorf("%d bytes of manifests: more than %d", len(data), MaxBytes)}
	}
	documents, err := parseJSON(data)
	if documents == nil && err == nil {
		documents, err = parseYAML(data)
	}
	if err != nil {
		return nil, err
	}
	var objects []*Object
	for _, d := range documents {
		if objects, err = appendObjects(objects, d.value, 0); err != nil {
			return nil, &ParseError{Document: d.number, Line: d.line, Err: err}
		}
	}
	return objects, nil
}

// document is one value of a stream; it is not null.
type document struct {
	number, line int
	value        any
}

// appendObjects adds the object that a value holds, or the items of a List. The value is inside of as many Lists as
// lists says.
func appendObjects(objects []*Object, value any, lists int) ([]*Object, error) {
	fields, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("a Kubernetes object is a map, this is %s", describe(value))
	}
	o := &Object{Object: fields}
	if err := checkType(o); err != nil {
		return nil, err
	}
	if items, ok := fields["items"].([]any); ok && strings.HasSuffix(o.GetKind(), "List") {
		return appendItems(objects, o, items, lists)
	}
	if err := checkMetadata(o); err != nil {
		return nil, err
	}
	if len(objects) == MaxDocuments {
		return nil, fmt.Errorf("more than %d objects", MaxDocuments)
	}
	return append(objects, o), nil
}

// appendItems adds the items of a List. Items of a typed list (ConfigMapList) may lack apiVersion and kind.
func appendItems(objects []*Object, list *Object, items []any, lists int) (_ []*Object, err error) {
	if lists > 1 {
		return nil, errors.New("a List in a List in a List")
	}
	for i, item := range items {
		if fields, ok := item.(map[string]any); ok && list.GetKind() != "List" && fields["kind"] == nil {
			fields["apiVersion"] = list.GetAPIVersion()
			fields["kind"] = strings.TrimSuffix(list.GetKind(), "List")
		}
		if objects, err = appendObjects(objects, item, lists+1); err != nil {
			return nil, fmt.Errorf("items[%d]: %w", i, err)
		}
	}
	return objects, nil
}

// checkType returns an error unless apiVersion and kind follow their grammar.
func checkType(o *Object) error {
	for _, field := range []string{"apiVersion", "kind"} {
		switch value := o.Object[field].(type) {
		case nil:
			return fmt.Errorf("%s is missing", field)
		case string:
			if value == "" {
				return fmt.Errorf("%s is empty", field)
			}
		default:
			return fmt.Errorf("%s is %s: want a string", field, describe(value))
		}
	}
	if _, err := schema.ParseGroupVersion(o.GetAPIVersion()); err != nil {
		return fmt.Errorf("apiVersion: %w", err)
	}
	return nil
}

// checkMetadata returns an error if a field of metadata has the wrong type. The accessors of unstructured objects would
// treat such a field as missing, and setting a label would remove the others.
func checkMetadata(o *Object) error {
	metadata, ok := o.Object["metadata"].(map[string]any)
	if !ok {
		return fmt.Errorf("%s: metadata is missing", o.GetKind())
	}
	for _, field := range []string{"name", "namespace", "generateName"} {
		if _, ok := metadata[field].(string); !ok && metadata[field] != nil {
			return fmt.Errorf("%s: metadata.%s is %s: want a string (quote it)", o.GetKind(), field, describe(metadata[field]))
		}
	}
	if o.GetName() == "" {
		if o.GetGenerateName() != "" {
			return fmt.Errorf("%s: metadata.generateName makes another object each time: give it a name", o.GetKind())
		}
		return fmt.Errorf("%s: metadata.name is missing", o.GetKind())
	}
	for _, field := range []string{"labels", "annotations"} {
		if err := checkStringMap(metadata[field]); err != nil {
			return fmt.Errorf("%s %s: metadata.%s%w", o.GetKind(), o.GetName(), field, err)
		}
	}
	return nil
}

// checkStringMap returns an error unless a value is nil or a map of strings.
func checkStringMap(value any) error {
	if value == nil {
		return nil
	}
	entries, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf(" is %s: want a map of strings", describe(value))
	}
	for key, entry := range entries {
		if _, ok := entry.(string); !ok {
			return fmt.Errorf("[%q] is %s: want a string (quote it)", key, describe(entry))
		}
	}
	return nil
}

// describe returns the type of a JSON value, for messages.
func describe(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64, float64:
		return "a number"
	case []any:
		return "a list"
	case map[string]any:
		return "a map"
	}
	return fmt.Sprintf("a %T", value)
}

// IsEncrypted reports whether SOPS encrypted an object, which then has a field "sops".
func IsEncrypted(o *Object) bool {
	_, found := o.Object["sops"]
	return found
}

// IsDecryptionDisabled reports whether an object is annotated to be applied without decryption.
func IsDecryptionDisabled(o *Object) bool {
	return HasAnnotation(o.GetAnnotations(), DecryptAnnotation, Disabled)
}
