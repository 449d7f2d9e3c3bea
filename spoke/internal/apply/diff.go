package apply

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// FieldChange is one field that differs between an object in the cluster and the object as it should be.
type FieldChange struct {
	Path string // JSON pointer
	// Old is the JSON that the field should have, New the JSON that it has; empty: there is no field. A value of a Secret
	// or of an object with sealed values is masked.
	Old, New string
}

// String describes the change in a line.
func (c FieldChange) String() string {
	switch {
	case c.Old == "":
		return fmt.Sprintf("%s was added: %s", c.Path, c.New)
	case c.New == "":
		return fmt.Sprintf("%s was removed: %s", c.Path, c.Old)
	}
	return fmt.Sprintf("%s: %s became %s", c.Path, c.Old, c.New)
}

// difference is a FieldChange whose values may be secret.
type difference struct {
	path           string
	want, have     any
	wanted, exists bool
}

// inspect returns the fields of an object that others changed. o is the object as it would be sent.
func (r *run) inspect(ctx context.Context, o *manifest.Object, mode inventory.Mode) ([]difference, error) {
	r.wholes <- struct{}{}
	defer func() { <-r.wholes }()
	live, err := r.client.Look(ctx, kube.Identify(o), true)
	if err != nil {
		return nil, err
	}
	return compare(o, live, mode.Takeover(r.Application)), nil
}

// compare returns the fields of desired that live has otherwise and that our manager does not own any more, and the
// fields that only managers of the Takeover own, by path. The API server takes a field from our manager when somebody
// changes it, so a value that it only writes in another way is no difference.
func compare(desired *manifest.Object, live kube.Live, t kube.Takeover) []difference {
	want := storedForm(desired)
	d := differ{live: live}
	d.object("", want, live.Object.Object, live.OwnedFields())
	for path, value := range leftovers(want, live.Object, live.FieldsOf(t)) {
		d.found = append(d.found, difference{path: path, have: value, exists: true})
	}
	slices.SortFunc(d.found, func(a, b difference) int { return strings.Compare(a.path, b.path) })
	return slices.CompactFunc(d.found, func(a, b difference) bool { return a.path == b.path })
}

// leftovers yields the fields of an object that are not wanted, by path, out of those that managers of a Takeover own.
func leftovers(want map[string]any, o *manifest.Object, owned [][]string) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for _, path := range owned {
			value, exists := valueAt(o.Object, path)
			_, wanted := valueAt(want, path)
			if exists && !wanted && path[len(path)-1] != manifest.LastAppliedAnnotation && !yield(pointerOf(path), value) {
				return
			}
		}
	}
}

// reveal returns differences as texts of at most the length that reports have, without secret values. hide takes secret
// values out of a text.
func reveal(found []difference, hide func(string) string) []FieldChange {
	changes := make([]FieldChange, 0, len(found))
	for _, d := range found {
		c := FieldChange{Path: telemetry.Printable(d.path, reporting.MaxWord)}
		if d.wanted {
			c.Old = textOf(hidden(d.want, hide), reporting.MaxValue)
		}
		if d.exists {
			c.New = textOf(hidden(d.have, hide), reporting.MaxValue)
		}
		changes = append(changes, c)
	}
	return changes
}

// hiderOf returns the function that takes secret values out of texts about a loaded object. Nothing of a Secret and of
// an object with sealed values is shown.
func hiderOf(id manifest.ID, l Loaded) func(string) string {
	switch {
	case isSecret(id) || l.Sealed:
		return func(string) string { return reporting.Mask }
	case l.Redact != nil:
		return l.Redact
	}
	return func(s string) string { return s }
}

// textOf returns a value without secrets as JSON, cut to a number of bytes.
func textOf(value any, limit int) string {
	data, err := json.Marshal(value)
	if err != nil {
		return reporting.Mask
	}
	return telemetry.Printable(string(data), limit)
}

// hidden returns a copy of a value in which hide changed every single value.
func hidden(value any, hide func(string) string) any {
	switch v := value.(type) {
	case nil:
		return nil
	case string:
		return hide(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, part := range v {
			out[key] = hidden(part, hide)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, part := range v {
			out[i] = hidden(part, hide)
		}
		return out
	}
	if text := fmt.Sprint(value); hide(text) != text {
		return hide(text)
	}
	return value
}

// storedForm returns the fields of an object as the API server keeps them: the stringData of a Secret is in data.
func storedForm(o *manifest.Object) map[string]any {
	text, _ := o.Object["stringData"].(map[string]any)
	if len(text) == 0 || !isSecret(manifest.IDOf(o)) {
		return o.Object
	}
	data, _ := o.Object["data"].(map[string]any)
	out, all := maps.Clone(o.Object), map[string]any{}
	maps.Copy(all, data)
	for key, value := range text {
		s, _ := value.(string)
		all[key] = base64.StdEncoding.EncodeToString([]byte(s))
	}
	delete(out, "stringData")
	out["data"] = all
	return out
}

// differ collects differences.
type differ struct {
	live  kube.Live
	found []difference
}

// object compares two maps. owned are our fields of the map, in the format of managedFields.
func (d *differ) object(path string, want, have, owned map[string]any) {
	for key, value := range want {
		now, is := have[key]
		field, ours := owned["f:"+key].(map[string]any)
		d.value(path+"/"+escape(key), value, now, is, field, ours)
	}
}

// value compares two values. If we own the field as a whole, nobody changed it.
func (d *differ) value(path string, want, have any, is bool, owned map[string]any, ours bool) {
	if ours && len(owned) == 0 && !d.emptied(path, want, have) {
		return
	}
	switch want := want.(type) {
	case map[string]any:
		if now, ok := have.(map[string]any); ok {
			d.object(path, want, now, owned)
			return
		}
	case []any:
		if now, ok := have.([]any); ok {
			d.list(path, want, now, owned)
			return
		}
	}
	if !is || !reflect.DeepEqual(want, have) {
		d.add(path, want, have, is)
	}
}

// emptied reports whether others took all parts of a map from us and left us its path. In a custom resource whose
// definition does not know the map, managedFields has the same for such a map and for one that is ours as a whole.
func (d *differ) emptied(path string, want, have any) bool {
	wanted, isMap := want.(map[string]any)
	now, isNow := have.(map[string]any)
	if !isMap || !isNow {
		return false
	}
	for key, value := range wanted {
		if _, is := now[key]; !is && value != nil && !reflect.ValueOf(value).IsZero() {
			return true
		}
	}
	return d.live.OthersThan(kube.Takeover{}).OwnBelow(segmentsOf(path))
}

// list compares two lists: element by element if their elements have keys, else as a whole.
func (d *differ) list(path string, want, have []any, owned map[string]any) {
	keys := kube.KeysOf(owned)
	places := placesIn(have, keys)
	for i, element := range want {
		key := keys.Of(element)
		if key == "" && nameOf(element) == "" {
			if !reflect.DeepEqual(want, have) {
				d.add(path, want, have, true)
			}
			return
		}
		fields, ours := owned[key].(map[string]any)
		at, found := places.of(key, nameOf(element))
		if !found {
			d.value(path+"/"+strconv.Itoa(i), element, nil, false, fields, ours && len(fields) == 0)
			continue
		}
		d.value(path+"/"+strconv.Itoa(at), element, have[at], true, fields, ours)
	}
}

// places are the indexes of the first elements of a list with a key or a name.
type places struct{ byKey, byName map[string]int }

func placesIn(list []any, keys *kube.ElementKeys) places {
	p := places{map[string]int{}, map[string]int{}}
	for i, element := range slices.Backward(list) {
		p.byKey[keys.Of(element)] = i
		p.byName[nameOf(element)] = i
	}
	delete(p.byKey, "")
	delete(p.byName, "")
	return p
}

// of returns the index of the first element with the key or the name.
func (p places) of(key, name string) (at int, found bool) {
	at, found = p.byKey[key]
	if named, ok := p.byName[name]; ok && (!found || named < at) {
		return named, true
	}
	return at, found
}

func nameOf(element any) string {
	object, _ := element.(map[string]any)
	name, _ := object["name"].(string)
	return name
}

func (d *differ) add(path string, want, have any, exists bool) {
	d.found = append(d.found, difference{path, want, have, true, exists})
}

func pointerOf(path []string) string {
	var b strings.Builder
	for _, segment := range path {
		b.WriteString("/" + escape(segment))
	}
	return b.String()
}

// segmentsOf returns the segments of a JSON pointer.
func segmentsOf(pointer string) []string {
	segments := strings.Split(pointer, "/")[1:]
	for i, s := range segments {
		segments[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(s)
	}
	return segments
}

// escape writes a key as a segment of a JSON pointer.
func escape(key string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(key) }
