package kube

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// OwnedByOthers reports whether a manager other than ours owns the field at a path, or a list or map around the field
// as a whole. Managers whose fields the Takeover includes do not count. An index of a list is found by the keys of the
// element in Object.
func (l Live) OwnedByOthers(path []string, t Takeover) bool {
	for _, m := range l.managers {
		if m.Manager == FieldManager || m.Subresource == "status" || t.includes(l, m) {
			continue
		}
		if l.has(m, path) {
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

// FieldsOf returns the paths of the single fields that the managers of a Takeover own, below Object.
func (l Live) FieldsOf(t Takeover) (paths [][]string) {
	for _, m := range l.managers {
		if m.Manager != FieldManager && t.includes(l, m) && l.Object != nil {
			paths = appendPaths(paths, fieldsOf(m), l.Object.Object, nil)
		}
	}
	return paths
}

// appendPaths appends the paths of the leaves of a field set of a value.
func appendPaths(paths [][]string, fields map[string]any, value any, at []string) [][]string {
	for key, below := range fields {
		segment, next, ok := step(key, value)
		if !ok {
			continue
		}
		path := append(slices.Clone(at), segment)
		if more, _ := below.(map[string]any); len(more) > 0 {
			paths = appendPaths(paths, more, next, path)
		} else {
			paths = append(paths, path)
		}
	}
	return paths
}

// step returns the part of a value that a key of a field set stands for, and its segment of a path.
func step(key string, value any) (segment string, next any, ok bool) {
	if name, is := strings.CutPrefix(key, "f:"); is {
		object, _ := value.(map[string]any)
		next, ok = object[name]
		return name, next, ok
	}
	list, _ := value.([]any)
	for i, element := range list {
		if key != "." && ElementKey(map[string]any{key: nil}, element) != "" {
			return strconv.Itoa(i), element, true
		}
	}
	return "", nil, false
}

func fieldsOf(m metav1.ManagedFieldsEntry) (fields map[string]any) {
	if m.FieldsV1 == nil || json.Unmarshal(m.FieldsV1.GetRawBytes(), &fields) != nil {
		return nil
	}
	return fields
}

// Owned reports whether our manager owns the field at a path, or a list or map around the field as a whole.
func (l Live) Owned(path []string) bool {
	for _, m := range l.managers {
		if appliedBy(m, FieldManager) && l.has(m, path) {
			return true
		}
	}
	return false
}

// has reports whether an entry has a path, or ends in a part of the path.
func (l Live) has(m metav1.ManagedFieldsEntry, path []string) bool {
	fields := fieldsOf(m)
	var value any
	if l.Object != nil {
		value = l.Object.Object
	}
	for _, segment := range path {
		key := "f:" + segment
		if list, ok := value.([]any); ok {
			at, err := strconv.Atoi(segment)
			if err != nil || at < 0 || at >= len(list) {
				return false
			}
			value, key = list[at], ElementKey(fields, list[at])
		} else {
			object, _ := value.(map[string]any)
			value = object[segment]
		}
		next, ok := fields[key].(map[string]any)
		if !ok {
			return false
		}
		if fields = next; len(fields) == 0 {
			return true
		}
	}
	return true
}

// ElementKey returns the key of a field set, k:{…} or v:…, that stands for an element of a list; empty if there is
// none.
func ElementKey(fields map[string]any, element any) string {
	for key := range fields {
		switch {
		case strings.HasPrefix(key, "k:"):
			var want map[string]any
			object, _ := element.(map[string]any)
			if json.Unmarshal([]byte(key[2:]), &want) == nil && hasAll(object, want) {
				return key
			}
		case strings.HasPrefix(key, "v:"):
			if text, err := json.Marshal(element); err == nil && string(text) == key[2:] {
				return key
			}
		}
	}
	return ""
}

func hasAll(object, want map[string]any) bool {
	for name, value := range want {
		a, errA := json.Marshal(object[name])
		b, errB := json.Marshal(value)
		if errA != nil || errB != nil || string(a) != string(b) {
			return false
		}
	}
	return object != nil
}
