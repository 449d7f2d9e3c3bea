package apply

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/navefleet/nave/shared/manifest"
)

// KeepGenerated gives fields of an object the values that they have in the cluster. Fields that the cluster does not
// have keep their values, and so do those that have another form there (see manifest.FormAnnotation). An element of a
// list is found by its name, if it has one.
func KeepGenerated(o, live *manifest.Object, paths [][]string) {
	forms, before := formsOf(o), formsOf(live)
	for _, path := range paths {
		if field := pointerTo(path); forms[field] != before[field] && forms[field] != "" {
			continue
		}
		if path[0] == "stringData" && isSecret(manifest.IDOf(o)) {
			o.Object = storedForm(o)
			path = append([]string{"data"}, path[1:]...)
		}
		if value, is := counterpart(o.Object, live.Object, path); is {
			setAt(o.Object, path, value)
		}
	}
}

// formsOf returns the forms of the generated fields of an object, by JSON pointer. A text that cannot be read has none.
func formsOf(o *manifest.Object) (forms map[string]string) {
	_ = json.Unmarshal([]byte(o.GetAnnotations()[manifest.FormAnnotation]), &forms)
	return forms
}

// pointerTo returns the JSON pointer of a path.
func pointerTo(path []string) string {
	var b strings.Builder
	for _, key := range path {
		b.WriteString("/" + escaping.Replace(key))
	}
	return b.String()
}

// counterpart returns the value in live that stands where a path leads in desired; false if one of them has none there.
func counterpart(desired, live any, path []string) (any, bool) {
	for _, segment := range path {
		switch d := desired.(type) {
		case map[string]any:
			l, _ := live.(map[string]any)
			var is, was bool
			if desired, is = d[segment]; is {
				live, was = l[segment]
			}
			if !is || !was {
				return nil, false
			}
		case []any:
			l, _ := live.([]any)
			at, err := strconv.Atoi(segment)
			if err != nil || at < 0 || at >= len(d) {
				return nil, false
			}
			desired = d[at]
			if live = elementOf(l, desired, at, len(d)); live == nil {
				return nil, false
			}
		default:
			return nil, false
		}
	}
	return live, true
}

// elementOf returns the element of a live list that stands for the desired one at an index, out of a number; nil if
// there is none.
func elementOf(live []any, desired any, at, of int) any {
	if fields, is := desired.(map[string]any); is && fields["name"] != nil {
		for _, element := range live {
			if other, is := element.(map[string]any); is && other["name"] == fields["name"] {
				return element
			}
		}
		return nil
	}
	if len(live) != of {
		return nil
	}
	return live[at]
}
