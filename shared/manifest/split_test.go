package manifest

import (
	"fmt"
	"strings"
	"testing"
)

// TestSplit checks that the parts of a stream have its objects and its errors, at the same places.
func TestSplit(t *testing.T) {
	const a, b = "kind: A\napiVersion: v1\nmetadata: {name: a}\n", "apiVersion: v1\nmetadata: {name: b}\nkind: B\n"
	for name, c := range map[string]struct {
		stream string
		parts  int
	}{
		"empty":        {"", 0},
		"one":          {a, 1},
		"two":          {a + "---\n" + b, 2},
		"marked":       {"---\n" + a + "---\n" + b, 2},
		"comments":     {"# first\n\n---\n# only\n# comments\n---\n" + a + "--- # more\n" + b, 3},
		"empty_ones":   {a + "---\n---\n" + b + "---\n", 4},
		"windows":      {strings.ReplaceAll(a+"---\n"+b, "\n", "\r\n"), 2},
		"ended":        {a + "...\n---\n" + b + "...\n# end\n", 3},
		"directive":    {a + "...\n%YAML 1.1\n---\n" + b, 2},
		"in_line":      {a + "--- {apiVersion: v1, kind: C, metadata: {name: c}}\n---\n" + b, 3},
		"dashes":       {a + "data: |\n  ---\n  x\nmore: ----\n", 1},
		"list":         {"# a list\napiVersion: v1\nkind: List\nitems:\n- {kind: A, apiVersion: v1, metadata: {name: a}}\n---\n" + b, 2},
		"wrong_object": {a + "---\n\nkind: B\n---\n" + b, 3},
		"wrong_syntax": {a + "---\nkind: [\n---\n" + b, 3},
		"json":         {`{"apiVersion":"v1","kind":"A","metadata":{"name":"a"}}`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			parts := Split([]byte(c.stream))
			var whole, objects []Located
			var wrong, faults []*ParseError
			whole, wrong = ParseAll([]byte(c.stream))
			joined := ""
			for _, p := range parts {
				joined += string(p.Data)
				found, bad := ParsePart(p)
				objects, faults = append(objects, found...), append(faults, bad...)
			}
			if len(parts) != c.parts || joined != c.stream {
				t.Errorf("%d parts, want %d: %q", len(parts), c.parts, joined)
			}
			if got, want := placesOf(objects, faults), placesOf(whole, wrong); got != want {
				t.Errorf("parts have\n%s\nthe stream has\n%s", got, want)
			}
		})
	}
}

// placesOf lists objects with the lines of their names, and errors.
func placesOf(objects []Located, faults []*ParseError) string {
	var text strings.Builder
	for _, o := range objects {
		fmt.Fprintf(&text, "%s: document %d, lines %d and %d\n", o.GetName(), o.Document, o.Line(""), o.Line("metadata.name"))
	}
	for _, f := range faults {
		fmt.Fprintln(&text, f)
	}
	return text.String()
}
