package manifest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n"

func TestParse(t *testing.T) {
	stream := "# a comment\n---\n" + configMap + "---\n---\n# nothing here\n---\n" +
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, namespace: prod}\nspec: {replicas: 3}\n...\n"
	objects, err := Parse([]byte(stream))
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) != 2 {
		t.Fatalf("%d objects, want 2", len(objects))
	}
	want := ID{Group: "apps", Kind: "Deployment", Namespace: "prod", Name: "d"}
	if got := IDOf(objects[1]); got != want {
		t.Errorf("second object is %v, want %v", got, want)
	}
	if replicas := objects[1].Object["spec"].(map[string]any)["replicas"]; replicas != int64(3) {
		t.Errorf("replicas is %T %v, want int64 3", replicas, replicas)
	}
}

func TestParseEmpty(t *testing.T) {
	for _, stream := range []string{"", "\n", "# only a comment\n", "---\n---\n", "null\n", "\ufeff"} {
		if objects, err := Parse([]byte(stream)); err != nil || len(objects) != 0 {
			t.Errorf("%q: %v, %v", stream, objects, err)
		}
	}
}

func TestParseLists(t *testing.T) {
	item := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q}}`
	for name, stream := range map[string]string{
		"List":          fmt.Sprintf(`{"apiVersion":"v1","kind":"List","items":[`+item+`,`+item+`]}`, "a", "b"),
		"typed_list":    `{"apiVersion":"v1","kind":"ConfigMapList","items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}]}`,
		"list_of_lists": fmt.Sprintf(`{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"List","items":[`+item+`,`+item+`]}]}`, "a", "b"),
	} {
		objects, err := Parse([]byte(stream))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var names []string
		for _, o := range objects {
			names = append(names, IDOf(o).String())
		}
		if want := []string{"ConfigMap a", "ConfigMap b"}; !reflect.DeepEqual(names, want) {
			t.Errorf("%s: %v, want %v", name, names, want)
		}
	}
}

func TestParseListLike(t *testing.T) {
	objects, err := Parse([]byte("apiVersion: example.com/v1\nkind: Menu\nmetadata: {name: m}\nitems: [{dish: soup}]\n"))
	if err != nil || len(objects) != 1 || objects[0].GetKind() != "Menu" {
		t.Fatalf("%v, %v", objects, err)
	}
}

func TestParseScalars(t *testing.T) {
	for text, want := range map[string]any{
		`yes`: true, `"yes"`: "yes", `off`: false, `!!str off`: "off", `true`: true, `~`: nil, `""`: "",
		`12`: int64(12), `-0`: int64(0), `0`: int64(0), `0755`: int64(493), `0x1f`: int64(31), `1_000`: int64(1000),
		`1.0`: int64(1), `1.5`: 1.5, `1e3`: int64(1000), `9223372036854775807`: int64(9223372036854775807),
		`9223372036854775808`: float64(9223372036854775808), `2026-01-02`: "2026-01-02",
		`2026-01-02T03:04:05Z`: "2026-01-02T03:04:05Z", `!!binary aGVsbG8=`: "hello", `12:30:45`: "12:30:45", `v1`: "v1",
	} {
		objects, err := Parse([]byte(configMap + "value: " + text + "\n"))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := objects[0].Object["value"]; got != want {
			t.Errorf("%s is %T %v, want %T %v", text, got, got, want, want)
		}
	}
}

func TestParseKeys(t *testing.T) {
	objects, err := Parse([]byte(configMap + "data: {1: a, true: b, 1.5: c, plain: d}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"1": "a", "true": "b", "1.5": "c", "plain": "d"}
	if got := objects[0].Object["data"]; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestParseAliases(t *testing.T) {
	objects, err := Parse([]byte(configMap + "base: &b {x: 1, y: {z: 2}}\nother: &o {x: 9, w: 4}\ncopy: *b\nmerged:\n  " +
		"x: 3\n  <<: [*b, *o]\n"))
	if err != nil {
		t.Fatal(err)
	}
	fields := objects[0].Object
	if !reflect.DeepEqual(fields["copy"], fields["base"]) {
		t.Errorf("copy is %v, want %v", fields["copy"], fields["base"])
	}
	// A plain y is a boolean to YAML 1.1, also as a key.
	want := map[string]any{"x": int64(3), "true": map[string]any{"z": int64(2)}, "w": int64(4)}
	if !reflect.DeepEqual(fields["merged"], want) {
		t.Errorf("merged is %v, want %v", fields["merged"], want)
	}
}

func TestParseErrors(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for level := 'b'; level < 'i'; level++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", level, level,
			strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", level-1), 10), ","))
	}
	for name, c := range map[string]struct {
		stream         string
		document, line int
		says           string
	}{
		"duplicate_key": {configMap + "data:\n  a: 1\n  a: 2\n", 1, 7, `duplicate key "a"`},
		"duplicate_key_in_json": {`{"apiVersion":"v1","kind":"ConfigMap","kind":"Secret","metadata":{"name":"a"}}`, 1, 0,
			`duplicate field "kind"`},
		"duplicate_merge": {configMap + "a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a\n", 1, 8, "duplicate key"},
		"syntax":          {configMap + "---\na: [\n", 2, 6, ""},
		"bad_indentation": {"a: 1\n b: 2\n", 1, 2, ""},
		"parser_in_map":   {configMap + "a: 1\nb: [1\nc: 2\n", 1, 6, "did not find expected ',' or ']'"},
		"parser_in_block": {configMap + "a: b\n- c\nd: e\n", 1, 6, "did not find expected key"},
		"scanner":         {configMap + "a:\n\tb: c\n", 1, 6, "cannot start any token"},
		"alias_bomb":      {configMap + bomb, 1, 0, "aliases expand"},
		"endless_alias":   {configMap + "a: &a [*a]\n", 1, 0, "inside each other"},
		"unknown_alias":   {configMap + "a: *nobody\n", 1, 0, "nobody"},
		"deep_yaml": {configMap + "a: " + strings.Repeat("[", 300) + strings.Repeat("]", 300) + "\n", 1, 5,
			"inside each other"},
		"deep_json": {`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"a":` +
			strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`, 1, 0, "inside each other"},
		"not_map":                 {configMap + "---\n- a\n", 2, 6, "a Kubernetes object is a map"},
		"scalar":                  {"hello\n", 1, 1, "a Kubernetes object is a map"},
		"no_apiVersion":           {"kind: ConfigMap\nmetadata: {name: a}\n", 1, 1, "apiVersion is missing"},
		"no_kind":                 {"apiVersion: v1\nmetadata: {name: a}\n", 1, 1, "kind is missing"},
		"kind_is_number":          {"apiVersion: v1\nkind: 7\nmetadata: {name: a}\n", 1, 1, "kind is a number"},
		"apiVersion_with_slashes": {"apiVersion: a/b/c\nkind: X\nmetadata: {name: a}\n", 1, 1, "apiVersion"},
		"no_metadata":             {"apiVersion: v1\nkind: ConfigMap\n", 1, 1, "metadata is missing"},
		"no_name":                 {"\n\napiVersion: v1\nkind: ConfigMap\nmetadata: {}\n", 1, 3, "metadata.name is missing"},
		"generated_name":          {"apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: a-}\n", 1, 1, "generateName"},
		"name_is_number": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: 1}\n", 1, 1,
			"metadata.name is a number"},
		"label_is_boolean": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {on: yes}}\n", 1, 1,
			"metadata.labels"},
		"annotations_are_list": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: [b]}\n", 1, 1,
			"metadata.annotations"},
		"item_without_kind": {"apiVersion: v1\nkind: List\nitems: [{apiVersion: v1}]\n", 1, 1,
			"items[0]: kind is missing"},
		"not_number":         {configMap + "a: .nan\n", 1, 5, "not a JSON number"},
		"infinity":           {configMap + "a: -.inf\n", 1, 5, "not a JSON number"},
		"foreign_tag":        {configMap + "a: !ruby/object x\n", 1, 5, "!ruby/object"},
		"foreign_tag_on_map": {configMap + "a: !x {b: c}\n", 1, 5, "!x"},
		"binary_no_text":     {configMap + "a: !!binary /w==\n", 1, 5, "base64"},
		"binary_no_base64":   {configMap + "a: !!binary '*'\n", 1, 5, "base64"},
		"wrong_tag":          {configMap + "a: !!int x\n", 1, 5, "is no int"},
		"key_is_map":         {configMap + "? {a: b}\n: c\n", 1, 5, "key"},
		"key_is_null":        {configMap + "~: c\n", 1, 5, "key"},
		"invalid_utf_8":      {configMap + "a: \"\xff\"\n", 1, 0, "UTF-8"},
		"invalid_utf_8_in_json": {`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"` + "\xff" + `"}}`, 1, 0,
			"UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			objects, err := Parse([]byte(c.stream))
			var parsed *ParseError
			if !errors.As(err, &parsed) {
				t.Fatalf("got %v, %v, want a ParseError", objects, err)
			}
			if parsed.Document != c.document || c.line != 0 && parsed.Line != c.line {
				t.Errorf("document %d, line %d, want %d, %d: %v", parsed.Document, parsed.Line, c.document, c.line, err)
			}
			if !strings.Contains(parsed.Error(), c.says) {
				t.Errorf("message %q does not say %q", parsed, c.says)
			}
		})
	}
}

func TestParseLimits(t *testing.T) {
	for name, stream := range map[string]string{
		"bytes":     strings.Repeat("#", MaxBytes+1),
		"documents": strings.Repeat("---\na: 1\n", MaxDocuments+1),
	} {
		var parsed *ParseError
		if _, err := Parse([]byte(stream)); !errors.As(err, &parsed) {
			t.Errorf("%s: %v, want a ParseError", name, err)
		}
	}
}

func TestParseCanonical(t *testing.T) {
	objects, err := Parse([]byte(configMap + "a: [1, 1.5, <b>, null, {c: yes}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	before, err := Canonical(objects[0])
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(before)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again, objects) {
		t.Errorf("%v, want %v", again, objects)
	}
}

func TestIsEncrypted(t *testing.T) {
	for stream, want := range map[string]bool{configMap: false, configMap + "sops: {mac: x}\n": true,
		configMap + "data: {sops: x}\n": false} {
		objects, err := Parse([]byte(stream))
		if err != nil {
			t.Fatal(err)
		}
		if got := IsEncrypted(objects[0]); got != want {
			t.Errorf("IsEncrypted(%q) = %v", stream, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(configMap))
	f.Add([]byte(configMap + "---\na: &a [*a]\nb: {<<: *a}\n? x\n"))
	f.Add([]byte(`{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}]}`))
	f.Add([]byte("a: !!binary aGk=\nb: 0x1f\nc: 1e400\nd: 2020-01-01\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, err := Parse(data)
		var parsed *ParseError
		if err != nil && !errors.As(err, &parsed) {
			t.Fatalf("%T %v, want a ParseError", err, err)
		}
		for _, o := range objects {
			canonical, err := Canonical(o)
			if err != nil {
				t.Fatalf("what was read cannot be written: %v", err)
			}
			again, err := Parse(canonical)
			if err != nil || len(again) != 1 {
				t.Fatalf("canonical bytes %s cannot be read: %v", canonical, err)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	document := "---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: d\n  labels: {a: b, c: d}\nspec:\n  " +
		"replicas: 3\n" +
		"  template:\n    spec:\n      containers:\n      - name: c\n        image: i:v1\n        ports: [{containerPort: " +
		"80}]\n"
	stream := []byte(strings.Repeat(document, 500))
	b.SetBytes(int64(len(stream)))
	for b.Loop() {
		if _, err := Parse(stream); err != nil {
			b.Fatal(err)
		}
	}
}
