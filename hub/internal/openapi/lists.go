package openapi

import (
	"encoding/json"
	"fmt"

	"github.com/navefleet/nave/shared/wording"
)

// listed is how a schema says that the elements of a list are told apart. Without listType, Kubernetes' own kinds may
// say it by the strategy of patches.
type listed struct {
	ListType      string   `json:"x-kubernetes-list-type"`
	ListKeys      []string `json:"x-kubernetes-list-map-keys"`
	PatchStrategy string   `json:"x-kubernetes-patch-strategy"`
	PatchKey      string   `json:"x-kubernetes-patch-merge-key"`
}

// identity returns the fields by which elements are told apart. Without fields, the elements are. If two elements may
// be equal, unique is false.
func (l listed) identity() (keys []string, unique bool) {
	switch {
	case l.ListType == "map":
		return l.ListKeys, len(l.ListKeys) > 0
	case l.ListType == "set":
		return nil, true
	case l.ListType != "" || l.PatchStrategy != "merge" && l.PatchStrategy != "merge,retainKeys":
		return nil, false
	case l.PatchKey != "":
		return []string{l.PatchKey}, true
	}
	return nil, true
}

// checkUnique checks that no two elements of a list are the same one for a server-side apply, which refuses the object
// otherwise. Elements with a text that only the cluster knows in the place of a key are not compared.
func (c *checker) checkUnique(n *node, list []any, path string) {
	keys, unique := n.identity()
	if !unique || len(list) < 2 {
		return
	}
	items, err := c.document.resolve(n.Items)
	if err != nil {
		return // as the check of an element says
	}
	seen := map[string]int{}
	for i, element := range list {
		values := c.identityOf(items, element, keys)
		id, err := json.Marshal(values)
		if !c.spend(1 + len(keys) + len(id)/bytesPerStep) {
			return
		}
		if len(values) == 0 || err != nil {
			continue
		}
		first, twice := seen[string(id)]
		switch {
		case !twice:
			seen[string(id)] = i
		case len(keys) > 0:
			c.problem(fmt.Sprintf("%s[%d]", path, i), "has the same %s as %s[%d]: %s", quotedList(keys), path, first,
				shownList(values))
		default:
			c.problem(fmt.Sprintf("%s[%d]", path, i), "is the same as %s[%d]: %s", path, first, shownList(values))
		}
	}
}

// identityOf returns the values that tell an element of a list apart; none if it cannot be told apart. A key that is
// missing has its default.
func (c *checker) identityOf(items *node, element any, keys []string) (values []any) {
	if len(keys) == 0 {
		if !c.isKey(element) {
			return nil
		}
		return []any{numbered(element)}
	}
	object, _ := element.(map[string]any) // if it is none, its type says so
	found := false
	for _, key := range keys {
		value := object[key]
		if value == nil {
			value = items.defaultOf(key)
		}
		if value != nil && !c.isKey(value) {
			return nil
		}
		values, found = append(values, numbered(value)), found || value != nil
	}
	if !found {
		return nil
	}
	return values
}

// isKey reports whether a value is a single one that is known.
func (c *checker) isKey(value any) bool {
	switch v := value.(type) {
	case nil, map[string]any, []any:
		return false
	case string:
		return !c.unknown(v)
	}
	return true
}

// defaultOf returns the value that a field has if it is missing; nil if there is none.
func (n *node) defaultOf(field string) (value any) {
	if n == nil || n.Properties[field] == nil || len(n.Properties[field].Default) == 0 {
		return nil
	}
	if json.Unmarshal(n.Properties[field].Default, &value) != nil {
		return nil
	}
	return value
}

// quotedList is a list of names in a message.
type quotedList []string

// String implements fmt.Stringer.
func (l quotedList) String() string {
	names := make([]string, len(l))
	for i, name := range l {
		names[i] = quoted(name)
	}
	return wording.List(names, len(names), 10)
}
