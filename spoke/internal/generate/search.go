package generate

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// Values are the values of recipes. Printing, logging and encoding Values give a fixed text.
type Values struct {
	texts  map[sealed.Placeholder]string
	unused []string // of the cluster, that do not fit any more
	size   int
}

// Find returns the value of a placeholder, and whether there is one. Values may be nil.
func (v *Values) Find(p sealed.Placeholder) (sealed.Value, bool) {
	if v == nil {
		return sealed.Value{}, false
	}
	text, ok := v.texts[p]
	return sealed.Text(text), ok
}

// Secrets calls each with each value that is a secret, in any order. A certificate is none.
func (v *Values) Secrets(each func(string)) {
	for _, text := range slices.AppendSeq(slices.Clone(v.unused), maps.Values(v.texts)) {
		if !strings.HasPrefix(text, "-----BEGIN CERTIFICATE-----") {
			each(text)
		}
	}
}

// Size returns the length of all values in bytes.
func (v *Values) Size() int {
	if v == nil {
		return 0
	}
	return v.size
}

// Format implements fmt.Formatter, for every verb.
func (v *Values) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[generated values]") }

// LogValue implements slog.LogValuer.
func (v *Values) LogValue() slog.Value { return slog.StringValue("[generated values]") }

// Search looks for the values of recipes. It holds plaintext.
type Search struct {
	recipes []bundle.Recipe
	by      map[sealed.Placeholder]int // index of the recipe
	fields  map[manifest.ID][]field    // that have placeholders of recipes
	used    map[sealed.Placeholder]bool
	found   map[sealed.Placeholder]string
	held    map[sealed.Placeholder]bool     // found in an object, and not only in the notes of a record
	unused  []string                        // values that do not fit any more
	halves  map[sealed.Placeholder][]string // certificates and keys that the cluster has, see take
	lengths []int                           // of the values of the recipes; 0: any
}

// NewSearch returns a Search for the values of recipes, which are valid.
func NewSearch(recipes []bundle.Recipe) *Search {
	s := &Search{recipes: recipes, by: map[sealed.Placeholder]int{}, fields: map[manifest.ID][]field{},
		used: map[sealed.Placeholder]bool{}, found: map[sealed.Placeholder]string{},
		held: map[sealed.Placeholder]bool{}, halves: map[sealed.Placeholder][]string{}}
	for i, r := range recipes {
		for _, p := range r.Placeholders() {
			s.by[sealed.Placeholder(p)] = i
		}
	}
	s.lengths = lengthsOf(recipes, s.by)
	return s
}

// field is a field of an object with placeholders of recipes.
type field struct {
	path    []segment
	text    string // decoded
	encoded bool   // base64
}

// segment is a step of a path: the key of a map, or an element of a list.
type segment struct {
	key   string
	index int    // of the element; if it has a name, among those of this name
	of    int    // elements; 0: the segment is a key
	name  string // of the element; empty: it has none, or a generated one
}

// elementsOf returns the segments of the elements of a list.
func elementsOf(list []any) []segment {
	segments, named := make([]segment, len(list)), map[string]int{}
	for i, item := range list {
		segments[i] = segment{index: i, of: len(list), name: nameOf(item)}
		if name := segments[i].name; len(sealed.Find(name)) > 0 {
			segments[i].name = ""
		} else if name != "" {
			segments[i].index = named[name]
			named[name]++
		}
	}
	return segments
}

// in returns the element that the segment stands for: by its name if it has one, and otherwise by its index if the list
// is as long.
func (s segment) in(list []any) (any, bool) {
	if s.name == "" {
		if len(list) != s.of {
			return nil, false
		}
		return list[s.index], true
	}
	at := 0
	for _, item := range list {
		if nameOf(item) != s.name {
			continue
		}
		if at == s.index {
			return item, true
		}
		at++
	}
	return nil, false
}

// Add notes which fields of an object have placeholders of recipes, and reports whether there are such.
func (s *Search) Add(o *manifest.Object) bool {
	id, entries := manifest.IDOf(o), sealed.Base64Entries(o)
	before := len(s.fields[id]) // of a hook or an object with the same name
	s.add(id, o.Object, nil, func(path []segment) bool {
		return len(path) == 2 && path[0].key == entries || sealed.IsBase64(path[len(path)-1].key)
	})
	return len(s.fields[id]) > before
}

func (s *Search) add(id manifest.ID, value any, path []segment, encoded func([]segment) bool) {
	switch value := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			s.add(id, value[key], append(slices.Clip(path), segment{key: key}), encoded)
		}
	case []any:
		for i, element := range elementsOf(value) {
			s.add(id, value[i], append(slices.Clip(path), element), encoded)
		}
	case string:
		f := field{path: path, text: value}
		if len(path) > 0 && encoded(path) && len(sealed.Find(value)) == 0 {
			data, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				return
			}
			f.text, f.encoded = string(data), true
		}
		isUsed := false
		for _, p := range sealed.Find(f.text) {
			if _, known := s.by[p]; known {
				s.used[p], isUsed = true, true
			}
		}
		if isUsed {
			s.fields[id] = append(s.fields[id], f)
		}
	}
}

// IsComplete reports whether the values of all placeholders are found that were added.
func (s *Search) IsComplete() bool {
	for p := range s.used {
		if _, found := s.found[p]; !found {
			return false
		}
	}
	return true
}

// Found returns the values that were found.
func (s *Search) Found() *Values {
	v := s.noValues()
	for p, text := range s.found {
		v.put(string(p), text)
	}
	return v
}

// noValues returns Values without the value of a placeholder.
func (s *Search) noValues() *Values {
	unused := slices.Concat(append(slices.Collect(maps.Values(s.halves)), s.unused)...)
	return &Values{texts: map[sealed.Placeholder]string{}, unused: unused}
}

// Take takes the values that an object has where the added object with an ID has placeholders. What was found before
// counts more.
func (s *Search) Take(id manifest.ID, o *manifest.Object) {
	for _, f := range s.fields[id] {
		text, ok := f.in(o)
		if !ok {
			continue
		}
		for p, value := range s.values(f.text, text) {
			if value != "" {
				s.take(p, value, id != manifest.ID{})
			}
		}
	}
}

// in returns the text that an object has in a field.
func (f field) in(o *manifest.Object) (text string, ok bool) {
	value, isThere := at(o.Object, f.path)
	encoded := f.encoded
	if !isThere && f.path[0].key == "stringData" && sealed.Base64Entries(o) == "data" {
		value, _ = at(o.Object, append([]segment{{key: "data"}}, f.path[1:]...)) // as the API server stores it
		encoded = true
	}
	if text, ok = value.(string); !ok || !encoded {
		return text, ok
	}
	data, err := base64.StdEncoding.DecodeString(text)
	return string(data), err == nil
}

// nameOf returns the name of an element of a list; empty if it has none.
func nameOf(item any) string {
	fields, _ := item.(map[string]any)
	name, _ := fields["name"].(string)
	return name
}

// at returns the value at a path.
func at(value any, path []segment) (_ any, has bool) {
	for _, s := range path {
		if s.of == 0 {
			fields, _ := value.(map[string]any)
			value, has = fields[s.key]
		} else {
			list, _ := value.([]any)
			value, has = s.in(list)
		}
		if !has {
			return nil, false
		}
	}
	return value, true
}

// maxValues limits the values of the recipes of one release, in bytes.
const maxValues = 1 << 20

// Values returns the values of all recipes that objects need: those that were found, and new ones for those that were
// not, or that do not fit any more. What depends on a new value is made anew, too, so that certificates fit to the
// authority that signs them. A certificate and its key are made together.
func (s *Search) Values(ctx context.Context) (*Values, error) {
	if err := s.dropUnfit(ctx); err != nil {
		return nil, err
	}
	makes, v := s.missing(), s.noValues()
	for i, r := range s.recipes {
		if !makes[i] {
			for _, p := range r.Placeholders() {
				if text, ok := s.found[sealed.Placeholder(p)]; ok {
					v.put(p, text)
				}
			}
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		made, err := makeValue(r, v.texts)
		if err != nil {
			return nil, fmt.Errorf("generate a value (recipe %s): %w", strconv.Quote(r.Function), err)
		}
		for n, p := range r.Placeholders() {
			v.put(p, made[n])
		}
		if v.size > maxValues {
			return nil, fmt.Errorf("the generated values have more than %d bytes", maxValues)
		}
	}
	return v, nil
}

func (v *Values) put(placeholder, text string) {
	v.texts[sealed.Placeholder(placeholder)] = text
	v.size += len(text)
}

// missing returns the indexes of the recipes that are carried out.
func (s *Search) missing() map[int]bool {
	makes := map[int]bool{}
	lacks := func(p sealed.Placeholder) bool { _, found := s.found[p]; return !found }
	for i, r := range s.recipes {
		for _, p := range r.Placeholders() {
			makes[i] = makes[i] || s.used[sealed.Placeholder(p)] && lacks(sealed.Placeholder(p))
		}
	}
	for changed := true; changed; {
		changed = false
		for i, r := range s.recipes {
			for _, p := range r.Needs() {
				giver := s.by[p]
				switch {
				case makes[i] && !makes[giver] && lacks(p):
					makes[giver], changed = true, true
				case makes[giver] && !makes[i]:
					makes[i], changed = true, true
				}
			}
		}
	}
	for i := range s.recipes {
		if !makes[i] {
			delete(makes, i)
		}
	}
	return makes
}
