package helm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
	"time"

	"github.com/BurntSushi/toml"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	schema "k8s.io/apimachinery/pkg/runtime/schema"
)

// Helm 3 has no way to give templates further functions. But lookup asks what the Engine is given, and may return
// anything: calls is the one object that exists there, and rewritten templates call its methods.

// callsObject is what a template writes in the place of a function; the name of a method follows.
const callsObject = `(lookup "` + callsName + `" "Calls" "" "calls").calls.`

const callsName = "calls.nave.io/v1"

// calls has the functions that rewritten templates call.
type calls struct {
	texts  func(string) string
	watch  *watcher
	record *recorder // of generated values; nil: no template was rewritten
}

// Text returns the template that tpl gets in the place of another one.
func (c calls) Text(text any) any {
	if s, ok := text.(string); ok {
		return hookTexts(c.texts(s))
	}
	return text
}

// Call calls a function for a template that is watched.
func (c calls) Call(place, function string, args ...any) (any, error) {
	if c.watch == nil {
		return nil, errors.New("calls are not watched")
	}
	return c.watch.call(place, function, args)
}

// MustToYaml is mustToYaml of Helm 4.
func (c calls) MustToYaml(v any) (string, error) {
	data, err := yaml.Marshal(v)
	return strings.TrimSuffix(string(data), "\n"), err
}

// MustToToml is mustToToml of Helm 4.
func (c calls) MustToToml(v any) (string, error) {
	var b bytes.Buffer
	err := toml.NewEncoder(&b).Encode(v)
	return b.String(), err
}

// MustToDuration is mustToDuration of Helm 4.
func (c calls) MustToDuration(v any) (time.Duration, error) { return durationOf(v) }

// Duration is one of the functions of Helm 4 that return a duration in a unit. Of what is no duration it is 0.
func (c calls) Duration(unit string, v any) any {
	d, _ := durationOf(v)
	switch unit {
	case "ns":
		return d.Nanoseconds()
	case "us":
		return d.Microseconds()
	case "ms":
		return d.Milliseconds()
	case "s":
		return d.Seconds()
	case "m":
		return d.Minutes()
	case "d":
		return d.Hours() / 24
	case "w":
		return d.Hours() / 24 / 7
	}
	return d.Hours()
}

// Multiple is durationRoundTo and durationTruncateTo of Helm 4.
func (c calls) Multiple(round bool, v, of any) time.Duration {
	d, err := durationOf(v)
	multiple, noMultiple := durationOf(of)
	switch {
	case err != nil:
		return 0
	case noMultiple != nil:
		return d
	case round:
		return d.Round(multiple)
	}
	return d.Truncate(multiple)
}

// Chart returns the map that .Chart is in Helm 4: its keys are the names of the fields in Go.
func (c calls) Chart(v any) any {
	of := reflect.ValueOf(v)
	if of.Kind() != reflect.Struct {
		return v // it is a map already
	}
	fields := fieldsOf(of.FieldByName("Metadata"))
	fields["IsRoot"] = of.FieldByName("IsRoot").Bool()
	return fields
}

// fieldsOf returns the fields of a struct. Structs in its lists become maps, too.
func fieldsOf(of reflect.Value) map[string]any {
	of = reflect.Indirect(of)
	fields := map[string]any{}
	for field, value := range of.Fields() {
		if value.Kind() != reflect.Slice {
			fields[field.Name] = value.Interface()
			continue
		}
		items := make([]any, value.Len())
		for i := range items {
			if items[i] = value.Index(i).Interface(); reflect.Indirect(value.Index(i)).Kind() == reflect.Struct {
				items[i] = fieldsOf(value.Index(i))
			}
		}
		fields[field.Name] = items
	}
	return fields
}

// durationOf returns the duration of a value as Helm 4 does: numbers, and texts that are numbers, are seconds.
func durationOf(v any) (time.Duration, error) {
	switch v := v.(type) {
	case time.Duration:
		return v, nil
	case string:
		text := strings.TrimSpace(v)
		if d, err := time.ParseDuration(text); err == nil {
			return d, nil
		}
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0, fmt.Errorf("could not parse duration %q", v)
		}
		return durationOf(seconds)
	}
	n := reflect.ValueOf(v)
	switch {
	case n.CanInt() && abs(n.Int()) <= math.MaxInt64/int64(time.Second):
		return time.Duration(n.Int()) * time.Second, nil
	case n.CanUint() && n.Uint() <= math.MaxInt64/uint64(time.Second):
		return time.Duration(n.Uint()) * time.Second, nil
	case n.CanFloat() && math.Abs(n.Float()*float64(time.Second)) < math.MaxInt64:
		return time.Duration(n.Float() * float64(time.Second)), nil
	}
	return 0, fmt.Errorf("no duration: %v", v)
}

func abs(n int64) int64 { return max(n, -n) }

// hookTexts returns a template in which tpl gets what calls.Text returns. If the template does not call tpl, it stays
// as it is.
func hookTexts(text string) string {
	if !strings.Contains(text, "tpl") {
		return text
	}
	t := parse.New("nave")
	t.Mode = parse.SkipFuncCheck
	trees := map[string]*parse.Tree{}
	if _, err := t.Parse(text, "", "", trees); err != nil {
		return text
	}
	var found []*parse.CommandNode // outer ones first
	for _, tree := range trees {
		walkNodes(tree.Root, func(n parse.Node) {
			c, ok := n.(*parse.CommandNode)
			if !ok || len(c.Args) < 2 {
				return
			}
			if call, ok := c.Args[0].(*parse.IdentifierNode); ok && call.Ident == "tpl" {
				found = append(found, c)
			}
		})
	}
	if len(found) == 0 {
		return text
	}
	for _, c := range slices.Backward(found) {
		c.Args[1] = parse.NewIdentifier("(" + callsObject + "Text " + nodeText(c.Args[1]) + ")") // it is only printed
	}
	var b strings.Builder
	for name, tree := range trees {
		if tree != t {
			fmt.Fprintf(&b, "{{define %q}}%s{{end}}", name, tree.Root)
		}
	}
	return b.String() + t.Root.String()
}

// nodeText returns the text of an argument.
func nodeText(n parse.Node) string {
	if _, isPipe := n.(*parse.PipeNode); isPipe {
		return "(" + n.String() + ")"
	}
	return n.String()
}

// callsClient is a client of a cluster with one object, calls.
type callsClient struct {
	dynamic.NamespaceableResourceInterface
	object map[string]any
}

// GetClientFor implements the ClientProvider of Helm's engine.
func (c calls) GetClientFor(apiVersion, _ string) (dynamic.NamespaceableResourceInterface, bool, error) {
	if apiVersion == callsName {
		return callsClient{object: map[string]any{"calls": c}}, false, nil
	}
	return callsClient{}, false, nil
}

var errNoObject = apierrors.NewNotFound(schema.GroupResource{}, "")

// Get implements dynamic.ResourceInterface.
func (c callsClient) Get(context.Context, string, metav1.GetOptions, ...string) (*unstructured.Unstructured, error) {
	if c.object == nil {
		return nil, errNoObject
	}
	return &unstructured.Unstructured{Object: c.object}, nil
}

// List implements dynamic.ResourceInterface.
func (c callsClient) List(context.Context, metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	return nil, errNoObject
}
