package kube

import (
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Owners are managers of an object with the fields that each owns, in the format of managedFields. It is not safe for
// concurrent use.
type Owners struct {
	object any
	fields []map[string]any
	// keys are the ElementKeys of lists, by the index of the manager and the path of the list.
	keys map[string]*ElementKeys
}

// OthersThan returns the managers other than ours, without those whose fields the Takeover includes.
func (l Live) OthersThan(t Takeover) *Owners {
	return l.owners(func(m metav1.ManagedFieldsEntry) bool {
		return m.Manager != FieldManager && m.Subresource != "status" && !t.includes(l, m)
	})
}

func (l Live) owners(are func(metav1.ManagedFieldsEntry) bool) *Owners {
	o := &Owners{keys: map[string]*ElementKeys{}}
	if l.Object != nil {
		o.object = l.Object.Object
	}
	for _, m := range l.managers {
		if are(m) {
			o.fields = append(o.fields, fieldsOf(m))
		}
	}
	return o
}

// Own reports whether a manager owns the field at a path, or a list or map around the field as a whole. An index of a
// list is found by the keys of the element in Live.Object.
func (o *Owners) Own(path []string) bool {
	for manager := range o.fields {
		if o.has(manager, path) {
			return true
		}
	}
	return false
}

// OwnBelow reports whether a manager owns a part of the map at a path.
func (o *Owners) OwnBelow(path []string) bool {
	for manager := range o.fields {
		if len(o.below(manager, path)) > 0 {
			return true
		}
	}
	return false
}

// OwnedFields returns the fields that our manager applied, in the format of managedFields; nil if there are none.
func (l Live) OwnedFields() map[string]any {
	for _, m := range l.managers {
		if appliedBy(m, FieldManager) {
			return fieldsOf(m)
		}
	}
	return nil
}

// FieldsOf yields the paths of the single fields that the managers of a Takeover own, below Object, each once, in an
// order that does not change. A path is valid until the next one.
func (l Live) FieldsOf(t Takeover) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		if l.Object == nil {
			return
		}
		fields := map[string]any{}
		for _, m := range l.managers {
			if m.Manager != FieldManager && t.includes(l, m) {
				union(fields, fieldsOf(m))
			}
		}
		eachPath(fields, l.Object.Object, nil, yield)
	}
}

// eachPath yields the paths of the leaves of a field set of a value. It returns false if yield did.
func eachPath(fields map[string]any, value any, at []string, yield func([]string) bool) bool {
	parts := partsOf(fields, value)
	for _, segment := range slices.Sorted(maps.Keys(parts)) {
		part, path := parts[segment], append(at, segment)
		if len(part.below) == 0 && !yield(path) || !eachPath(part.below, part.value, path, yield) {
			return false
		}
	}
	return true
}

// part is a part of a value, and the field set below its key.
type part struct {
	value any
	below map[string]any
}

// partsOf returns the parts of a value that the keys of a field set stand for, by their segments of a path.
func partsOf(fields map[string]any, value any) map[string]part {
	parts := map[string]part{}
	switch value := value.(type) {
	case map[string]any:
		for key, below := range fields {
			name, is := strings.CutPrefix(key, "f:")
			if next, ok := value[name]; is && ok {
				set, _ := below.(map[string]any)
				parts[name] = part{next, set}
			}
		}
	case []any:
		keys, found := KeysOf(fields), map[string]bool{}
		for i, element := range value {
			if key := keys.Of(element); key != "" && !found[key] {
				found[key] = true
				set, _ := fields[key].(map[string]any)
				parts[strconv.Itoa(i)] = part{element, set}
			}
		}
	}
	return parts
}

func fieldsOf(m metav1.ManagedFieldsEntry) (fields map[string]any) {
	if m.FieldsV1 == nil || json.Unmarshal(m.FieldsV1.GetRawBytes(), &fields) != nil {
		return nil
	}
	return fields
}

// Owned reports whether our manager owns the field at a path, or a list or map around the field as a whole.
func (l Live) Owned(path []string) bool {
	return l.owners(func(m metav1.ManagedFieldsEntry) bool { return appliedBy(m, FieldManager) }).Own(path)
}

// has reports whether a manager has a path, or ends in a part of the path.
func (o *Owners) has(manager int, path []string) bool { return o.below(manager, path) != nil }

// below returns the fields of a manager below a path: none, but not nil, if the manager ends in the path or a part of
// it; nil if the manager does not have the path.
func (o *Owners) below(manager int, path []string) map[string]any {
	fields, value := o.fields[manager], o.object
	for i, segment := range path {
		key := "f:" + segment
		if list, ok := value.([]any); ok {
			at, err := strconv.Atoi(segment)
			if err != nil || at < 0 || at >= len(list) {
				return nil
			}
			value, key = list[at], o.keysAt(manager, path[:i], fields).Of(list[at])
		} else {
			object, _ := value.(map[string]any)
			value = object[segment]
		}
		next, ok := fields[key].(map[string]any)
		if !ok {
			return nil
		}
		if fields = next; len(fields) == 0 {
			return fields
		}
	}
	return fields
}

func (o *Owners) keysAt(manager int, list []string, fields map[string]any) *ElementKeys {
	at := strconv.Itoa(manager) + "\x00" + strings.Join(list, "\x00")
	keys := o.keys[at]
	if keys == nil {
		keys = KeysOf(fields)
		o.keys[at] = keys
	}
	return keys
}
