package helm

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/manifest"
)

// separators end a document. Helm 3 takes the empty lines before a separator for a part of it, and so drops the last
// line break of a text in the document.
var separators = map[Compat]*regexp.Regexp{
	Helm3: regexp.MustCompile(`(?:^|\s*\n)---\s*`),
	Helm4: regexp.MustCompile(`(?m)^---[ \t]*`),
}

// split returns the documents of a text. Documents of white space are left out.
func split(text string, compat Compat) (documents []string) {
	trim := strings.TrimSpace
	if compat != Helm3 {
		compat = Helm4
		trim = func(s string) string { return strings.TrimLeftFunc(s, unicode.IsSpace) }
	}
	for _, d := range separators[compat].Split(trim(text), -1) {
		if strings.TrimSpace(d) != "" {
			documents = append(documents, trim(d))
		}
	}
	return documents
}

// document is one object of a template.
type document struct {
	path   string // of the template
	object *manifest.Object
}

// parseTexts returns the objects of rendered templates, sorted by path and in the order of each text.
func parseTexts(texts map[string]string, compat Compat) (found []document, err error) {
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if strings.HasPrefix(path.Base(name), "_") {
			continue
		}
		for i, text := range split(texts[name], compat) {
			o, err := parseObject(text)
			if err != nil {
				return nil, fmt.Errorf("%s: document %d: %w", name, i+1, err)
			}
			if o != nil {
				found = append(found, document{name, o})
			}
		}
	}
	return found, nil
}

// parseObject returns the object of one document. If the document has only comments, parseObject returns nil. As for
// Helm, the last of two equal keys counts.
func parseObject(text string) (*manifest.Object, error) {
	data, err := yaml.YAMLToJSON([]byte(text + "\n"))
	if err != nil {
		return nil, err
	}
	var value any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &value); err != nil {
		return nil, err
	}
	if value == nil {
		return nil, nil
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("want a map with apiVersion, kind and metadata, not %.40q", text)
	}
	return &manifest.Object{Object: fields}, nil
}

// flatten returns the objects of documents, with the items of lists in place of the lists.
func flatten(documents []document) (objects []*manifest.Object, err error) {
	for _, d := range documents {
		items, isList := d.object.Object["items"].([]any)
		if !isList {
			if err := checkObject(d.object); err != nil {
				return nil, fmt.Errorf("%s: %w", d.path, err)
			}
			objects = append(objects, d.object)
			continue
		}
		var inside []document
		for i, item := range items {
			fields, ok := item.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("%s: %s: items[%d]: want an object", d.path, d.object.GetKind(), i)
			}
			inside = append(inside, document{d.path, &manifest.Object{Object: fields}})
		}
		more, err := flatten(inside)
		if err != nil {
			return nil, err
		}
		objects = append(objects, more...)
	}
	return objects, nil
}

// checkObject refuses an object without a type or a name, and metadata of another type than the API server reads.
func checkObject(o *manifest.Object) error {
	text := func(fields map[string]any, name string) string {
		s, _ := fields[name].(string)
		return s
	}
	metadata, _ := o.Object["metadata"].(map[string]any)
	switch kind := text(o.Object, "kind"); {
	case text(o.Object, "apiVersion") == "" || kind == "":
		return fmt.Errorf("apiVersion or kind is missing: %w", render.ErrIncomplete)
	case text(metadata, "name") == "" && text(metadata, "generateName") == "":
		return fmt.Errorf("%s: metadata.name is missing, or not a text: %w", kind, render.ErrIncomplete)
	}
	for _, field := range []string{"labels", "annotations"} {
		if _, err := textsOf(metadata, field); err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

// textsOf returns the labels or the annotations in metadata.
func textsOf(metadata map[string]any, field string) (map[string]string, error) {
	if metadata[field] == nil {
		return nil, nil
	}
	values, ok := metadata[field].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("metadata.%s: want a map", field)
	}
	texts := make(map[string]string, len(values))
	for key, value := range values {
		text, ok := value.(string)
		if !ok && value != nil {
			return nil, fmt.Errorf("metadata.%s.%s: want a text, not %v: put it in quotes", field, key, value)
		}
		texts[key] = text
	}
	return texts, nil
}
