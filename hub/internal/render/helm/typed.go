package helm

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/sealed"
)

// A placeholder is a text, which is true in a condition. So a template that looks at a boolean or a number would see
// something else than the value, and no other text would show it.

// typedProbes are values of each type that stand for placeholders: those of the second are false in a condition.
var typedProbes = []map[string]any{
	{"bool": true, "int": 7041.0, "float": 7041.5},
	{"bool": false, "int": 0.0, "float": 0.0},
}

// checkTypes renders the chart with booleans and numbers in place of the placeholders that stand for such. If the
// result differs in more than these, checkTypes returns ErrInspected.
func (s settling) checkTypes(ctx context.Context) error {
	types := s.typesIn()
	names := slices.Sorted(maps.Keys(types))
	if len(names) == 0 {
		return nil
	}
	for _, probes := range typedProbes {
		cause := s.differsWith(ctx, names, types, probes)
		if cause == nil {
			continue
		}
		changes := func(some []string) bool { return s.differsWith(ctx, some, types, probes) != nil }
		if placeholder, found := culprit(names, changes); found {
			return s.describe(cause, placeholder, s.placeOfValue(placeholder))
		}
		return cause
	}
	return nil
}

// retype puts the placeholders of texts in place of those of booleans and numbers, where a template writes the value in
// quotes. If a template refuses the probes, retype changes nothing.
func (s settling) retype(ctx context.Context) {
	types := s.typesIn()
	if len(types) == 0 {
		return
	}
	other, err := s.withTypes(ctx, slices.Collect(maps.Keys(types)), types, typedProbes[0])
	if err != nil {
		return
	}
	texts := map[string]string{}
	for _, v := range s.build.ValuesFrom {
		maps.Copy(texts, v.Texts)
	}
	others := objectsIn(other)
	for i, o := range objectsIn(s.first) {
		o.Object = inQuotes(o.Object, others[i].Object, texts).(map[string]any)
	}
}

// inQuotes returns a value with texts in place of placeholders, where the other render has a text.
func inQuotes(v, other any, texts map[string]string) any {
	switch v := v.(type) {
	case string:
		if _, isText := other.(string); isText && texts[v] != "" {
			return texts[v]
		}
	case map[string]any:
		fields, _ := other.(map[string]any)
		for key := range v {
			v[key] = inQuotes(v[key], fields[key], texts)
		}
	case []any:
		items, _ := other.([]any)
		for i := range min(len(v), len(items)) {
			v[i] = inQuotes(v[i], items[i], texts)
		}
	}
	return v
}

// typesIn returns the types of the placeholders that are whole values and stand for a boolean or a number.
func (s settling) typesIn() map[string]string {
	types := map[string]string{}
	mapTexts(s.in.Values, false, func(text string) string {
		for _, v := range s.build.ValuesFrom {
			if kind := v.Types[text]; kind != "" {
				types[text] = kind
			}
		}
		return text
	})
	return types
}

// differsWith renders the chart with probes in place of some placeholders, and returns where the result differs in more
// than the probes; nil: nowhere, or a template refuses them.
func (s settling) differsWith(ctx context.Context, some []string, types map[string]string,
	probes map[string]any) error {
	texts := pairs{}
	for _, p := range some {
		texts[p] = textOf(probes[types[p]])
	}
	other, err := s.withTypes(ctx, some, types, probes)
	if err != nil {
		return nil
	}
	first := replaceAll(s.first, texts.unquoted())
	for _, r := range []*render.Result{first, other} {
		for _, o := range objectsIn(r) {
			o.Object = asTexts(o.Object).(map[string]any)
		}
	}
	fields, err := differences(first, other)
	if err != nil {
		return fmt.Errorf("%w: %w", err, render.ErrInspected)
	}
	if g, field := s.unexplained(fields, s.first.Release.Generated); field != "" {
		return fmt.Errorf("%s: %s: %w", g.ID, field, render.ErrInspected)
	}
	return nil
}

// withTypes renders the chart with probes in place of some placeholders.
func (s settling) withTypes(ctx context.Context, some []string, types map[string]string, probes map[string]any) (
	*render.Result, error) {
	values := map[string]any{}
	for _, p := range some {
		values[p] = probes[types[p]]
	}
	in := otherwise(s.in, nil, strange)
	in.Values = withProbes(s.in.Values, values).(map[string]any)
	other, err := renderChart(ctx, s.engine, in, s.post)
	if err != nil {
		in.Files = s.in.Files
		return renderChart(ctx, s.engine, in, s.post)
	}
	return other, nil
}

// withProbes returns values with others in place of placeholders that are whole values.
func withProbes(v any, probes map[string]any) any {
	switch v := v.(type) {
	case string:
		if probe, ok := probes[v]; ok {
			return probe
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, below := range v {
			out[key] = withProbes(below, probes)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = withProbes(v[i], probes)
		}
		return out
	}
	return v
}

// asTexts returns a copy of a value with booleans and numbers as texts.
func asTexts(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, below := range v {
			out[key] = asTexts(below)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = asTexts(v[i])
		}
		return out
	case nil:
		return nil
	}
	return textOf(v)
}

func textOf(v any) string {
	if f, ok := v.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// placeOfValue returns the first place where a template reads a value by its name, for messages; empty if there is
// none.
func (s settling) placeOfValue(placeholder string) string {
	path, _ := pathIn(s.in.Values, nil, placeholder)
	name := ".Values." + strings.Join(path, ".")
	for _, r := range references(s.in.Files) {
		if strings.TrimPrefix(r.text, "$") == name {
			return placeOf(s.in.Files[r.file], r.at, r.text)
		}
	}
	return ""
}

// sourceOf returns the object that a placeholder of a shape comes from, and the path of the value as the annotation
// names it; false if the placeholder is another one.
func (s settling) sourceOf(placeholder string) (from api.Input, path string, ok bool) {
	for _, v := range s.build.ValuesFrom {
		if v.Tree == nil || !strings.Contains(string(v.Tree), placeholder) {
			continue
		}
		at := []string{v.Key}
		if v.TargetPath == "" {
			var tree any
			_ = json.Unmarshal(v.Tree, &tree) // MergeValues has decoded it
			at, _ = pathIn(tree, nil, placeholder)
		}
		return v.Input, sealed.RevealOf(at), true
	}
	return from, "", false
}

// needsTypes returns the error of a render. If the chart can be rendered with booleans and numbers in place of
// placeholders that stand for such, the error is ErrInspected, and names the value.
func (s settling) needsTypes(ctx context.Context, cause error) error {
	types := s.typesIn()
	names := slices.Sorted(maps.Keys(types))
	renders := func(some []string) bool {
		values := map[string]any{}
		for _, p := range some {
			values[p] = typedProbes[0][types[p]]
		}
		in := s.in
		in.Values = withProbes(s.in.Values, values).(map[string]any)
		_, err := renderChart(ctx, s.engine, in, s.post)
		return err == nil
	}
	if len(names) == 0 || !renders(names) {
		return cause
	}
	cause = fmt.Errorf("%w: %w", render.ErrInspected, cause)
	if placeholder, found := culprit(names, renders); found {
		return s.describe(cause, placeholder, s.placeOfValue(placeholder))
	}
	return cause
}
