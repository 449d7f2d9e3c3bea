package manifest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
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
func (e *ParseError) Error() string { return e.In("") }

// Unwrap returns the cause.
func (e *ParseError) Unwrap() error { return e.Err }

// In returns the text of the error for a file: "FILE:17: …", or "FILE:17 (document 2): …" behind the first document.
func (e *ParseError) In(file string) string {
	return At(file, e.Document, e.Line) + ": " + e.Err.Error()
}

// At returns a place for messages: "FILE:17", or "FILE:17 (document 2)" behind the first document. Without a file At
// returns "document 2, line 17".
func At(file string, document, line int) string {
	place := file
	switch {
	case file == "" && line == 0:
		return fmt.Sprintf("document %d", document)
	case file == "":
		return fmt.Sprintf("document %d, line %d", document, line)
	case line > 0:
		place = fmt.Sprintf("%s:%d", file, line)
	}
	if document > 1 {
		place += fmt.Sprintf(" (document %d)", document)
	}
	return place
}

// Parse returns the Kubernetes objects in YAML (any number of documents) or in one JSON value. Scalars have the meaning
// that kubectl and Flux give them (YAML 1.1: a plain yes is true); whole numbers become int64, others float64. The
// items of a List replace the List; documents without content are left out. Every error is a *ParseError: of syntax,
// duplicate keys, tags without a JSON value, objects without apiVersion, kind or name, and exceeded limits.
func Parse(data []byte) ([]*Object, error) {
	r := reader{}
	r.read(data)
	if len(r.faults) > 0 {
		return nil, r.faults[0]
	}
	var objects []*Object
	for _, o := range r.objects {
		objects = append(objects, o.Object)
	}
	return objects, nil
}

// ParseAll returns the objects that Parse would return, with their places, and the errors of all documents. After an
// error of syntax it goes on with the next line "---".
func ParseAll(data []byte) ([]Located, []*ParseError) {
	r := reader{all: true}
	r.read(data)
	return r.objects, r.faults
}

// reader reads a stream.
type reader struct {
	all     bool // go on after an error, and keep the places of objects
	objects []Located
	faults  []*ParseError
}

func (r *reader) read(data []byte) {
	if len(data) > MaxBytes {
		r.fail(&ParseError{Err: fmt.Errorf("%d bytes of manifests: more than %d", len(data), MaxBytes)})
		return
	}
	documents, err := parseJSON(data)
	if documents == nil && err == nil {
		documents = r.parseYAML(data)
	}
	if err != nil {
		r.fail(err)
	}
	for _, d := range documents {
		if r.stops() {
			return
		}
		r.add(d, d.value, d.node, 0, "")
	}
}

// fail notes an error.
func (r *reader) fail(err *ParseError) { r.faults = append(r.faults, err) }

// stops reports whether the first error ends the reading, and there is one.
func (r *reader) stops() bool { return !r.all && len(r.faults) > 0 }

// document is one value of a stream; it is not null.
type document struct {
	number, line int
	value        any
	node         *yaml.Node // nil: not kept
	offset       int        // lines in front of those that node counts
}

// add adds the object that a value holds, or the items of a List. The value is inside of as many Lists as lists says;
// within names it there.
func (r *reader) add(d document, value any, node *yaml.Node, lists int, within string) {
	o := Located{Document: d.number, node: node, line: d.line, offset: d.offset}
	refuse := func(err error) {
		r.fail(&ParseError{Document: d.number, Line: o.Line(""), Err: fmt.Errorf("%s%w", within, err)})
	}
	fields, ok := value.(map[string]any)
	if !ok {
		refuse(fmt.Errorf("a Kubernetes object is a map, this is %s", describe(value)))
		return
	}
	o.Object = &Object{Object: fields}
	if err := checkType(o.Object); err != nil {
		refuse(err)
		return
	}
	if items, ok := fields["items"].([]any); ok && strings.HasSuffix(o.GetKind(), "List") {
		if lists > 1 {
			refuse(errors.New("a List in a List in a List"))
			return
		}
		r.addItems(d, o, items, lists, within)
		return
	}
	err := checkMetadata(o.Object)
	if err == nil && len(r.objects) == MaxDocuments {
		err = fmt.Errorf("more than %d objects", MaxDocuments)
	}
	if err != nil {
		refuse(err)
		return
	}
	r.objects = append(r.objects, o)
}

// addItems adds the items of a List. Items of a typed list (ConfigMapList) may lack apiVersion and kind.
func (r *reader) addItems(d document, list Located, items []any, lists int, within string) {
	for i, item := range items {
		if r.stops() {
			return
		}
		if fields, ok := item.(map[string]any); ok && list.GetKind() != "List" && fields["kind"] == nil {
			fields["apiVersion"] = list.GetAPIVersion()
			fields["kind"] = strings.TrimSuffix(list.GetKind(), "List")
		}
		r.add(d, item, childOf(childOf(list.node, "items"), strconv.Itoa(i)), lists+1,
			fmt.Sprintf("%sitems[%d]: ", within, i))
	}
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
