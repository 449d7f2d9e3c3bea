package helm

import (
	"cmp"
	"context"
	"encoding/base64"
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

// typed is the type of a sealed value.
type typed struct {
	kind string // bool, int, float
	set  bool   // as helm --set reads it: an int is no floating-point number
}

// probe returns a value of the type: the first that is true in a condition, or the second that is not. Templates print
// a floating-point number of seven digits in another way than toJson.
func (t typed) probe(second bool) any {
	switch {
	case t.kind == "bool":
		return !second
	case second && t.set:
		return int64(0)
	case second:
		return 0.0
	case t.set:
		return int64(7041007)
	case t.kind == "float":
		return 7041007.5
	}
	return 7041007.0
}

// probesOf returns probes of values.
func probesOf(types map[string]typed, second bool) map[string]any {
	probes := map[string]any{}
	for placeholder, t := range types {
		probes[placeholder] = t.probe(second)
	}
	return probes
}

// checkTypes renders the chart with booleans and numbers in place of the placeholders that stand for such. If the
// result differs in more than these, checkTypes returns ErrInspected.
func (s settling) checkTypes(ctx context.Context) error {
	types := s.typesIn()
	names := slices.Sorted(maps.Keys(types))
	if len(names) == 0 {
		return nil
	}
	for _, second := range []bool{false, true} {
		probes := probesOf(types, second)
		cause := s.differsWith(ctx, names, probes)
		if cause == nil {
			continue
		}
		changes := func(some []string) bool { return s.differsWith(ctx, some, probes) != nil }
		if placeholder, found := culprit(names, changes); found {
			return s.describe(cause, placeholder, s.placeOfValue(placeholder))
		}
		return cause
	}
	return nil
}

// retype puts the placeholders of texts in place of those of booleans and numbers, where a template writes the value in
// quotes or prints it. If a template refuses the probes, retype changes nothing.
func (s settling) retype(ctx context.Context) {
	types := s.typesIn()
	if len(types) == 0 {
		return
	}
	r := retyping{texts: map[string]string{}, probes: probesOf(types, false)}
	other, err := s.withTypes(ctx, slices.Collect(maps.Keys(types)), r.probes)
	if err != nil {
		return
	}
	for _, v := range s.build.ValuesFrom {
		maps.Copy(r.texts, v.Texts)
	}
	others := objectsIn(other)
	for i, o := range objectsIn(s.first) {
		o.Object = r.value(o.Object, others[i].Object, isSecret(o)).(map[string]any)
	}
}

// retyping puts placeholders of texts in place of others.
type retyping struct {
	texts  map[string]string // by the placeholders of booleans and numbers
	probes map[string]any
}

// value returns a value with placeholders of texts, where the other render, with probes, has texts. If decode is set,
// the value is a Secret.
func (r retyping) value(v, other any, decode bool) any {
	switch v := v.(type) {
	case string:
		if text, isText := other.(string); isText {
			return r.text(v, text)
		}
	case map[string]any:
		fields, _ := other.(map[string]any)
		for key := range v {
			data, isMap := v[key].(map[string]any)
			if decode && key == "data" && isMap {
				r.decoded(data, fields[key])
				continue
			}
			v[key] = r.value(v[key], fields[key], false)
		}
	case []any:
		items, _ := other.([]any)
		for i := range min(len(v), len(items)) {
			v[i] = r.value(v[i], items[i], false)
		}
	}
	return v
}

// decoded changes the texts that the data of a Secret encodes.
func (r retyping) decoded(data map[string]any, other any) {
	others, _ := other.(map[string]any)
	for key, value := range data {
		text, isText := value.(string)
		encoded, _ := others[key].(string)
		plain, err := base64.StdEncoding.DecodeString(encoded)
		if !isText || err != nil {
			continue
		}
		data[key] = inBase64(text, func(text string) string { return r.text(text, string(plain)) })
	}
}

// text returns a text with placeholders of texts where the other one has a probe as templates print it. Elsewhere, as
// in JSON, the placeholder stands for the number as JSON has it, without the quotes that JSON gives placeholders.
func (r retyping) text(text, other string) string {
	if r.texts[text] != "" {
		return r.texts[text]
	}
	var b strings.Builder
	for rest := text; ; {
		before, found, after, ok := sealed.Cut(rest)
		if !ok {
			b.WriteString(before)
			return b.String()
		}
		probe, isTyped := r.probes[string(found)]
		tail, ok := strings.CutPrefix(other, before)
		if !ok && isTyped && strings.HasSuffix(before, `"`) && strings.HasPrefix(after, `"`) {
			before, after = before[:len(before)-1], after[1:]
			tail, ok = strings.CutPrefix(other, before)
		}
		if !ok {
			return text
		}
		placeholder, want := string(found), string(found)
		if isTyped {
			want = textOf(probe)
			if printed := fmt.Sprint(probe); printed != want && strings.HasPrefix(tail, printed) {
				placeholder, want = cmp.Or(r.texts[placeholder], placeholder), printed
			}
		}
		if other, ok = strings.CutPrefix(tail, want); !ok {
			return text
		}
		b.WriteString(before + placeholder)
		rest = after
	}
}

// typesIn returns the types of the placeholders that are whole values and stand for a boolean or a number.
func (s settling) typesIn() map[string]typed {
	types := map[string]typed{}
	mapTexts(s.in.Values, false, func(text string) string {
		for _, v := range s.build.ValuesFrom {
			if kind := v.Types[text]; kind != "" {
				types[text] = typed{kind, v.TargetPath != ""}
			}
		}
		return text
	})
	return types
}

// differsWith renders the chart with probes in place of some placeholders, and returns where the result differs in more
// than the probes; nil: nowhere, or a template refuses them.
func (s settling) differsWith(ctx context.Context, some []string, probes map[string]any) error {
	texts, printed := pairs{}, pairs{}
	for _, p := range some {
		texts[p] = textOf(probes[p])
		printed[fmt.Sprint(probes[p])] = texts[p]
	}
	other, err := s.withTypes(ctx, some, probes)
	if err != nil {
		return nil
	}
	first := replaceAll(s.first, texts.unquoted())
	for _, r := range []*render.Result{first, other} {
		for _, o := range objectsIn(r) {
			o.Object = asTexts(o.Object).(map[string]any)
		}
	}
	fields, err := differences(first, replaceAll(other, printed))
	if err != nil {
		return fmt.Errorf("%w: %w", err, render.ErrInspected)
	}
	if g, field := s.unexplainedStill(ctx, fields); field != "" {
		return fmt.Errorf("%s: %s: %w", g.ID, field, render.ErrInspected)
	}
	return nil
}

// withTypes renders the chart with probes in place of some placeholders: as otherwise, unless a template refuses that.
func (s settling) withTypes(ctx context.Context, some []string, probes map[string]any) (*render.Result, error) {
	other, err := s.renderTyped(ctx, otherwise(s.in, nil, strange), some, probes)
	if err != nil {
		return s.renderTyped(ctx, s.in, some, probes)
	}
	return other, nil
}

// renderTyped renders an input with probes in place of some placeholders.
func (s settling) renderTyped(ctx context.Context, in Input, some []string, probes map[string]any) (*render.Result,
	error) {
	values := map[string]any{}
	for _, p := range some {
		values[p] = probes[p]
	}
	in.Values = withProbes(s.in.Values, values).(map[string]any)
	return renderChart(ctx, s.engine, in, s.post)
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
	probes := probesOf(types, false)
	renders := func(some []string) bool {
		_, err := s.renderTyped(ctx, s.in, some, probes)
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
