package helm

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// generating matches functions that give another result at each render: by chance, from the clock, or in the order of a
// map. A mention outside of a template costs a render and changes no result.
var generating = regexp.MustCompile(
	`\b(rand\w+|uuidv4|shuffle|gen[A-Z]\w+|bcrypt|htpasswd|encryptAES|now|ago|keys|values)\b`)

// settling renders a chart again to find out what its result depends on.
type settling struct {
	engine Engine
	in     Input
	post   postRender
	first  *render.Result
}

// settle finds the fields that differ from render to render, if there can be any. Fields that a template generates are
// listed in the Release. If a field depends on the content of a sealed value, whose placeholder the values have, settle
// returns ErrInspected.
func (s settling) settle(ctx context.Context) error {
	placeholders := placeholdersIn(s.in.Values)
	if err := checkWhole(s.first, placeholders); err != nil {
		return err
	}
	if len(placeholders) == 0 && !isGenerating(s.in.Files) {
		return nil
	}
	second, err := s.again(ctx, placeholders, strange)
	if err != nil {
		return fmt.Errorf("render again with other placeholders: %w", err)
	}
	replaceAll(second, placeholders.back())
	fields, err := differences(s.first, second)
	if len(placeholders) > 0 && (err != nil || len(fields) > 0) {
		return s.attribute(ctx, fields, err)
	}
	s.first.Release.Generated = fields
	return explainGenerated(err)
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
// template generates them.
func (s settling) attribute(ctx context.Context, fields []render.Generated, err error) error {
	third, thirdErr := s.again(ctx, nil, transparent)
	if thirdErr != nil {
		return fmt.Errorf("render again: %w", thirdErr)
	}
	generated, thirdErr := differences(s.first, third)
	switch {
	case thirdErr != nil:
		return explainGenerated(thirdErr)
	case err != nil:
		return fmt.Errorf("%w: %w", err, render.ErrInspected)
	}
	if err := checkHashes(s.first, third); err != nil {
		return err
	}
	for _, g := range fields {
		if i := slices.IndexFunc(g.Fields, func(f string) bool { return !isIn(generated, g.ID, f) }); i >= 0 {
			return fmt.Errorf("%s: %s: %w", g.ID, g.Fields[i], render.ErrInspected)
		}
	}
	s.first.Release.Generated = generated
	return nil
}

// checkHashes refuses an object that has a placeholder in the third render only: there a function that makes a hash of
// a password, with chance in it, returns the password.
func checkHashes(first, third *render.Result) error {
	others := objectsIn(third)
	for i, o := range objectsIn(first) {
		whole := placeholdersOf(o)
		for p := range placeholdersOf(others[i]) {
			if whole[p] == "" {
				return fmt.Errorf("%s: %w", manifest.IDOf(o), render.ErrInspected)
			}
		}
	}
	return nil
}

// placeholdersOf returns the placeholders in an object.
func placeholdersOf(o *manifest.Object) pairs {
	found := pairs{}
	mapTexts(o.Object, isSecret(o), func(text string) string {
		found.add(text)
		return text
	})
	return found
}

func explainGenerated(err error) error {
	if err != nil {
		err = fmt.Errorf("%w: each render makes another object: give it a fixed name", err)
	}
	return err
}

func isIn(all []render.Generated, id manifest.ID, field string) bool {
	return slices.ContainsFunc(all, func(g render.Generated) bool {
		return g.ID == id && slices.Contains(g.Fields, field)
	})
}

// isGenerating reports whether a template may use a function that generates values.
func isGenerating(files []File) bool {
	return slices.ContainsFunc(files, func(f File) bool {
		return !strings.HasSuffix(f.Name, ".md") && (generating.Match(f.Data) || strings.HasSuffix(f.Name, ".tgz"))
	})
}

// pairs are placeholders, each with another that stands for it in the second render.
type pairs map[string]string

// back returns the pairs in the other direction.
func (p pairs) back() pairs {
	back := make(pairs, len(p))
	for from, to := range p {
		back[to] = from
	}
	return back
}

// replace returns a text with each placeholder replaced by the one of its pair.
func (p pairs) replace(text string) string {
	for _, found := range sealed.Find(text) {
		if to, ok := p[string(found)]; ok {
			text = strings.ReplaceAll(text, string(found), to)
		}
	}
	return text
}

// add adds the placeholders in a text.
func (p pairs) add(text string) {
	for _, found := range sealed.Find(text) {
		p[string(found)] = string(found.Other())
	}
}

// placeholdersIn returns the placeholders in values.
func placeholdersIn(values map[string]any) pairs {
	found := pairs{}
	mapTexts(values, false, func(text string) string {
		found.add(text)
		return text
	})
	return found
}

// otherwise returns an input with other placeholders, and with other calls in its templates.
func otherwise(in Input, placeholders pairs, calls map[string]string) Input {
	in.Values = mapTexts(in.Values, false, placeholders.replace).(map[string]any)
	in.Files = slices.Clone(in.Files)
	for i, f := range in.Files {
		if strings.Contains("/"+f.Name, "/templates/") {
			in.Files[i].Data = []byte(estrange(string(f.Data), calls))
		}
	}
	return in
}

// replaceAll replaces placeholders in all objects of a result.
func replaceAll(r *render.Result, p pairs) {
	if len(p) == 0 {
		return
	}
	for _, o := range objectsIn(r) {
		o.Object = mapTexts(o.Object, isSecret(o), p.replace).(map[string]any)
	}
}

// objectsIn returns the objects and the hooks of a result.
func objectsIn(r *render.Result) []*manifest.Object {
	all := slices.Clone(r.Objects)
	for _, h := range r.Release.Hooks {
		all = append(all, h.Object)
	}
	return all
}

// checkWhole refuses objects with a part of a placeholder, or with a placeholder that the values do not have.
func checkWhole(r *render.Result, known pairs) error {
	for _, o := range objectsIn(r) {
		if id := manifest.IDOf(o); len(sealed.Find(o.GetAPIVersion()+" "+id.String())) > 0 {
			return fmt.Errorf("%s: its type, name or namespace: %w", id, render.ErrInspected)
		}
		var broken bool
		mapTexts(o.Object, isSecret(o), func(text string) string {
			broken = broken || sealed.Partial(text)
			for _, p := range sealed.Find(text) {
				broken = broken || known[string(p)] == ""
			}
			return text
		})
		if broken {
			return fmt.Errorf("%s: %w", manifest.IDOf(o), render.ErrInspected)
		}
	}
	return nil
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

// pointerEscape escapes a key for a JSON pointer.
var pointerEscape = strings.NewReplacer("~", "~0", "/", "~1")

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
