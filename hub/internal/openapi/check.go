package openapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/navefleet/nave/shared/pattern"
	"github.com/navefleet/nave/shared/wording"
)

// The limits of one check.
const (
	maxSteps    = 1_000_000 // parts of a schema that are compared with a value
	patternCost = 20        // steps for each byte of a pattern that is compiled: Unicode classes take 100 µs each
	maxDepth    = 1_000     // of them inside of one another
	maxProblems = 20
	maxShown    = 64 // bytes of a value, or of a text of a schema, in a message
)

var errExpensive = errors.New("the schema takes too long to compare with")

// Check returns the problems of an object, each with the path of its field, in the order of the fields; at most 20.
// Fields that are null count as missing, as for an API server. Texts that unknown reports are not checked, because only
// the cluster knows their values. The error is one of the schema.
func (s *Schema) Check(kind string, object map[string]any, unknown func(text string) bool) ([]string, error) {
	c := &checker{Schema: s, unknown: unknown}
	c.check(s.root, object, kind, false)
	return c.problems, c.err
}

type checker struct {
	*Schema
	unknown  func(string) bool
	problems []string
	steps    int
	depth    int
	skipped  int   // texts that only the cluster knows
	err      error // ends the check
}

func (c *checker) problem(format string, args ...any) {
	if len(c.problems) < maxProblems && c.err == nil {
		c.problems = append(c.problems, fmt.Sprintf(format, args...))
	}
}

// check compares a value with a schema. If partial is set, the schema is one of several for the value, and does not
// name all fields.
func (c *checker) check(n *node, value any, path string, partial bool) {
	if c.steps++; c.err == nil && (c.steps > maxSteps || c.depth > maxDepth) {
		c.err = errExpensive
	}
	if c.err != nil || value == nil {
		return
	}
	if text, ok := value.(string); ok && c.unknown(text) {
		c.skipped++
		return
	}
	n, err := c.document.resolve(n)
	if err != nil {
		c.err = err
	}
	if n == nil {
		return
	}
	c.depth++
	defer func() { c.depth-- }()
	if want := n.types(); len(want) > 0 && !slices.ContainsFunc(want, func(t string) bool { return is(value, t) }) {
		c.problem("%s is %s, want %s", path, typeOf(value), strings.Join(want, " or "))
		return
	}
	c.checkEnum(n, value, path)
	switch v := value.(type) {
	case map[string]any:
		c.checkObject(n, v, path, partial)
	case []any:
		c.checkCount(len(v), n.MinItems, n.MaxItems, path, "item")
		for i, item := range v {
			c.check(n.Items, item, fmt.Sprintf("%s[%d]", path, i), false)
		}
	case string:
		c.checkText(n, v, path)
	default:
		c.checkNumber(n, v, path)
	}
	c.checkCombined(n, value, path)
}

// types returns the types that a value may have; none: any.
func (n *node) types() []string {
	if n.IntOrString || n.Format == "int-or-string" {
		return []string{"integer", "string"}
	}
	if n.Type != "" {
		return []string{n.Type}
	}
	var all []string
	for _, alternatives := range [][]*node{n.OneOf, n.AnyOf} {
		for _, a := range alternatives {
			if a == nil || a.Type == "" {
				return nil
			}
			all = append(all, a.Type)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// is reports whether a value is of a type. A type that JSON does not have is that of any value.
func is(value any, want string) bool {
	switch got := kindOf(value); want {
	case "number":
		return got == "integer" || got == "number"
	case "object", "array", "string", "integer", "boolean":
		return got == want
	}
	return true
}

// kindOf returns the type of a value in JSON Schema.
func kindOf(value any) string {
	switch v := value.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case string:
		return "string"
	case bool:
		return "boolean"
	case float64:
		if v != math.Trunc(v) {
			return "number"
		}
	}
	return "integer"
}

// typeOf returns the type of a value with its article.
func typeOf(value any) string {
	switch kind := kindOf(value); kind {
	case "object", "array", "integer":
		return "an " + kind
	default:
		return "a " + kind
	}
}

func (c *checker) checkEnum(n *node, value any, path string) {
	if len(n.Enum) == 0 || value == "" && c.ofKubernetes {
		return
	}
	var allowed []string
	for _, item := range n.Enum {
		var want any
		if c.steps++; json.Unmarshal(item, &want) == nil && reflect.DeepEqual(want, numbered(value)) {
			return
		}
		allowed = append(allowed, shown(want))
	}
	c.problem("%s is %s, want one of %s", path, shown(value), wording.List(allowed, len(allowed), 10))
}

// numbered returns a value in the types that decoded JSON has.
func numbered(value any) any {
	switch v := value.(type) {
	case int64:
		return float64(v)
	case int:
		return float64(v)
	}
	return value
}

// shown returns a value for a message.
func shown(value any) string {
	if text, ok := value.(string); ok {
		return quoted(text)
	}
	data, err := json.Marshal(value)
	if err != nil || len(data) > maxShown {
		return typeOf(value)
	}
	return string(data)
}

func quoted(text string) string {
	if len(text) > maxShown {
		return fmt.Sprintf("%.*q…", maxShown, text)
	}
	return fmt.Sprintf("%q", text)
}

// checkObject checks the fields of an object. An object without a schema for any field may have all of them.
func (c *checker) checkObject(n *node, object map[string]any, path string, partial bool) {
	for _, name := range n.Required {
		if c.steps++; object[name] == nil {
			c.problem("%s has no field %s, which is required", path, quoted(name))
		}
	}
	c.checkCount(len(object), n.MinProperties, n.MaxProperties, path, "field")
	open := partial || n.PreserveUnknown || n.AdditionalProperties != nil && n.AdditionalProperties.allowed ||
		len(n.Properties) == 0 && n.AdditionalProperties == nil
	for _, name := range slices.Sorted(maps.Keys(object)) {
		value := object[name]
		field, known := n.Properties[name]
		switch {
		case value == nil:
		case known:
			c.check(field, value, fieldOf(path, name), false)
		case n.Embedded && (name == "apiVersion" || name == "kind" || name == "metadata"):
		case n.AdditionalProperties != nil && n.AdditionalProperties.schema != nil:
			c.check(n.AdditionalProperties.schema, value, fieldOf(path, name), false)
		case !open:
			c.problem("%s has the unknown field %s", path, quoted(name))
		}
	}
}

// fieldOf returns the path of a field.
func fieldOf(path, name string) string {
	if strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
		name = quoted(name)
	}
	return path + "." + name
}

func (c *checker) checkCount(count int, least, most *int, path, what string) {
	if least != nil && count < *least {
		c.problem("%s has %s, want at least %d", path, wording.Count(count, what), *least)
	}
	if most != nil && count > *most {
		c.problem("%s has %s, want at most %d", path, wording.Count(count, what), *most)
	}
}

// checkText checks the length and the pattern of a text. A pattern that Go cannot match within the limits of
// shared/pattern is not checked.
func (c *checker) checkText(n *node, text, path string) {
	if n.MinLength != nil || n.MaxLength != nil {
		c.checkCount(utf8.RuneCountInString(text), n.MinLength, n.MaxLength, path, "character")
	}
	if n.Pattern == "" {
		return
	}
	c.steps += len(text)
	n.compile.Do(func() {
		c.steps += patternCost * len(n.Pattern)
		n.expression, _ = pattern.Compile(n.Pattern)
	})
	if n.expression != nil && !n.expression.MatchString(text) {
		c.problem("%s is %s, which does not match the pattern %s", path, quoted(text), quoted(n.Pattern))
	}
}

func (c *checker) checkNumber(n *node, value any, path string) {
	number, ok := numbered(value).(float64)
	if !ok {
		return
	}
	if least := n.Minimum; least != nil && (number < *least || n.ExclusiveMinimum && number == *least) {
		c.problem("%s is %s, want %s %v", path, shown(value), bound(n.ExclusiveMinimum, "at least", "more than"), *least)
	}
	if most := n.Maximum; most != nil && (number > *most || n.ExclusiveMaximum && number == *most) {
		c.problem("%s is %s, want %s %v", path, shown(value), bound(n.ExclusiveMaximum, "at most", "less than"), *most)
	}
}

func bound(exclusive bool, inclusive, without string) string {
	if exclusive {
		return without
	}
	return inclusive
}

// checkCombined checks a value against the schemas that are combined with and, or, either and not.
func (c *checker) checkCombined(n *node, value any, path string) {
	for _, all := range n.AllOf {
		c.check(all, value, path, true)
	}
	if len(n.AnyOf) > 0 && c.matching(n.AnyOf, value, path) == 0 {
		c.problem("%s fits none of the %s of its schema (anyOf)", path, wording.Count(len(n.AnyOf), "alternative"))
	}
	before := c.skipped // a text that was skipped may be what tells the alternatives apart
	if len(n.OneOf) > 0 {
		if fits := c.matching(n.OneOf, value, path); fits == 0 || fits > 1 && c.skipped == before {
			c.problem("%s fits %d of the %s of its schema, want 1 (oneOf)", path, fits,
				wording.Count(len(n.OneOf), "alternative"))
		}
	}
	if n.Not != nil && c.matching([]*node{n.Not}, value, path) == 1 && c.skipped == before {
		c.problem("%s has what its schema excludes (not)", path)
	}
}

// matching returns how many of the schemas a value fits.
func (c *checker) matching(schemas []*node, value any, path string) (count int) {
	found := c.problems
	for _, n := range schemas {
		c.problems = nil
		if c.check(n, value, path, true); len(c.problems) == 0 {
			count++
		}
	}
	c.problems = found
	return count
}
