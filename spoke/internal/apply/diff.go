package apply

import (
	"cmp"
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

// String describes the change without the values, which only who asks for them gets.
func (c FieldChange) String() string {
	switch {
	case c.Old == "":
		return c.Path + " was added"
	case c.New == "":
		return c.Path + " was removed"
	}
	return c.Path
}

// difference is a FieldChange whose values may be secret.
type difference struct {
	path           string // begins as the path does, and is longer than reporting.MaxWord if it is not the whole path
	want, have     any
	wanted, exists bool
}

// inspect returns the fields of an object that others changed, within the memory of a Hold. o is the object as it would
// be sent.
func (r *run) inspect(ctx context.Context, o *manifest.Object, mode inventory.Mode, drift inventory.DriftKind,
	hold kube.Hold) (differences, error) {
	takeover := mode.Takeover(r.Application)
	if drift == inventory.Replaced {
		takeover = kube.Takeover{} // whoever made the object owns the defaults of the API server, too
	}
	done, err := r.wholes.take(ctx)
	if err != nil {
		return differences{}, err
	}
	defer done()
	live, err := r.client.LookWhole(ctx, kube.Identify(o), hold)
	if err != nil {
		return differences{}, err
	}
	return compare(o, live, takeover), nil
}

// compare returns the fields of desired that live has otherwise and that our manager does not own any more, and the
// fields that only managers of the Takeover own. The API server takes a field from our manager when somebody changes
// it, so a value that it only writes in another way is no difference.
func compare(desired *manifest.Object, live kube.Live, t kube.Takeover) differences {
	want := storedForm(desired)
	d := differ{live: live, differences: differences{most: reporting.MaxChanges}}
	d.object(want, live.Object.Object, live.OwnedFields())
	for path, value := range leftovers(want, live.Object, live.FieldsOf(t)) {
		d.add(path, difference{have: value, exists: true})
	}
	return d.differences
}

// leftovers yields the fields of an object that are not wanted, by path, out of those that managers of a Takeover own.
func leftovers(want map[string]any, o *manifest.Object, owned iter.Seq[[]string]) iter.Seq2[[]string, any] {
	return func(yield func([]string, any) bool) {
		for path := range owned {
			value, exists := manifest.ValueAt(o.Object, path)
			_, wanted := manifest.ValueAt(want, path)
			if exists && !wanted && path[len(path)-1] != manifest.LastAppliedAnnotation && !yield(path, value) {
				return
			}
		}
	}
}

// reveal returns differences as texts of at most the length that reports have, without secret values. hide takes secret
// values out of a text.
func reveal(found differences, hide func(string) string) []FieldChange {
	changes := make([]FieldChange, 0, len(found.first))
	for _, d := range found.first {
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

// excerpt copies the beginnings of values.
type excerpt struct{ left int } // values that may still be copied, each in a list or map counted

// of returns a copy of a value, without what comes after so many values in the value's JSON.
func (e *excerpt) of(value any) any {
	e.left--
	switch v := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if out[key] = e.of(v[key]); e.left <= 0 {
				break
			}
		}
		return out
	case []any:
		out := []any{}
		for _, part := range v {
			if out = append(out, e.of(part)); e.left <= 0 {
				break
			}
		}
		return out
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

// differences are fields that differ. They take little memory, however many fields differ, and however long their paths
// and values are: an object may have any of these in its thousands. Only single values are as long as they are, because
// a secret in them can only be found in the whole.
type differences struct {
	most  int          // fields that are kept; the others are only counted
	first []difference // by path
	count int          // of all fields
}

// more returns the number of fields that were not kept.
func (d *differences) more() int { return d.count - len(d.first) }

// add notes a difference at a path.
func (d *differences) add(path []string, found difference) {
	d.count++
	found.path = pointerOf(path)
	at, _ := slices.BinarySearchFunc(d.first, found.path, func(f difference, path string) int {
		return cmp.Or(strings.Compare(f.path, path), -1) // after those with the same path
	})
	if at == d.most {
		return
	}
	// each value takes a byte or more of the text that is shown
	want, have := excerpt{reporting.MaxPreviewValue}, excerpt{reporting.MaxPreviewValue}
	found.want, found.have = want.of(found.want), have.of(found.have)
	d.first = slices.Insert(d.first, at, found)
	d.first = d.first[:min(len(d.first), d.most)]
}

// differ collects differences.
type differ struct {
	live kube.Live
	at   []string // the path that is compared now
	differences
}

// below compares a part of the values.
func (d *differ) below(segment string, compare func()) {
	d.at = append(d.at, segment)
	compare()
	d.at = d.at[:len(d.at)-1]
}

// note notes a difference of values that are wanted.
func (d *differ) note(want, have any, exists bool) {
	d.add(d.at, difference{"", want, have, true, exists})
}

// object compares two maps. owned are our fields of the map, in the format of managedFields.
func (d *differ) object(want, have, owned map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(want)) {
		now, is := have[key]
		field, ours := owned["f:"+key].(map[string]any)
		d.below(key, func() { d.value(want[key], now, is, field, ours) })
	}
}

// value compares two values. If we own the field as a whole, nobody changed it.
func (d *differ) value(want, have any, is bool, owned map[string]any, ours bool) {
	if ours && len(owned) == 0 && !d.emptied(want, have) {
		return
	}
	switch want := want.(type) {
	case map[string]any:
		if now, ok := have.(map[string]any); ok {
			d.object(want, now, owned)
			return
		}
	case []any:
		if now, ok := have.([]any); ok {
			d.list(want, now, owned)
			return
		}
	}
	if !is && isNothing(want) {
		return // the API server drops an empty list, so that nobody may have changed it
	}
	if !is || !reflect.DeepEqual(want, have) {
		d.note(want, have, is)
	}
}

// isNothing reports whether a value means the same as no value.
func isNothing(v any) bool {
	list, isList := v.([]any)
	return v == nil || isList && len(list) == 0
}

// emptied reports whether others took all parts of a map from us and left us its path. In a custom resource whose
// definition does not know the map, managedFields has the same for such a map and for one that is ours as a whole.
func (d *differ) emptied(want, have any) bool {
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
	return d.live.OthersThan(kube.Takeover{}).OwnBelow(d.at)
}

// list compares two lists: element by element if their elements have keys, else as a whole.
func (d *differ) list(want, have []any, owned map[string]any) {
	keys := kube.KeysOf(owned)
	places := placesIn(have, keys)
	for i, element := range want {
		key := keys.Of(element)
		if key == "" && nameOf(element) == "" {
			if !reflect.DeepEqual(want, have) {
				d.note(want, have, true)
			}
			return
		}
		fields, ours := owned[key].(map[string]any)
		at, found := places.of(key, nameOf(element))
		if !found {
			d.below(strconv.Itoa(i), func() { d.value(element, nil, false, fields, ours && len(fields) == 0) })
			continue
		}
		d.below(strconv.Itoa(at), func() { d.value(element, have[at], true, fields, ours) })
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

// pointerOf returns the JSON pointer of a path. Of a long one it returns the beginning, longer than reporting.MaxWord.
func pointerOf(path []string) string {
	const enough = 2 * reporting.MaxWord
	var b strings.Builder
	for _, segment := range path {
		b.WriteString("/" + escaping.Replace(segment[:min(len(segment), enough)]))
		if b.Len() > enough {
			break
		}
	}
	return b.String()
}

// escaping writes a key as a segment of a JSON pointer.
var escaping = strings.NewReplacer("~", "~0", "/", "~1")
