package openapi

import (
	"context"
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

	"github.com/navefleet/nave/shared/wording"
)

// The limits of one check.
const (
	maxSteps    = 1_000_000 // parts of a schema that are compared with a value, and other work of about the same time
	maxDepth    = 1_000     // of them inside of one another
	maxProblems = 20
	maxShown    = 64 // bytes of a value, or of a text of a schema, in a message

	bytesPerStep = 64 // of texts that are compared, or read once
	patternCost  = 20 // steps for each byte of a pattern that is compiled: Unicode classes take 100 µs each
)

var errExpensive = errors.New("the schema takes too long to compare with")

// Problem is one thing that is wrong with an object.
type Problem struct {
	// Field is the path of the field that is wrong, such as spec.ports[0].port; of a missing field, that of the field
	// around it. A name that is no plain word is in brackets.
	Field string
	Text  string // begins with the kind and the path
}

// String returns the text.
func (p Problem) String() string { return p.Text }

// Check returns the problems of an object, each with the path of its field, in the order of the fields; at most 20.
// Fields that are null count as missing, as for an API server. Texts that unknown reports are not checked, because only
// the cluster knows their values. The error is one of the schema, or that of ctx.
func (s *Schema) Check(ctx context.Context, kind string, object map[string]any,
	unknown func(text string) bool) ([]Problem, error) {
	c := &checker{Schema: s, ctx: ctx, kind: kind, unknown: unknown}
	c.check(s.root, object, kind, false)
	return c.problems, c.err
}

type checker struct {
	*Schema
	ctx      context.Context
	kind     string
	unknown  func(string) bool
	problems []Problem
	found    int // problems, those included that are not kept
	silent   int // above 0 while problems are counted and not kept
	steps    int
	depth    int
	skipped  int   // texts that only the cluster knows
	err      error // ends the check
}

// problem notes a problem of the value at a path, whose text begins with the path.
func (c *checker) problem(path, format string, args ...any) { c.problemOf(path, path, format, args...) }

// problemOf notes a problem of a field, whose text begins with the path of another one. Arguments that are expensive to
// write are Stringers, because most problems are only counted.
func (c *checker) problemOf(field, path, format string, args ...any) {
	c.found++
	if c.silent == 0 && len(c.problems) < maxProblems && c.err == nil {
		c.problems = append(c.problems, Problem{belowKind(field, c.kind), path + " " + fmt.Sprintf(format, args...)})
	}
}

// belowKind returns a path without the kind that it begins with.
func belowKind(path, kind string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, kind), ".")
}

// spend counts steps. When there were too many, or the context has ended, it ends the check and returns false.
func (c *checker) spend(steps int) bool {
	c.steps += steps
	switch {
	case c.err != nil:
	case c.steps > maxSteps || c.depth > maxDepth:
		c.err = errExpensive
	case c.ctx.Err() != nil:
		c.err = context.Cause(c.ctx)
	}
	return c.err == nil
}

// check compares a value with a schema. If partial is set, the schema is one of several for the value, and does not
// name all fields.
func (c *checker) check(n *node, value any, path string, partial bool) {
	text, isText := value.(string)
	if !c.spend(1+len(text)/bytesPerStep) || value == nil {
		return
	}
	if isText && c.unknown(text) {
		c.skipped++
		return
	}
	n, err := c.document.resolve(n)
	if err != nil {
		c.err = err
	}
	if n == nil || !c.spend(n.prepare()) {
		return
	}
	c.depth++
	defer func() { c.depth-- }()
	if want := n.types; len(want) > 0 && !slices.ContainsFunc(want, func(t string) bool { return is(value, t) }) {
		c.problem(path, "is %s, want %s", typeOf(value), strings.Join(want, " or "))
		return
	}
	c.checkEnum(n, value, path)
	switch v := value.(type) {
	case map[string]any:
		c.checkObject(n, v, path, partial)
	case []any:
		c.checkCount(len(v), n.MinItems, n.MaxItems, path, "item")
		c.checkUnique(n, v, path)
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

// is reports whether a value is of a type.
func is(value any, want string) bool {
	got := kindOf(value)
	return got == want || want == "number" && got == "integer"
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
	if len(n.enum) == 0 || value == "" && c.ofKubernetes || !c.spend(len(n.enum)+n.enumSize/bytesPerStep) {
		return
	}
	number := numbered(value)
	if !slices.ContainsFunc(n.enum, func(want any) bool { return reflect.DeepEqual(want, number) }) {
		c.problem(path, "is %s, want one of %s", shown{value}, shownList(n.enum))
	}
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

// shown is a value in a message.
type shown struct{ value any }

// String implements fmt.Stringer.
func (s shown) String() string {
	if text, ok := s.value.(string); ok {
		return quoted(text)
	}
	data, err := json.Marshal(s.value)
	if err != nil || len(data) > maxShown {
		return typeOf(s.value)
	}
	return string(data)
}

// shownList is a list of values in a message.
type shownList []any

// String implements fmt.Stringer.
func (l shownList) String() string {
	const most = 10
	var texts []string
	for _, value := range l[:min(len(l), most)] {
		texts = append(texts, shown{value}.String())
	}
	return wording.List(texts, len(l), most)
}

func quoted(text string) string {
	if len(text) > maxShown {
		return fmt.Sprintf("%.*q…", maxShown, text)
	}
	return fmt.Sprintf("%q", text)
}

// checkObject checks the fields of an object. An object without a schema for any field may have all of them. A field of
// a custom resource that has a default is not missing. Kubernetes' own kinds have defaults that are not valid, such as
// an empty name.
func (c *checker) checkObject(n *node, object map[string]any, path string, partial bool) {
	if !c.spend(len(n.Required) + len(object)) {
		return
	}
	for _, name := range n.Required {
		if object[name] == nil && (c.ofKubernetes || n.defaultOf(name) == nil) {
			c.problem(path, "has no field %s, which is required", quoted(name))
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
			c.problemOf(fieldOf(path, name), path, "has the unknown field %s%s", quoted(name), c.suggestion(n, name))
		}
	}
}

// suggestion returns "; did you mean NAME?" with the field that was most likely meant by an unknown one; "": none is
// near.
func (c *checker) suggestion(n *node, name string) string {
	if len(name) > maxShown || !c.spend(len(n.Properties)*len(name)) {
		return ""
	}
	meant := wording.Nearest(name, slices.Sorted(maps.Keys(n.Properties)))
	if meant == "" {
		return ""
	}
	return "; did you mean " + meant + "?"
}

// fieldOf returns the path of a field.
func fieldOf(path, name string) string {
	if strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
		name = quoted(name)
	}
	if strings.ContainsAny(name, ".[]") {
		return path + "[" + name + "]"
	}
	return path + "." + name
}

func (c *checker) checkCount(count int, least, most *int, path, what string) {
	if least != nil && count < *least {
		c.problem(path, "has %s, want at least %d", wording.Count(count, what), *least)
	}
	if most != nil && count > *most {
		c.problem(path, "has %s, want at most %d", wording.Count(count, what), *most)
	}
}

// checkText checks the length and the pattern of a text. A pattern that Go cannot match within the limits of
// shared/pattern is not checked.
func (c *checker) checkText(n *node, text, path string) {
	if n.MinLength != nil || n.MaxLength != nil {
		c.checkCount(utf8.RuneCountInString(text), n.MinLength, n.MaxLength, path, "character")
	}
	if n.matcher != nil && c.spend(len(text)) && !n.matcher.MatchString(text) {
		c.problem(path, "is %s, which does not match the pattern %s", quoted(text), quoted(n.Pattern))
	}
}

func (c *checker) checkNumber(n *node, value any, path string) {
	number, ok := numbered(value).(float64)
	if !ok {
		return
	}
	if least := n.Minimum; least != nil && (number < *least || n.ExclusiveMinimum && number == *least) {
		c.problem(path, "is %s, want %s %v", shown{value}, bound(n.ExclusiveMinimum, "at least", "more than"), *least)
	}
	if most := n.Maximum; most != nil && (number > *most || n.ExclusiveMaximum && number == *most) {
		c.problem(path, "is %s, want %s %v", shown{value}, bound(n.ExclusiveMaximum, "at most", "less than"), *most)
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
		c.problem(path, "fits none of the %s of its schema (anyOf)", wording.Count(len(n.AnyOf), "alternative"))
	}
	before := c.skipped // a text that was skipped may be what tells the alternatives apart
	if len(n.OneOf) > 0 {
		if fits := c.matching(n.OneOf, value, path); fits == 0 || fits > 1 && c.skipped == before {
			c.problem(path, "fits %d of the %s of its schema, want 1 (oneOf)", fits,
				wording.Count(len(n.OneOf), "alternative"))
		}
	}
	if n.Not != nil && c.matching([]*node{n.Not}, value, path) == 1 && c.skipped == before {
		c.problem(path, "has what its schema excludes (not)")
	}
}

// matching returns how many of the schemas a value fits.
func (c *checker) matching(schemas []*node, value any, path string) (count int) {
	c.silent++
	defer func() { c.silent-- }()
	for _, n := range schemas {
		before := c.found
		if c.check(n, value, path, true); c.found == before {
			count++
		}
	}
	return count
}
