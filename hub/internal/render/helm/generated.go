package helm

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/manifest"
)

// generating matches functions that give another result at each render: by chance, from the clock, or in the order of a
// map. A mention outside of a template costs a render and changes no result.
var generating = regexp.MustCompile(
	`\b(rand\w+|uuidv4|shuffle|gen[A-Z]\w+|bcrypt|htpasswd|encryptAES|now|ago|keys|values)\b`)

// settling renders a chart again to find out what its result depends on.
type settling struct {
	engine Engine
	build  *api.ChartBuild
	in     Input
	post   postRender
	first  *render.Result
}

// settle finds the fields that differ from render to render, if there can be any. Fields that a template generates are
// listed in the Release. If a field depends on the content of a sealed value, whose placeholder the values have, settle
// returns ErrInspected.
func (s settling) settle(ctx context.Context) error {
	placeholders := placeholdersIn(s.in.Values)
	placeholders.addRecipes(s.first.Release.Recipes)
	if err := checkWhole(s.first, placeholders); err != nil {
		if seen := s.named(err); seen != nil {
			return seen
		}
		return s.explain(ctx, err, s.probes)
	}
	if len(placeholders) == 0 && !isGenerating(s.in) {
		return nil
	}
	second, probes, err := s.another(ctx, placeholders)
	if err != nil {
		return fmt.Errorf("render again with other placeholders: %w", err)
	}
	fields, err := s.compare(second, probes)
	if len(placeholders) == 0 {
		s.first.Release.Generated = fields
		return explainGenerated(err)
	}
	if err != nil || len(fields) > 0 {
		if fields, err = s.attribute(ctx, fields, err); err != nil {
			return err
		}
	}
	s.first.Release.Generated = fields
	if err := s.checkTypes(ctx); err != nil {
		return err
	}
	if err := s.checkNumbers(ctx, placeholders); err != nil {
		return err
	}
	if err := s.checkCalls(ctx, placeholders); err != nil {
		return err
	}
	s.retype(ctx)
	return nil
}

// checkNumbers renders the chart with numbers in place of the placeholders. A template that makes a number of a value
// makes 0 of all others. If a template refuses the numbers, checkNumbers finds nothing.
func (s settling) checkNumbers(ctx context.Context, placeholders pairs) error {
	numbers := placeholders.numbers()
	other, err := s.again(ctx, numbers, strange)
	if err != nil {
		return ctx.Err() // nil: a template refuses the numbers
	}
	fields, err := s.compare(other, numbers)
	if err != nil {
		return s.explain(ctx, fmt.Errorf("%w: %w", err, render.ErrInspected), pairs.numbers)
	}
	if g, field := s.unexplainedStill(ctx, fields); field != "" {
		return s.explain(ctx, fmt.Errorf("%s: %s: %w", g.ID, field, render.ErrInspected), pairs.numbers)
	}
	return s.checkNumeric(other)
}

// another renders the chart with other texts in place of the placeholders, and returns these pairs, too. If a template
// refuses texts that are like passwords, such as one with capital letters, the texts are other placeholders.
func (s settling) another(ctx context.Context, placeholders pairs) (*render.Result, pairs, error) {
	probes := s.probes(placeholders)
	second, err := s.again(ctx, probes, strange)
	if err != nil && len(placeholders) > 0 {
		probes = placeholders
		second, err = s.again(ctx, probes, strange)
	}
	return second, probes, err
}

// compare returns the fields in which the first result differs from another one, in which texts stand for placeholders.
// Quotes around them do not count: toYaml writes a text that is a number with quotes.
func (s settling) compare(other *render.Result, texts pairs) ([]render.Generated, error) {
	return differences(replaceAll(s.first, texts.same().unquoted()), replaceAll(other, texts.back().unquoted()))
}

// again renders the chart with other placeholders and other calls. If the calls make it fail, again leaves them out.
func (s settling) again(ctx context.Context, placeholders pairs, calls map[string]string) (*render.Result, error) {
	result, err := renderChart(ctx, s.engine, otherwise(s.in, placeholders, calls), s.post)
	if err != nil {
		return renderChart(ctx, s.engine, otherwise(s.in, placeholders, nil), s.post)
	}
	return result, nil
}

// attribute decides whether fields, or an object of which err tells, differ because of the placeholders, or because a
// template generates them. It returns the fields that a template generates.
func (s settling) attribute(ctx context.Context, fields []render.Generated, err error) ([]render.Generated, error) {
	third, thirdErr := s.again(ctx, nil, transparent)
	if thirdErr != nil {
		return nil, fmt.Errorf("render again: %w", thirdErr)
	}
	generated, thirdErr := differences(s.first, third)
	switch {
	case thirdErr != nil:
		return nil, explainGenerated(thirdErr)
	case err != nil:
		return nil, s.explain(ctx, fmt.Errorf("%w: %w", err, render.ErrInspected), s.probes)
	}
	if id, placeholder := hashed(s.first, third); placeholder != "" {
		return nil, s.explainHash(fmt.Errorf("%s: %w", id, render.ErrInspected), placeholder)
	}
	generated, g, field := s.explained(ctx, fields, generated)
	if field != "" {
		return nil, s.explain(ctx, fmt.Errorf("%s: %s: %w", g.ID, field, render.ErrInspected), s.probes)
	}
	return generated, nil
}

// maxChances is how many renders tell that a field is generated: a digit by chance is the same in one of ten.
const maxChances = 12

// explained does what unexplained does, and renders again as long as a field is unexplained: two renders can make the
// same value by chance. It returns the fields that a template generates, with those that it found.
func (s settling) explained(ctx context.Context, fields, generated []render.Generated) ([]render.Generated,
	render.Generated, string) {
	for range maxChances {
		g, field := s.unexplained(fields, generated)
		if field == "" || !isGenerating(s.in) {
			return generated, g, field
		}
		other, err := s.again(ctx, nil, transparent)
		if err != nil {
			return generated, g, field
		}
		more, err := differences(s.first, other)
		if err != nil {
			return generated, g, field
		}
		generated = joinGenerated(generated, more)
	}
	g, field := s.unexplained(fields, generated)
	return generated, g, field
}

// unexplainedStill does what explained does with the generated fields of the first result, and adds those that it
// found.
func (s settling) unexplainedStill(ctx context.Context, fields []render.Generated) (render.Generated, string) {
	generated, g, field := s.explained(ctx, fields, s.first.Release.Generated)
	s.first.Release.Generated = generated
	return g, field
}

// joinGenerated returns the fields of two lists, each once.
func joinGenerated(all, more []render.Generated) []render.Generated {
	all = slices.Clone(all)
	for _, g := range more {
		i := slices.IndexFunc(all, func(other render.Generated) bool { return other.ID == g.ID && other.Hook == g.Hook })
		if i < 0 {
			all = append(all, g)
			continue
		}
		joined := slices.Concat(all[i].Fields, g.Fields)
		slices.Sort(joined)
		all[i].Fields = slices.Compact(joined)
	}
	return all
}

// hashed returns a placeholder that an object has in the third render only: there a function that makes a hash of a
// password, with chance in it, returns the password.
func hashed(first, third *render.Result) (id manifest.ID, placeholder string) {
	others := objectsIn(third)
	for i, o := range objectsIn(first) {
		whole := placeholdersOf(o)
		for _, p := range slices.Sorted(maps.Keys(placeholdersOf(others[i]))) {
			if whole[p] == "" {
				return manifest.IDOf(o), p
			}
		}
	}
	return id, ""
}

// unexplained returns the first field that is neither generated nor the checksum of a configuration; empty if there is
// none.
func (s settling) unexplained(fields, generated []render.Generated) (render.Generated, string) {
	known := map[string]bool{}
	key := func(g render.Generated, field string) string { return fmt.Sprint(g.ID, g.Hook, field) }
	for _, g := range generated {
		for _, field := range g.Fields {
			known[key(g, field)] = true
		}
	}
	objects := objectsIn(s.first)
	for _, g := range fields {
		for _, field := range g.Fields {
			if !known[key(g, field)] && !slices.ContainsFunc(objects, func(o *manifest.Object) bool {
				return manifest.IDOf(o) == g.ID && isChecksum(o, field)
			}) {
				return g, field
			}
		}
	}
	return render.Generated{}, ""
}

// checksumKey matches the names of annotations that templates give the digest of a configuration, so that Pods start
// anew when it changes. The digest of a placeholder serves as well: another value has another placeholder.
var (
	checksumKey  = regexp.MustCompile(`(?i)/metadata/annotations/[^/]*(checksum|hash|digest|sha)[^/]*$`)
	checksumText = regexp.MustCompile(`^[0-9a-f]{8,128}$`)
)

// isChecksum reports whether a field of an object is an annotation with the digest of a configuration.
func isChecksum(o *manifest.Object, field string) bool {
	if !checksumKey.MatchString(field) {
		return false
	}
	text, _ := atPointer(o, field).(string)
	return checksumText.MatchString(text)
}

// atPointer returns the value at a JSON pointer; nil if there is none.
func atPointer(o *manifest.Object, pointer string) any {
	path := strings.Split(pointer[1:], "/")
	for i, part := range path {
		path[i] = pointerUnescape.Replace(part)
	}
	value, _ := manifest.ValueAt(o.Object, path)
	return value
}

func explainGenerated(err error) error {
	if err != nil {
		err = fmt.Errorf("%w: each render makes another object: give it a fixed name", err)
	}
	return err
}

// isGenerating reports whether a template, or a text in the values, may use a function that generates values.
func isGenerating(in Input) bool {
	values, _ := json.Marshal(in.Values)
	return generating.Match(values) || slices.ContainsFunc(in.Files, func(f File) bool {
		return !strings.HasSuffix(f.Name, ".md") && generating.Match(f.Data)
	})
}

// differences returns the fields that differ between two results. If an object of one has another type or name in the
// other, differences returns an error.
func differences(first, second *render.Result) (all []render.Generated, err error) {
	if len(first.Objects) != len(second.Objects) || len(first.Release.Hooks) != len(second.Release.Hooks) {
		return nil, fmt.Errorf("the number of objects differs from render to render")
	}
	others := objectsIn(second)
	for i, o := range objectsIn(first) {
		id, isHook := manifest.IDOf(o), i >= len(first.Objects)
		if !isHook && id != manifest.IDOf(others[i]) {
			return nil, fmt.Errorf("%s: its name or type differs from render to render", id)
		}
		if fields := differing(o.Object, others[i].Object, ""); len(fields) > 0 {
			all = append(all, render.Generated{ID: id, Hook: isHook, Fields: fields})
		}
	}
	return all, nil
}

// differing returns the JSON pointers of the fields that differ between two values, the lowest ones.
func differing(a, b any, at string) (fields []string) {
	mapA, isMapA := a.(map[string]any)
	mapB, isMapB := b.(map[string]any)
	listA, isListA := a.([]any)
	listB, isListB := b.([]any)
	switch {
	case isMapA && isMapB:
		for _, key := range keysOf(mapA, mapB) {
			_, inA := mapA[key]
			_, inB := mapB[key]
			below := at + "/" + pointerEscape.Replace(key)
			if inA != inB { // a key may be generated
				return []string{at}
			}
			fields = append(fields, differing(mapA[key], mapB[key], below)...)
		}
	case isListA && isListB && len(listA) == len(listB):
		for i := range listA {
			fields = append(fields, differing(listA[i], listB[i], at+"/"+strconv.Itoa(i))...)
		}
	case isMapA || isMapB || isListA || isListB || a != b:
		fields = []string{at}
	}
	return fields
}

// pointerEscape escapes a key for a JSON pointer; pointerUnescape returns the key.
var (
	pointerEscape   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescape = strings.NewReplacer("~1", "/", "~0", "~")
)

// keysOf returns the keys of two maps, sorted.
func keysOf(a, b map[string]any) (keys []string) {
	for key := range a {
		keys = append(keys, key)
	}
	for key := range b {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
