package kustomize

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// compare refuses two builds with different placeholders that differ in more than the placeholders.
func compare(first, second *rendering) error {
	if len(first.objects) != len(second.objects) {
		return fmt.Errorf("%w: the number of objects depends on it", render.ErrInspected)
	}
	placeholders := correspondence(first.sealed, second.sealed)
	for t := range first.expressions() {
		placeholders.from[t] = "a text with variables"
	}
	for i, a := range first.objects {
		if err := placeholders.checkWhole(a); err != nil {
			return err
		}
		if err := placeholders.rename(a, second.objects[i]); err != nil {
			return err
		}
	}
	placeholders.matchExpressions(first.expressions(), second.expressions())
	for i, a := range first.objects {
		if err := placeholders.compare(a, second.objects[i]); err != nil {
			return err
		}
	}
	return nil
}

// placeholderMap maps texts of the second build to those of the first.
type placeholderMap struct {
	first map[string]string // placeholder of the second build → placeholder of the first
	names map[string]string // generated name of the second build → of the first
	from  map[string]string // placeholder of the first build → "file: path", for messages
}

func correspondence(first, second map[string]sealedFile) *placeholderMap {
	m := &placeholderMap{first: map[string]string{}, names: map[string]string{}, from: map[string]string{}}
	for p, a := range first {
		b, ok := second[p]
		if !ok {
			continue
		}
		for i, v := range a.Values {
			m.first[b.Values[i].Placeholder] = v.Placeholder
			m.from[v.Placeholder] = strings.TrimSuffix(a.Path+": "+strings.Join(v.Path, "."), ": ")
		}
	}
	return m
}

// checkWhole refuses an object that has a part of a placeholder, or an unknown placeholder.
func (m *placeholderMap) checkWhole(o *manifest.Object) error {
	return eachText(o, func(field, text string) error {
		altered := sealed.Partial(text)
		for _, t := range sealed.Find(text) {
			_, known := m.from[string(t)]
			altered = altered || !known
		}
		if altered {
			return fmt.Errorf("%s: %s: %w", manifest.IDOf(o), field, render.ErrInspected)
		}
		return nil
	})
}

// hashLength is the length of the suffix that kustomize makes from the content of a generated ConfigMap or Secret.
const hashLength = 10

// rename notes a name that differs because kustomize makes it from the content, including placeholders. If two names
// differ for another reason, rename returns an error.
func (m *placeholderMap) rename(a, b *manifest.Object) error {
	nameA, nameB := a.GetName(), b.GetName()
	if nameA == nameB {
		return nil
	}
	stem := len(nameA) - hashLength
	generated := a.GetKind() == b.GetKind() && (a.GetKind() == "Secret" || a.GetKind() == "ConfigMap")
	if !generated || len(nameA) != len(nameB) || stem < 1 || nameA[stem-1] != '-' || nameA[:stem] != nameB[:stem] {
		return fmt.Errorf("%s: name: %w", manifest.IDOf(a), render.ErrInspected)
	}
	m.names[nameB] = nameA
	return nil
}

// inFirst returns a text of the second build with the placeholders and names of the first.
func (m *placeholderMap) inFirst(text string) string {
	for _, t := range sealed.Find(text) {
		if first, ok := m.first[string(t)]; ok {
			text = strings.ReplaceAll(text, string(t), first)
		}
	}
	for second, first := range m.names {
		text = strings.ReplaceAll(text, second, first)
	}
	return text
}

// compare refuses two objects that differ in more than placeholders and generated names. It changes b into a.
func (m *placeholderMap) compare(a, b *manifest.Object) error {
	replaceTexts(b.Object, binaryFields(b), func(_, text string) string { return m.inFirst(text) })
	wantA, err := normal(a)
	if err != nil {
		return err
	}
	wantB, err := normal(b)
	if err != nil {
		return err
	}
	if bytes.Equal(wantA, wantB) {
		return nil
	}
	return fmt.Errorf("%s: %w (encrypted values: %s)", manifest.IDOf(a), render.ErrInspected,
		strings.Join(slices.Sorted(maps.Values(m.from)), ", "))
}

// normal returns an object's canonical bytes with base64 on one line, because kustomize folds long lines.
func normal(o *manifest.Object) ([]byte, error) {
	c := o.DeepCopy()
	if field := binaryFields(c); field != "" {
		replaceTexts(c.Object[field], "", func(_, text string) string { return strings.ReplaceAll(text, "\n", "") })
	}
	return manifest.Canonical(c)
}

// used returns the sealed files whose placeholders occur in the objects, by path, each with those placeholders. A
// placeholder is listed with one file only.
func used(r *rendering) []render.SealedFile {
	occurring := occurringIn(r.objects)
	for placeholder, text := range r.expressions() {
		if !occurring[placeholder] {
			continue
		}
		for _, t := range sealed.Find(text) {
			occurring[string(t)] = true
		}
	}
	var out []render.SealedFile
	for _, p := range slices.Sorted(maps.Keys(r.sealed)) {
		s := r.sealed[p]
		file := s.SealedFile
		file.Values = nil
		for _, v := range s.Values {
			if occurring[v.Placeholder] {
				file.Values = append(file.Values, v)
				delete(occurring, v.Placeholder)
			}
		}
		if len(file.Values) > 0 {
			slices.SortFunc(file.Values, func(a, b bundle.SealedValue) int { return cmp.Compare(a.Placeholder, b.Placeholder) })
			out = append(out, render.SealedFile{SealedFile: file, Data: s.original})
		}
	}
	return out
}

// occurringIn returns the placeholders that occur in objects.
func occurringIn(objects []*manifest.Object) map[string]bool {
	occurring := map[string]bool{}
	for _, o := range objects {
		replaceTexts(o.Object, binaryFields(o), func(_, text string) string {
			for _, t := range sealed.Find(text) {
				occurring[string(t)] = true
			}
			return text
		})
	}
	return occurring
}
