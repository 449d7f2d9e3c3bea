// Package openapi checks objects against the schemas of API servers: OpenAPI v3 documents, one for each version of an
// API group, and those of CustomResourceDefinitions. Schemas may come from an attacker's cluster, so that their size,
// their references and the time of a check are limited.
package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/pattern"
	"github.com/navefleet/nave/shared/reporting"
)

// The limits of schemas.
const (
	maxNodes = 100_000 // of one definition
	maxHops  = 16      // references that lead from one to another
)

// reference is what references to definitions begin with.
const reference = "#/components/schemas/"

// Document has the schemas of an OpenAPI v3 document. It is safe for concurrent use.
type Document struct {
	definitions map[string]json.RawMessage
	kinds       map[schema.GroupVersionKind]string // names of definitions

	mu      sync.Mutex
	decoded map[string]decoded
	rules   map[string]*rules
}

// decoded is a definition, or why it cannot be read.
type decoded struct {
	*node
	err error
}

// Parse reads an OpenAPI v3 document. It decodes only the names of kinds; a definition is decoded when it is needed.
// The error does not say which document it is.
func Parse(data []byte) (*Document, error) {
	if len(data) > reporting.MaxSchema {
		return nil, fmt.Errorf("the document has more bytes than the limit, which is %d", reporting.MaxSchema)
	}
	var file struct {
		Version    string `json:"openapi"`
		Components struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("the document is not JSON: %w", err)
	}
	if !strings.HasPrefix(file.Version, "3.") {
		return nil, fmt.Errorf("the document is not OpenAPI v3: openapi is %.16q", file.Version)
	}
	d := &Document{definitions: file.Components.Schemas, kinds: map[schema.GroupVersionKind]string{},
		decoded: map[string]decoded{}, rules: map[string]*rules{}}
	for name, definition := range d.definitions {
		var of struct {
			Kinds []schema.GroupVersionKind `json:"x-kubernetes-group-version-kind"`
		}
		// DeleteOptions and WatchEvent name every version, whether the server has it or not.
		if json.Unmarshal(definition, &of) == nil && len(of.Kinds) == 1 {
			d.kinds[of.Kinds[0]] = name
		}
	}
	return d, nil
}

// Kinds returns the kinds that the document has schemas of.
func (d *Document) Kinds() iter.Seq[schema.GroupVersionKind] { return maps.Keys(d.kinds) }

// Schema returns the schema of a kind. If there is none, Schema returns nil.
func (d *Document) Schema(kind schema.GroupVersionKind) *Schema {
	name, ok := d.kinds[kind]
	if !ok {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rules[name] == nil {
		d.rules[name] = &rules{definition: d.definitions[name]}
	}
	return &Schema{document: d, root: &node{Ref: reference + name}, rules: d.rules[name],
		ofKubernetes: strings.HasPrefix(name, "io.k8s.api.")}
}

// definition returns the definition of a name.
func (d *Document) definition(name string) (*node, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.decoded[name]; ok {
		return known.node, known.err
	}
	data, ok := d.definitions[name]
	if !ok {
		return nil, fmt.Errorf("the schema %.128q does not exist", name)
	}
	n, err := decode(data)
	if err != nil {
		n, err = nil, fmt.Errorf("the schema %.128q cannot be read: %w", name, err)
	}
	d.decoded[name] = decoded{n, err}
	return n, err
}

// decode decodes a definition. An empty one allows everything.
func decode(data []byte) (*node, error) {
	if bytes.Count(data, []byte("{")) > maxNodes {
		return nil, fmt.Errorf("it has more than %d parts", maxNodes)
	}
	n := &node{}
	err := json.Unmarshal(data, n)
	return n, err
}

// Schema is the schema of one kind. It is safe for concurrent use.
type Schema struct {
	document *Document // that references lead into
	root     *node
	rules    *rules
	// ofKubernetes: an empty text stands for a missing one, as in Kubernetes' own kinds, also if an enum does not have it.
	ofKubernetes bool
}

// node is one schema, or a part of one.
type node struct {
	Ref                  string            `json:"$ref"`
	Type                 string            `json:"type"`
	Format               string            `json:"format"`
	Properties           map[string]*node  `json:"properties"`
	AdditionalProperties *additional       `json:"additionalProperties"`
	Required             []string          `json:"required"`
	Items                *node             `json:"items"`
	Enum                 []json.RawMessage `json:"enum"`
	Pattern              string            `json:"pattern"`
	Minimum              *float64          `json:"minimum"`
	Maximum              *float64          `json:"maximum"`
	ExclusiveMinimum     bool              `json:"exclusiveMinimum"`
	ExclusiveMaximum     bool              `json:"exclusiveMaximum"`
	MinLength            *int              `json:"minLength"`
	MaxLength            *int              `json:"maxLength"`
	MinItems             *int              `json:"minItems"`
	MaxItems             *int              `json:"maxItems"`
	MinProperties        *int              `json:"minProperties"`
	MaxProperties        *int              `json:"maxProperties"`
	AllOf                []*node           `json:"allOf"`
	AnyOf                []*node           `json:"anyOf"`
	OneOf                []*node           `json:"oneOf"`
	Not                  *node             `json:"not"`
	IntOrString          bool              `json:"x-kubernetes-int-or-string"`
	PreserveUnknown      bool              `json:"x-kubernetes-preserve-unknown-fields"`
	Embedded             bool              `json:"x-kubernetes-embedded-resource"`
	Default              json.RawMessage   `json:"default"`
	listed

	once sync.Once
	prepared
}

// prepared is what is computed of a node once, when a value is first compared with it.
type prepared struct {
	types    []string // that a value may have; none: any
	enum     []any
	enumSize int            // bytes
	matcher  *regexp.Regexp // of Pattern; nil: none that can be matched
}

// prepare computes what is computed once, and returns the steps that this took.
func (n *node) prepare() (steps int) {
	n.once.Do(func() {
		n.types = n.listTypes()
		for _, item := range n.Enum {
			var value any
			if json.Unmarshal(item, &value) == nil {
				n.enum = append(n.enum, value)
			}
			n.enumSize += len(item)
		}
		n.Enum = nil
		if n.Pattern != "" {
			n.matcher, _ = pattern.Compile(n.Pattern)
			steps += patternCost * len(n.Pattern)
		}
		steps += len(n.OneOf) + len(n.AnyOf) + n.enumSize/bytesPerStep
	})
	return steps
}

// listTypes returns the types that a value may have; none: any, also if one is none of JSON.
func (n *node) listTypes() []string {
	if n.IntOrString || n.Format == "int-or-string" {
		return []string{"integer", "string"}
	}
	all := []string{n.Type}
	if n.Type == "" {
		all = nil
		for _, alternatives := range [][]*node{n.OneOf, n.AnyOf} {
			for _, a := range alternatives {
				if a == nil || a.Type == "" {
					return nil
				}
				all = append(all, a.Type)
			}
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if slices.ContainsFunc(all, func(t string) bool { return !slices.Contains(typesOfJSON, t) }) {
		return nil
	}
	return all
}

var typesOfJSON = []string{"object", "array", "string", "integer", "number", "boolean"}

// additional is the schema of the fields without a name, or whether they are allowed.
type additional struct {
	allowed bool
	schema  *node
}

// UnmarshalJSON implements json.Unmarshaler.
func (a *additional) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &a.allowed) == nil {
		return nil
	}
	a.allowed, a.schema = true, &node{}
	return json.Unmarshal(data, a.schema)
}

// wraps reports whether a node is nothing but a reference with a default. API servers write it as an allOf.
func (n *node) wraps() bool {
	return n.Ref == "" && len(n.AllOf) == 1 && n.AllOf[0] != nil && n.AllOf[0].Ref != "" && n.Type == "" &&
		n.Properties == nil
}

// resolve follows references. It returns nil if there is no definition that says anything.
func (d *Document) resolve(n *node) (*node, error) {
	for range maxHops {
		switch {
		case n == nil:
			return nil, nil
		case n.wraps():
			n = n.AllOf[0]
		case n.Ref == "":
			return n, nil
		}
		name, ok := strings.CutPrefix(n.Ref, reference)
		if !ok || d == nil {
			return nil, fmt.Errorf("the reference %.128q does not lead to a schema of the document", n.Ref)
		}
		var err error
		if n, err = d.definition(name); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("more than %d references lead from one to another", maxHops)
}
