package apply

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// leaveFields makes an object say at some paths what the live object says, so that these fields are not changed. A
// single value that somebody else owns is left out, so that later changes of it are no drift.
func leaveFields(o *manifest.Object, live kube.Live, t kube.Takeover, paths [][]string) {
	owners := live.OthersThan(t)
	var elements [][]string // to be removed at last, because the indexes of the others depend on them
	for _, path := range paths {
		value, set := manifest.ValueAt(o.Object, path)
		if !set {
			continue
		}
		now, is := manifest.ValueAt(live.Object.Object, path)
		if is && !(isSingle(value) && isSingle(now) && owners.Own(path)) {
			setAt(o.Object, path, now)
			continue
		}
		parent, _ := manifest.ValueAt(o.Object, path[:len(path)-1])
		if object, ok := parent.(map[string]any); ok {
			delete(object, path[len(path)-1])
		} else {
			elements = append(elements, path)
		}
	}
	removeElements(o.Object, elements)
}

func isSingle(value any) bool {
	switch value.(type) {
	case map[string]any, []any:
		return false
	}
	return true
}

// setAt replaces the value at a path that has one.
func setAt(value any, path []string, to any) {
	parent, _ := manifest.ValueAt(value, path[:len(path)-1])
	switch v := parent.(type) {
	case map[string]any:
		v[path[len(path)-1]] = to
	case []any:
		at, _ := strconv.Atoi(path[len(path)-1])
		v[at] = to
	}
}

// removeElements removes the elements of lists at some paths. The indexes are those before all removals.
func removeElements(value any, paths [][]string) {
	slices.SortFunc(paths, func(a, b []string) int { // what is inside of an element before the element
		return cmp.Or(cmp.Compare(len(b), len(a)), slices.Compare(a, b))
	})
	sameList := func(a, b []string) bool { return slices.Equal(a[:len(a)-1], b[:len(b)-1]) }
	for len(paths) > 0 {
		first, gone := paths[0], map[int]bool{}
		for len(paths) > 0 && sameList(paths[0], first) {
			if at, err := strconv.Atoi(paths[0][len(first)-1]); err == nil {
				gone[at] = true
			}
			paths = paths[1:]
		}
		at := first[:len(first)-1]
		list, _ := manifest.ValueAt(value, at)
		if elements, ok := list.([]any); ok {
			setAt(value, at, without(elements, gone))
		}
	}
}

func without(list []any, gone map[int]bool) []any {
	left := make([]any, 0, len(list))
	for i, element := range list {
		if !gone[i] {
			left = append(left, element)
		}
	}
	return left
}

// digestOfRules returns the digest of the rules; zero if there are none.
func digestOfRules(rules []bundle.IgnoreRule) manifest.Digest {
	if len(rules) == 0 {
		return manifest.Digest{}
	}
	data, _ := json.Marshal(rules) // strings alone, which always can be written
	return manifest.DigestOf(data)
}
