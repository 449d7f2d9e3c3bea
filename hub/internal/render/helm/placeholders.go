package helm

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// pairs are placeholders, each with a text that stands for it in another render.
type pairs map[string]string

// back returns the pairs in the other direction.
func (p pairs) back() pairs {
	back := make(pairs, len(p))
	for from, to := range p {
		back[to] = from
	}
	return back
}

// replacer returns a function that replaces each text by the other one of its pair.
func (p pairs) replacer() func(string) string {
	var texts []string
	for _, from := range slices.Sorted(maps.Keys(p)) {
		texts = append(texts, from, p[from])
	}
	return strings.NewReplacer(texts...).Replace
}

// add adds the placeholders in a text.
func (p pairs) add(text string) {
	for _, found := range sealed.Find(text) {
		p[string(found)] = string(found.Other())
	}
}

// unquoted returns the pairs with further ones, which also take quotes away from around a text.
func (p pairs) unquoted() pairs {
	all := maps.Clone(p)
	for from, to := range p {
		all[`"`+from+`"`], all[`'`+from+`'`] = to, to
	}
	return all
}

// probes returns the placeholders with texts that are like passwords: functions such as lower, trunc and urlquery,
// which keep a placeholder as it is, change them. In YAML they are texts without quotes, and they are no base64.
func (p pairs) probes() pairs {
	probes := make(pairs, len(p))
	for placeholder := range p {
		body := placeholder[1+len(sealed.Mark):]
		probes[placeholder] = "N$/+" + strings.ToUpper(body) + "=~" + body + "-" + strings.ToUpper(body)
	}
	return probes
}

// same returns the placeholders with themselves.
func (p pairs) same() pairs {
	same := make(pairs, len(p))
	for placeholder := range p {
		same[placeholder] = placeholder
	}
	return same
}

// numbers returns the placeholders with texts that are numbers, and no base64. They are small, because a template may
// count to them.
func (p pairs) numbers() pairs {
	numbers := make(pairs, len(p))
	for i, placeholder := range slices.Sorted(maps.Keys(p)) {
		numbers[placeholder] = strconv.Itoa(100_109 + 7*i)
	}
	return numbers
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
	if in.Generation != nil {
		in.Generation = &Generation{show: placeholders.replacer(), hide: placeholders.back().replacer(),
			transparent: calls["bcrypt"] != ""}
	}
	in.Values = mapTexts(in.Values, false, placeholders.replacer()).(map[string]any)
	in.Files = slices.Clone(in.Files)
	for i, f := range in.Files {
		if isTemplate(f) {
			in.Files[i].Data = []byte(estrange(string(f.Data), calls))
		}
	}
	if len(calls) > 0 {
		in = in.withTexts(func(text string) string { return estrange(text, calls) })
	}
	return in
}

// replaceAll returns a result with placeholders replaced in all objects.
func replaceAll(r *render.Result, p pairs) *render.Result {
	if len(p) == 0 {
		return r
	}
	replace := p.replacer()
	replaced := func(o *manifest.Object) *manifest.Object {
		return &manifest.Object{Object: mapTexts(o.Object, isSecret(o), replace).(map[string]any)}
	}
	out := &render.Result{Release: &render.Release{Hooks: slices.Clone(r.Release.Hooks)}}
	for _, o := range r.Objects {
		out.Objects = append(out.Objects, replaced(o))
	}
	for i := range out.Release.Hooks {
		h := &out.Release.Hooks[i]
		h.Object = replaced(h.Object)
	}
	return out
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
	recipes := pairs{}
	recipes.addRecipes(r.Release.Recipes)
	for _, o := range objectsIn(r) {
		if sealed.InIdentity(o) {
			return fmt.Errorf("%s: its type, name or namespace: %w", manifest.IDOf(o), render.ErrInspected)
		}
		broken := sealedBundle(o, recipes)
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

// placeholdersOf returns the placeholders in an object.
func placeholdersOf(o *manifest.Object) pairs {
	found := pairs{}
	mapTexts(o.Object, isSecret(o), func(text string) string {
		found.add(text)
		return text
	})
	return found
}
