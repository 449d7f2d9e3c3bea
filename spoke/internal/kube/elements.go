package kube

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// maxKeyNames is how many sets of names the keys of one list may have. The API server writes one: the names that the
// schema gives the list.
const maxKeyNames = 8

// ElementKeys finds the keys k:{…} and v:… of a field set that stand for elements of a list. Each key is read once.
type ElementKeys struct {
	byNames []namedKeys
	values  map[string]bool // the JSON of v: keys
}

// namedKeys are the keys k:{…} with the same names.
type namedKeys struct {
	names []string
	keys  map[string]string // by the JSON of their names and values
}

// KeysOf returns the keys in a field set of a list.
func KeysOf(fields map[string]any) *ElementKeys {
	k := &ElementKeys{values: map[string]bool{}}
	at := map[string]int{} // of byNames, by the names
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if text, is := strings.CutPrefix(key, "v:"); is {
			k.values[text] = true
			continue
		}
		text, is := strings.CutPrefix(key, "k:")
		var want map[string]any
		if !is || json.Unmarshal([]byte(text), &want) != nil || want == nil {
			continue
		}
		names := slices.Sorted(maps.Keys(want))
		i, known := at[strings.Join(names, "\x00")]
		if !known {
			if i = len(k.byNames); i == maxKeyNames {
				continue
			}
			at[strings.Join(names, "\x00")] = i
			k.byNames = append(k.byNames, namedKeys{names, map[string]string{}})
		}
		if id, ok := identity(want, names); ok {
			k.byNames[i].keys[id] = key
		}
	}
	return k
}

// Of returns the key that stands for an element; empty if there is none.
func (k *ElementKeys) Of(element any) string {
	if object, ok := element.(map[string]any); ok {
		for _, named := range k.byNames {
			if id, ok := identity(object, named.names); ok && named.keys[id] != "" {
				return named.keys[id]
			}
		}
	}
	if len(k.values) > 0 {
		if text, err := json.Marshal(element); err == nil && k.values[string(text)] {
			return "v:" + string(text)
		}
	}
	return ""
}

// identity returns the JSON of the values that an object has for some names, which are null if it has none.
func identity(object map[string]any, names []string) (string, bool) {
	values := make([]any, len(names))
	for i, name := range names {
		values[i] = object[name]
	}
	text, err := json.Marshal(values)
	return string(text), err == nil
}
