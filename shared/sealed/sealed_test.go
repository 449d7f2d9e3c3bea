package sealed

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

var salt = []byte("a salt")

func placeholder(leaf string) Placeholder {
	return NewSalt(salt).Placeholder(leaf, []string{"stringData", leaf})
}

func TestPlaceholder(t *testing.T) {
	base := NewSalt(salt).Placeholder("ENC[x]", []string{"a", "b"})
	if again := NewSalt(salt).Placeholder("ENC[x]", []string{"a", "b"}); again != base {
		t.Errorf("%s and %s for equal input", base, again)
	}
	for name, other := range map[string]Placeholder{
		"salt":         NewSalt([]byte("other")).Placeholder("ENC[x]", []string{"a", "b"}),
		"leaf":         NewSalt(salt).Placeholder("ENC[y]", []string{"a", "b"}),
		"path":         NewSalt(salt).Placeholder("ENC[x]", []string{"a", "c"}),
		"path_in_one":  NewSalt(salt).Placeholder("ENC[x]", []string{"ab"}),
		"shifted_path": NewSalt(salt).Placeholder("ENC[x]a", []string{"b"}),
	} {
		if other == base {
			t.Errorf("%s does not change the placeholder", name)
		}
	}
}

// TestSecond compares placeholders of a salt with those of its Second.
func TestSecond(t *testing.T) {
	s := NewSalt(salt)
	seen := map[Placeholder]bool{}
	for i := range 1000 {
		a, b := s.Placeholder(fmt.Sprint(i), nil), s.Second().Placeholder(fmt.Sprint(i), nil)
		if !b.Valid() || seen[a] || seen[b] {
			t.Fatalf("%s and %s: not valid, or not the first of their kind", a, b)
		}
		seen[a], seen[b] = true, true
		for j := range Length {
			if inMark := j >= 1 && j <= len(Mark); a[j] == b[j] && !inMark {
				t.Fatalf("%s and %s are alike at %d", a, b, j)
			}
		}
	}
	if again := s.Second().Second().Placeholder("0", nil); again != s.Second().Placeholder("0", nil) {
		t.Error("the second salt of the second salt is another one")
	}
}

func TestPlaceholderCharacters(t *testing.T) {
	for i := range 1000 {
		placeholder := NewSalt(salt).Placeholder(fmt.Sprint(i), nil)
		if !placeholder.Valid() || len(placeholder) != Length || len(placeholder) > 63 {
			t.Fatalf("%q is not a placeholder of %d characters", placeholder, Length)
		}
		for j, c := range placeholder {
			if letter := c >= 'a' && c <= 'z'; !letter && (j == 0 || c < '0' || c > '9') {
				t.Fatalf("%q has %q at %d", placeholder, c, j)
			}
		}
	}
}

func TestFind(t *testing.T) {
	a, b := placeholder("a"), placeholder("b")
	for text, want := range map[string][]Placeholder{
		"":                                    nil,
		"nothing here, not even 0sealed0":     nil,
		string(a):                             {a},
		"https://u:" + string(a) + "@h":       {a},
		string(a) + string(b):                 {a, b},
		string(b) + string(a) + string(b):     {b, a},
		"x" + string(a) + "x":                 {a},
		string(a[:Length-1]):                  nil,
		string(a[1:]) + string(b):             {b},
		strings.ToUpper(string(a)):            nil,
		string(a[:20]) + "!" + string(a[20:]): nil,
		"0sealed" + string(a):                 {a},
	} {
		if got := Find(text); !reflect.DeepEqual(got, want) {
			t.Errorf("Find(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestPartial(t *testing.T) {
	a, b := string(placeholder("a")), string(placeholder("b"))
	for text, want := range map[string]bool{
		"":                             false,
		"a sealed envelope":            false,
		a:                              false,
		a + b + " and " + a:            false,
		a[:8]:                          true,
		a[:Length-1]:                   true,
		a[2:]:                          true,
		strings.ToUpper(a):             true,
		strings.ToUpper(a[:1]) + a[1:]: true,
		a + a[:12]:                     true,
		a[:12] + a:                     true,
		a[:5]:                          false,
	} {
		if got := Partial(text); got != want {
			t.Errorf("Partial(%q) = %v, want %v", text, got, want)
		}
	}
}

// lookup knows the placeholders that these tests use.
func lookup(t Placeholder) (Value, bool) {
	values := map[Placeholder]Value{
		placeholder("text"): Text("it's: s3cret\n"), placeholder("int"): Integer(42), placeholder("float"): Float(1.5),
		placeholder("bool"):  Boolean(true),
		placeholder("bytes"): Bytes([]byte{0xff, 0}), placeholder("looks like a " +
			"placeholder"): Text(string(placeholder("int"))), placeholder("base64"): Text("aGVsbG8="),
	}
	v, ok := values[t]
	return v, ok
}

// replaceIn replaces in a field that is not base64.
func replaceIn(v any, value Lookup) (any, error) {
	o, err := ReplaceObject(&unstructured.Unstructured{Object: map[string]any{"spec": v}}, value)
	if err != nil {
		return nil, err
	}
	return o.Object["spec"], nil
}

func TestReplaceScalar(t *testing.T) {
	in := map[string]any{
		"text": string(placeholder("text")), "int": string(placeholder("int")), "float": string(placeholder("float")),
		"list": []any{string(placeholder("bool")), nil, int64(1)}, "plain": "x",
		"inside": "n=" + string(placeholder("int")) + " b=" + string(placeholder("bool")) + " f=" +
			string(placeholder("float")),
	}
	want := map[string]any{
		"text": "it's: s3cret\n", "int": int64(42), "float": 1.5, "list": []any{true, nil, int64(1)}, "plain": "x",
		"inside": "n=42 b=true f=1.5",
	}
	got, err := replaceIn(in, lookup)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if in["text"] != string(placeholder("text")) {
		t.Error("the input was changed")
	}
}

func TestReplaceOnce(t *testing.T) {
	got, err := replaceIn("x"+string(placeholder("looks like a placeholder")), lookup)
	if want := "x" + string(placeholder("int")); err != nil || got != want {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
}

func TestReplaceUnknown(t *testing.T) {
	stranger := string(placeholder("stranger"))
	for name, in := range map[string]any{"whole": []any{stranger}, "inside": []any{"x" + stranger}} {
		got, err := replaceIn(in, lookup)
		if want := "spec[0]: no value for placeholder " + stranger; err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestReplaceRefuses(t *testing.T) {
	for name, in := range map[string]any{
		"placeholder_in_key": map[string]any{"x" + string(placeholder("text")): "v"},
		"bytes_as_scalar":    string(placeholder("bytes")),
		"bytes_in_string":    []any{"x" + string(placeholder("bytes"))},
	} {
		if got, err := replaceIn(in, lookup); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func encode(parts ...string) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Join(parts, "")))
}

func TestReplaceObject_base64(t *testing.T) {
	for name, c := range map[string]struct {
		kind, field string
		in, want    any
	}{
		"whole_generated":  {"Secret", "data", encode(string(placeholder("text"))), encode("it's: s3cret\n")},
		"inside_generated": {"Secret", "data", encode("a=", string(placeholder("int")), "\n"), encode("a=42\n")},
		"bytes_generated":  {"Secret", "data", encode(string(placeholder("bytes"))), encode("\xff\x00")},
		"encrypted_base64": {"Secret", "data", string(placeholder("base64")), "aGVsbG8="},
		"no_base64":        {"Secret", "data", "***", "***"},
		"not_a_string":     {"Secret", "data", int64(1), int64(1)},
		"stringData":       {"Secret", "stringData", string(placeholder("text")), "it's: s3cret\n"},
		"binaryData": {"ConfigMap", "binaryData", encode("x", string(placeholder("bytes"))),
			encode("x\xff\x00")},
		"data_of_configmap": {"ConfigMap", "data", encode(string(placeholder("text"))),
			encode(string(placeholder("text")))},
		"other_kind": {"Widget", "data", encode(string(placeholder("text"))),
			encode(string(placeholder("text")))},
	} {
		t.Run(name, func(t *testing.T) {
			o := &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "v1", "kind": c.kind, "metadata": map[string]any{"name": "a"}, c.field: map[string]any{"k": c.in},
			}}
			before := o.DeepCopy()
			got, err := ReplaceObject(o, lookup)
			if err != nil {
				t.Fatal(err)
			}
			if v := got.Object[c.field].(map[string]any)["k"]; v != c.want {
				t.Errorf("%v, want %v", v, c.want)
			}
			if !reflect.DeepEqual(o, before) {
				t.Error("the input was changed")
			}
		})
	}
}

func TestReplaceObject_errors(t *testing.T) {
	object := func(kind, name string, data map[string]any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": name}, "data": data,
		}}
	}
	for name, o := range map[string]*unstructured.Unstructured{
		"no_value":           object("Secret", "a", map[string]any{"k": string(placeholder("stranger"))}),
		"no_value_in_base64": object("Secret", "a", map[string]any{"k": encode(string(placeholder("stranger")))}),
		"name":               object("Secret", "a"+string(placeholder("text")), nil),
		"key_of_secret":      object("Secret", "a", map[string]any{string(placeholder("text")): encode("x")}),
		"key_of_configmap":   object("ConfigMap", "a", map[string]any{string(placeholder("text")): "x"}),
		"bytes_in_text": object("ConfigMap", "a",
			map[string]any{"k": string(placeholder("bytes")), "l": string(placeholder("text"))}),
	} {
		got, err := ReplaceObject(o, lookup)
		if err == nil || got != nil {
			t.Errorf("%s: %v, %v", name, got, err)
			continue
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the message %q shows a value", name, err)
		}
	}
}

// TestPrinted prints numbers as templates of Helm do.
func TestPrinted(t *testing.T) {
	for text, want := range map[string]string{"7": "7", "999999": "999999", "1000000": "1e+06",
		"12345678": "1.2345678e+07", "0.00001": "1e-05", "1.5": "1.5", "-3": "-3"} {
		v, ok := ScalarOf(json.Number(text))
		if !ok || v.Printed() != Text(want) || v.AsText() != Text(text) {
			t.Errorf("%s is not printed as %s", text, want)
		}
	}
	if Boolean(true).Printed() != Text("true") || Text("1000000").Printed() != Text("1000000") {
		t.Error("others are no text")
	}
}

func TestValueHidden(t *testing.T) {
	const secret = "canary-s3cret"
	for _, v := range []Value{Text(secret), Bytes([]byte(secret))} {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+" "+verb, v, &v)
			fmt.Fprintf(&out, verb, struct{ Inner Value }{v})
			fmt.Fprintf(&out, verb, []Value{v})
		}
		fmt.Fprint(&out, v.String(), v)
		encoded, err := json.Marshal(map[string]any{"v": v})
		if err != nil {
			t.Fatal(err)
		}
		out.Write(encoded)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", slog.Any("v", v), slog.Any("in", struct{ V Value }{v}))
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", slog.Any("v", v), slog.Any("in", struct{ V Value }{v}))
		for _, form := range []string{secret, fmt.Sprintf("%x", secret), encode(secret), fmt.Sprint([]byte(secret))} {
			if strings.Contains(out.String(), form) {
				t.Errorf("the value shows in %s", out.String())
			}
		}
	}
}

func FuzzFind(f *testing.F) {
	a, b := string(placeholder("a")), string(placeholder("b"))
	for _, seed := range []string{"", a, a + b, a[1:] + b, "x0sealed0" + a, a[:20] + a[10:] + Mark} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		placeholders := Find(s)
		rest := s
		for _, found := range placeholders {
			if !found.Valid() || !strings.Contains(s, string(found)) {
				t.Fatalf("%q is no placeholder of %q", found, s)
			}
		}
		replaced, err := replaceIn(s, func(Placeholder) (Value, bool) { return Text(""), true })
		if err != nil {
			t.Fatal(err)
		}
		if len(placeholders) == 0 && replaced != rest {
			t.Fatalf("%q became %q without a placeholder", s, replaced)
		}
		if want := len(s) - len(replaced.(string)); want%Length != 0 || want < len(placeholders)*Length {
			t.Fatalf("%d bytes of %q were replaced for %d placeholders", want, s, len(placeholders))
		}
	})
}

// FuzzReplaceObject puts values into objects of any kind. What comes out holds no placeholder that has a value, what
// goes in is not changed, and no error holds a value.
func FuzzReplaceObject(f *testing.F) {
	known := string(placeholder("text"))
	for _, text := range []string{
		`{"kind":"Secret","metadata":{"name":"a"},"data":{"k":"` + known + `","l":"` + encode("x", known) + `"}}`,
		`{"kind":"ConfigMap","binaryData":{"k":"` + encode(known, known) + `"},"data":{"k":"a` + known + `"}}`,
		`{"kind":"` + known + `"}`, `{"spec":[{"` + known + `":1}]}`, `{"spec":{"k":"` + string(placeholder("bytes")) + `"}}`,
		`{"spec":"` + string(placeholder("stranger")) + `"}`,
		`{"kind":"Secret","data":null}`, `{"kind":"Secret","data":["` + known + `"]}`,
		`{"kind":"Secret","data":{"k":{"a":"` + encode(known) + `"}}}`, `{}`,
		`{"spec":"` + known[:20] + known + `"}`, `{"metadata":{"name":1,"namespace":["a"]}}`,
	} {
		f.Add([]byte(text))
	}
	const secret = "it's: s3cret\n"
	f.Fuzz(func(t *testing.T, data []byte) {
		o := &unstructured.Unstructured{}
		if json.Unmarshal(data, &o.Object) != nil || o.Object == nil {
			return
		}
		before := o.DeepCopy()
		got, err := ReplaceObject(o, lookup)
		if !reflect.DeepEqual(o, before) {
			t.Fatalf("%s: the input was changed", data)
		}
		if err != nil {
			if got != nil || strings.Contains(err.Error(), secret) && !bytes.Contains(data, []byte("s3cret")) {
				t.Fatalf("%s: %v, %v", data, got, err)
			}
			return
		}
		text, err := json.Marshal(got.Object)
		if err != nil {
			t.Fatal(err)
		}
		for _, left := range Find(string(text)) {
			if left == placeholder("int") { // what the value of another placeholder looks like
				continue
			}
			if _, ok := lookup(left); ok {
				t.Errorf("%s: placeholder %s is left in %s", data, left, text)
			}
		}
	})
}

func TestPlaceholderOther(t *testing.T) {
	p := NewSalt([]byte("key")).Placeholder("ENC[x]", []string{"a"})
	other := p.Other()
	if !other.Valid() || other != p.Other() {
		t.Fatalf("%s, of %s", other, p)
	}
	for i := range p {
		if isMark := i >= 1 && i < 1+len(Mark); (p[i] == other[i]) != isMark {
			t.Errorf("character %d of %s and %s", i, p, other)
		}
	}
}
