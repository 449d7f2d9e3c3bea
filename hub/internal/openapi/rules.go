package openapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"

	"github.com/navefleet/nave/shared/telemetry"
)

// The limits of the rules of one kind: compiling them cannot be stopped.
const (
	maxRules     = 1_000
	maxRuleBytes = 256 << 10
	maxRuleWork  = 2_000_000 // rules times parts of the schema
	maxRuleShown = 256       // bytes of a message of a schema
)

// rulesKey is the field of a schema that has rules in CEL.
const rulesKey = "x-kubernetes-validations"

// brokenReason is the reason of all rules that are checked here. Broken ones give errors of the type Forbidden, and no
// other errors have this type.
const brokenReason = "FieldValueForbidden"

// transition matches a rule that compares with the object in the cluster.
var transition = regexp.MustCompile(`\boldSelf\b`)

// rules are the rules in CEL of one kind, compiled by the code of API servers when they are needed.
type rules struct {
	definition json.RawMessage

	once      sync.Once
	structure *structural.Structural
	validator *cel.Validator // nil: no rule can be checked here
	checked   int            // rules that can be checked here
	unchecked int            // rules that only the cluster can check
}

// CheckRules returns the rules (x-kubernetes-validations) that an object breaks; at most 20. The object must have
// passed Check. unchecked is the number of rules of the kind that only the API server can check: those that compare
// with the object in the cluster, those that this version of nave cannot compile, and all if there are too many or the
// object has texts that unknown reports. The error is that of ctx, or of an object that is not JSON.
func (s *Schema) CheckRules(ctx context.Context, kind string, object map[string]any,
	unknown func(text string) bool) (broken []Problem, unchecked int, err error) {
	r := s.rules
	r.once.Do(r.compile)
	if r.validator == nil || hasText(object, unknown) {
		return nil, r.unchecked + r.checked, nil
	}
	var value map[string]any
	data, err := json.Marshal(object)
	if err == nil {
		err = utiljson.Unmarshal(data, &value) // which keeps integers whole
	}
	if err != nil {
		return nil, 0, err
	}
	delete(value, "status") // which an apply does not set
	defaulting.PruneNonNullableNullsWithoutDefaults(value, r.structure)
	defaulting.Default(value, r.structure)
	found, _ := r.validator.Validate(ctx, field.NewPath(kind), r.structure, value, nil, celconfig.RuntimeCELCostBudget)
	if ctx.Err() != nil {
		return nil, 0, context.Cause(ctx)
	}
	unchecked = r.unchecked
	for _, e := range found {
		switch {
		case isUncompiled(e):
			unchecked++
		case len(broken) < maxProblems:
			broken = append(broken, Problem{belowKind(e.Field, kind), fmt.Sprintf("%s breaks a rule of its schema: %s",
				telemetry.Line(e.Field, maxRuleShown), telemetry.Line(e.Detail, maxRuleShown))})
		}
	}
	return broken, unchecked, nil
}

// isUncompiled reports whether an error says that a rule could not be compiled, and not that the object breaks it. All
// rules that are kept have brokenReason, so what a rule says about an object is never mistaken for such an error.
func isUncompiled(e *field.Error) bool {
	return e.Type != field.ErrorTypeForbidden && (strings.HasPrefix(e.Detail, "rule compile error: ") ||
		strings.HasPrefix(e.Detail, "rule compiler initialization error: "))
}

// compile compiles the rules, unless there are too many.
func (r *rules) compile() {
	if !bytes.Contains(r.definition, []byte(rulesKey)) {
		return
	}
	var tree map[string]any
	if json.Unmarshal(r.definition, &tree) != nil {
		return // as Check says
	}
	size := 0
	r.prepare(tree, &size)
	fields, _ := tree["properties"].(map[string]any)
	if fields == nil {
		fields = map[string]any{}
	}
	tree["type"], tree["properties"] = "object", fields
	fields["apiVersion"], fields["kind"] = map[string]any{"type": "string"}, map[string]any{"type": "string"}
	fields["metadata"] = map[string]any{"type": "object"}
	work := r.checked * bytes.Count(r.definition, []byte("{"))
	if r.checked > 0 && r.checked <= maxRules && size <= maxRuleBytes && work <= maxRuleWork {
		if structure, err := structureOf(tree); err == nil {
			r.structure, r.validator = structure, cel.NewValidator(structure, true, celconfig.PerCallLimit)
		}
	}
}

// prepare removes the rules that cannot be checked here from a schema, and counts rules and their bytes. References,
// which are those of metadata, become objects with any fields.
func (r *rules) prepare(schema map[string]any, size *int) {
	if isReference(schema) {
		clear(schema)
		schema["type"], schema["x-kubernetes-preserve-unknown-fields"] = "object", true
		return
	}
	if list, ok := schema[rulesKey].([]any); ok {
		schema[rulesKey] = r.keep(list, size)
	}
	for _, name := range []string{"items", "additionalProperties", "not"} {
		if part, ok := schema[name].(map[string]any); ok {
			r.prepare(part, size)
		}
	}
	for _, name := range []string{"allOf", "anyOf", "oneOf"} {
		list, _ := schema[name].([]any)
		for _, part := range list {
			if part, ok := part.(map[string]any); ok {
				r.prepare(part, size)
			}
		}
	}
	fields, _ := schema["properties"].(map[string]any)
	for _, part := range fields {
		if part, ok := part.(map[string]any); ok {
			r.prepare(part, size)
		}
	}
}

// isReference reports whether a schema is nothing but a reference, maybe with a default.
func isReference(schema map[string]any) bool {
	if _, ok := schema["$ref"].(string); ok {
		return true
	}
	all, _ := schema["allOf"].([]any)
	if len(all) != 1 || schema["type"] != nil {
		return false
	}
	only, _ := all[0].(map[string]any)
	_, ok := only["$ref"].(string)
	return ok
}

// keep returns the rules that can be checked here.
func (r *rules) keep(list []any, size *int) (kept []any) {
	for _, item := range list {
		rule, _ := item.(map[string]any)
		text, _ := rule["rule"].(string)
		message, _ := rule["messageExpression"].(string)
		if transition.MatchString(text) || rule["optionalOldSelf"] == true {
			r.unchecked++
			continue
		}
		*size += len(text) + len(message)
		r.checked++
		if rule != nil {
			rule["reason"] = brokenReason
		}
		kept = append(kept, item)
	}
	return kept
}

// structureOf returns a schema as API servers have it.
func structureOf(tree map[string]any) (*structural.Structural, error) {
	data, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	var read apiextensionsv1.JSONSchemaProps
	var schema apiextensions.JSONSchemaProps
	if err := json.Unmarshal(data, &read); err != nil {
		return nil, err
	}
	err = apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&read, &schema, nil)
	if err != nil {
		return nil, err
	}
	return structural.NewStructural(&schema)
}

// hasText reports whether one of the texts in a value is such a one.
func hasText(value any, such func(string) bool) bool {
	switch v := value.(type) {
	case string:
		return such(v)
	case map[string]any:
		for _, part := range v {
			if hasText(part, such) {
				return true
			}
		}
	case []any:
		for _, part := range v {
			if hasText(part, such) {
				return true
			}
		}
	}
	return false
}
