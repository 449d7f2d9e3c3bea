package manifest

import (
	"strconv"
	"strings"
	"testing"
)

// TestParseAll checks that all objects and all errors of a stream are found, each with its place.
func TestParseAll(t *testing.T) {
	const (
		broken = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b\ndata: [\n"
		noName = "apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n"
		list   = "apiVersion: v1\nkind: List\nitems:\n- kind: X\n- apiVersion: v1\n  kind: Secret\n  metadata:\n    name: s\n"
	)
	for name, c := range map[string]struct {
		stream  string
		objects string // name@line
		faults  string
	}{
		"good":             {configMap + "---\n" + configMap, "a@1 a@6", ""},
		"syntax":           {configMap + "---\n" + broken + "---\n" + configMap, "a@1 a@11", "f.yaml:8 (document 2): "},
		"two_syntax":       {broken + "---\n" + configMap + "---\n" + broken, "a@6", "f.yaml:3: \nf.yaml:13 (document 3): "},
		"comment_first":    {"# c\n---\n" + configMap + "---\n" + broken, "a@3", "f.yaml:10 (document 2): "},
		"begins_with_mark": {"---\n" + broken + "---\n" + configMap, "a@7", "f.yaml:4: "},
		"no_names":         {noName + "---\n" + configMap + "---\n" + noName, "a@5", "f.yaml:1: ConfigMap: metadata.name is missing\nf.yaml:10 (document 3): ConfigMap: "},
		"duplicates":       {"a: 1\na: 2\n---\nb: 1\nb: 2\n", "", "f.yaml:2: duplicate key \"a\"\nf.yaml:5 (document 2): duplicate"},
		"items":            {list, "s@5", "f.yaml:4: items[0]: apiVersion is missing"},
		"json":             {`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}`, "a@1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			objects, faults := ParseAll([]byte(c.stream))
			var got []string
			for _, o := range objects {
				got = append(got, o.GetName()+"@"+strconv.Itoa(o.Line("")))
			}
			if found := strings.Join(got, " "); found != c.objects {
				t.Errorf("objects %s, want %s", found, c.objects)
			}
			want := strings.Split(c.faults, "\n")
			if c.faults == "" {
				want = nil
			}
			if len(faults) != len(want) {
				t.Fatalf("%d faults, want %d: %v", len(faults), len(want), faults)
			}
			for i, fault := range faults {
				if !strings.HasPrefix(fault.In("f.yaml"), want[i]) {
					t.Errorf("%s, want %s", fault.In("f.yaml"), want[i])
				}
			}
		})
	}
}

// TestLine checks the lines of fields.
func TestLine(t *testing.T) {
	objects, _ := ParseAll([]byte(configMap + "---\napiVersion: v1\nkind: X\nmetadata:\n  name: x\n  labels: &l\n" +
		"    a.b/c: d\nspec:\n  list:\n  - name: one\n  - name: two\n    depth: 1\n  same: *l\n"))
	for field, want := range map[string]int{"": 6, "metadata.labels[a.b/c]": 11, "spec.list[1].depth": 16,
		"spec.list[1]": 15, "spec.list[2]": 13, "spec.missing": 12, "spec.same[a.b/c]": 11, "spec.list[0].name.x": 14} {
		if got := objects[1].Line(field); got != want {
			t.Errorf("%q is in line %d, want %d", field, got, want)
		}
	}
}
