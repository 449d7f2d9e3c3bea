package helm

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// A generated field keeps the value that it has in the cluster. If the field is a text with more in it than a time or a
// random number, a change of the rest must reach the cluster all the same. So the object has the digest of the rest as
// an annotation, and the spoke replaces the field if the digest is another one. A field with a password or a
// certificate stays, because other fields may have the same one.

// steadyCalls are functions that give another result at each render, with calls that take the same arguments and always
// give the same.
var steadyCalls = map[string]string{"keys": callsObject + "Keys", "values": callsObject + "Values"}

func init() { maps.Copy(steadyCalls, transparent) }

// Keys is keys of sprig, in the order of the alphabet.
func (c calls) Keys(of ...map[string]any) []string {
	all := []string{}
	for _, m := range of {
		all = append(all, slices.Sorted(maps.Keys(m))...)
	}
	return all
}

// Values is values of sprig, in the order of the keys.
func (c calls) Values(of map[string]any) []any {
	all := []any{}
	for _, key := range slices.Sorted(maps.Keys(of)) {
		all = append(all, of[key])
	}
	return all
}

// addForms gives the objects with generated fields the digests of what is around times and random numbers. If a
// template refuses what stands for generated values, there are no digests.
func (s settling) addForms(ctx context.Context, in Input, r *render.Result) error {
	if len(r.Release.Generated) == 0 {
		return nil
	}
	one, err := s.steady(ctx, in, "Generated0")
	if err != nil {
		return ctx.Err()
	}
	two, err := s.steady(ctx, in, "Generated1")
	if err != nil {
		return ctx.Err()
	}
	secret, err := differences(one, two)
	if err != nil || len(objectsIn(one)) != len(objectsIn(r)) {
		return nil
	}
	others, hooks := objectsIn(one), len(r.Objects)
	for i, o := range objectsIn(r) {
		of := fieldsBy(manifest.IDOf(o), i >= hooks)
		addForm(o, others[i], slices.DeleteFunc(of(r.Release.Generated), func(field string) bool {
			return slices.ContainsFunc(of(secret), func(other string) bool {
				return field == other || strings.HasPrefix(field, other+"/") || strings.HasPrefix(other, field+"/")
			})
		}))
	}
	return nil
}

// fieldsBy returns a function that returns a copy of the fields of one object.
func fieldsBy(id manifest.ID, hook bool) func([]render.Generated) []string {
	return func(all []render.Generated) (fields []string) {
		for _, g := range all {
			if g.ID == id && g.Hook == hook {
				fields = append(fields, g.Fields...)
			}
		}
		return fields
	}
}

// steady renders a chart with fixed results of all calls that generate.
func (s settling) steady(ctx context.Context, in Input, result string) (*render.Result, error) {
	sites := &generatingSites{known: map[string]bool{}, open: map[string]bool{}}
	in = otherwise(sites.rewrite(in), nil, steadyCalls)
	if in.Generation != nil {
		in.Generation = &Generation{steady: result}
	}
	return renderChart(ctx, s.engine, in, s.post)
}

// addForm annotates an object with the forms of its generated fields. other is the object of a steady render.
func addForm(o, other *manifest.Object, fields []string) {
	forms := map[string]string{}
	for _, field := range fields {
		if form := atPointer(other, field); hasForm(other, field, form) {
			data, _ := json.Marshal(form) // parsed YAML can be written
			forms[field] = manifest.DigestOf(data).String()
		}
	}
	if len(forms) == 0 {
		return
	}
	annotations := o.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	text, _ := json.Marshal(forms)
	annotations[manifest.FormAnnotation] = string(text)
	o.SetAnnotations(annotations)
}

// bare matches a text that is one number or one time.
var bare = regexp.MustCompile(`^([A-Za-z0-9:+_.~-]*|\d{4}-\d\d-\d\d[T ][\d:.+Z -]*(UTC)?)$`)

// hasForm reports whether a generated field has more in it than one generated value.
func hasForm(o *manifest.Object, field string, value any) bool {
	switch value := value.(type) {
	case map[string]any, []any:
		return true
	case string:
		if key := field[strings.LastIndex(field, "/")+1:]; sealed.IsBase64(key) || isSecret(o) && field == "/data/"+key {
			if data, err := base64.StdEncoding.DecodeString(value); err == nil {
				value = string(data)
			}
		}
		return !bare.MatchString(value)
	}
	return false
}
