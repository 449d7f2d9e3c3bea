package kube

import (
	"encoding/json"
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
	if m.FieldsV1 == nil {
		return false
	}
	var fields map[string]any
	if json.Unmarshal(m.FieldsV1.GetRawBytes(), &fields) != nil {
		return false
	}
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
			value, key = list[at], elementKey(fields, list[at])
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

// elementKey returns the key of a field set, k:{…} or v:…, that stands for an element of a list; empty if there is
// none.
func elementKey(fields map[string]any, element any) string {
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
