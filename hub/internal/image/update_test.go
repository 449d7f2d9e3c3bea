package image

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// digest is one of a manifest.
const digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// policies are those that markers of tests name.
var policies = Policies{Namespace: "ns", ByName: map[string]Policy{
	"app":    {Image: Reference{Name: "ghcr.io/o/app", Tag: "v2.0.0"}},
	"fixed":  {Image: Reference{Name: "ghcr.io/o/app", Tag: "v2.0.0", Digest: digest}},
	"number": {Image: Reference{Name: "localhost:5000/app", Tag: "1.10"}},
	"yes":    {Image: Reference{Name: "yes", Tag: "on"}},
	"late":   {Image: Reference{Name: "app", Tag: "1"}},
	"wrong":  {Image: Reference{Name: "app", Tag: "a b"}},
	"other":  {Image: Reference{Name: "app", Tag: "1"}, Ignored: true},
	"new":    {},
}}

// updates are files with what becomes of them. M(x) stands for the marker of a policy, and «a→b» for a changed value.
var updates = map[string]string{
	"an image":              "image: «ghcr.io/o/app:v1→ghcr.io/o/app:v2.0.0» # M(app)\n",
	"its parts":             "a: «x→ghcr.io/o/app» # M(app:name)\nb: «x→v2.0.0» # M(app:tag)\nc: «x→" + digest + "» # M(fixed:digest)\n",
	"with a digest":         "image: «x→ghcr.io/o/app:v2.0.0@" + digest + "» # M(fixed)\n",
	"up to date":            "image: ghcr.io/o/app:v2.0.0 # M(app)\n",
	"no line break":         "image: «x→ghcr.io/o/app:v2.0.0» # M(app)",
	"no blank":              "image: «x→ghcr.io/o/app:v2.0.0» #M(app)",
	"tabs before a comment": "image: «x→ghcr.io/o/app:v2.0.0»\t \t#\tM(app) \t\n",
	"double quotes":         "image: «\"x\"→\"ghcr.io/o/app:v2.0.0\"» # M(app)\n",
	"single quotes":         "image: «'x'→'ghcr.io/o/app:v2.0.0'» # M(app)\n",
	"escapes":               "a: «\"x\\\"\\\\\"→\"v2.0.0\"» # M(app:tag)\nb: «'it''s'→'v2.0.0'» # M(app:tag)\n",
	"a number gets quotes":  "tag: «1.9→\"1.10\"» # M(number:tag)\n",
	"a float of the value":  "tag: «1.10→\"1.10\"» # M(number:tag)\n",
	"a quoted number":       "tag: \"1.10\" # M(number:tag)\nb: '1.10' # M(number:tag)\n",
	"old booleans":          "a: «x→\"yes\"» # M(yes:name)\nb: «x→\"on\"» # M(yes:tag)\n",
	"null and empty":        "a: «~→v2.0.0» # M(app:tag)\nb: «\"\"→\"v2.0.0\"» # M(app:tag)\n",
	"lists":                 "- «x→v2.0.0» # M(app:tag)\n-   - «'x'→'v2.0.0'» # M(app:tag)\n- a: «x→v2.0.0» # M(app:tag)\n",
	"a flow":                "a: {b: [x, «y→v2.0.0», # M(app:tag)\n  «z→v2.0.0» # M(app:tag)\n ], c: «w→v2.0.0» # M(app:tag)\n}\n",
	"JSON":                  "{\"a\":\"x\",\"b\" : «\"y\"→\"v2.0.0\"», # M(app:tag)\n\"c\":«\"z\"→\"v2.0.0\"»# M(app:tag)\n}\n",
	"an anchor":             "a: &a «x→v2.0.0» # M(app:tag)\nb: *a\nc: &b !!str «1→v2.0.0» # M(app:tag)\n",
	"documents":             "a: «x→v2.0.0» # M(app:tag)\n---\n# c\n---\n\n\nb: «x→v2.0.0» # M(app:tag)\n...\n",
	"CRLF":                  "a: 1\r\nb: |\r\n  x\r\nimage: «x→v2.0.0» # M(app:tag)\r\n\r\n\r\n",
	"CR":                    "a: 1\rimage: «x→v2.0.0» # M(app:tag)\r",
	"a byte order mark":     "\ufeffimage: «x→v2.0.0» # M(app:tag)\nb: «x→v2.0.0» # M(app:tag)\n",
	"unicode":               "{\"grüße 🎉\": [\"日本\", «x→v2.0.0» # M(app:tag)\n]}\n",
	"breaks of YAML 1.1":    "a: \"x\u2028y\"\nimage: «x→v2.0.0» # M(app:tag)\n# \u0085b: «x→v2.0.0» # M(app:tag)\n",
	"a hash in a value":     "a: «x#y→v2.0.0» # M(app:tag)\nb: «'x # y'→'v2.0.0'» # M(app:tag)\n",
	"odd layout":            "\n\n#c\na   :   «x→v2.0.0»     # M(app:tag)\n\n\nb:   |-\n     text   \n\nc:\n- 'it'\n-   1e3\n\n",
	"other fields":          "a: «x→v2.0.0» # {\"x\": \"y\", \"$imagepolicy\": \"ns:app:tag\"}\n",
	"commented out":         "a:\n#  image: x # M(app)\n  # # - y # M(nobody)\n  b: «x→v2.0.0» # M(app:tag)\n#- {a: b} # M(app)\n",
	"not selected":          "a: x # M(other:tag)\n",
	"a merge":               "a: &a\n  t: «x→v2.0.0» # M(app:tag)\nb:\n  <<: *a\n  u: «x→v2.0.0» # M(app:tag)\n",
	"a long line":           "{a: [" + strings.Repeat("ü, ", 5000) + "«x→v2.0.0» # M(app:tag)\n]}\n",
	"partly sealed by SOPS": "a: «x→v2.0.0» # M(app:tag)\nsops:\n  mac: ENC[x]\n  mac_only_encrypted: true\n",
	"a key sops":            "a: «x→v2.0.0» # M(app:tag)\nsops: true\n",
	"no marker":             "a: : :\n",
	"no marker either":      "a: x # {imagePullPolicy: Always}\n# imagePolicy: Always\n#b: x # {\"$imagePolicy\": \"ns:app\"}\nc: x # {\"$openapi\": \"x\"}\n",
}

// written returns the file before and after, of one of updates.
func written(text string) (before, after string) {
	for {
		marker := strings.Index(text, "M(")
		if marker < 0 {
			break
		}
		end := marker + strings.IndexByte(text[marker:], ')')
		text = text[:marker] + `{"$imagepolicy": "ns:` + text[marker+2:end] + `"}` + text[end+1:]
	}
	for part := range strings.SplitSeq(text, "«") {
		edit, rest, edited := strings.Cut(part, "»")
		if !edited {
			before, after = before+part, after+part
			continue
		}
		old, value, _ := strings.Cut(edit, "→")
		before, after = before+old+rest, after+value+rest
	}
	return before, after
}

// TestUpdate changes the marked scalars and no other byte, and nothing the second time.
func TestUpdate(t *testing.T) {
	for name, text := range updates {
		t.Run(name, func(t *testing.T) {
			before, after := written(text)
			updated := Update([]byte(before), policies)
			if string(updated.Content) != after || len(updated.Problems) > 0 {
				t.Fatalf("%v, in place of %q:\n%q", updated.Problems, after, updated.Content)
			}
			if len(updated.Changes) != strings.Count(text, "→") {
				t.Errorf("changes: %+v", updated.Changes)
			}
			again := Update(updated.Content, policies)
			if !bytes.Equal(again.Content, updated.Content) || len(again.Changes)+len(again.Problems) > 0 {
				t.Errorf("again: %+v", again)
			}
		})
	}
}

// problems are files in which a marker cannot be carried out, and what is said.
var problems = map[string][2]string{
	"unparsable":           {"a: [\n\nb: x # M(app)\n", `line 3: the file has a marker and is not YAML: did not find expected `},
	"too large":            {"a: x # M(app)\nb: " + strings.Repeat("x", 9<<20) + "\n", `line 1: the file has a marker and 9 MiB: the most is 8`},
	"template":             {"a:\n{{- if .b }}\n- x # M(app)\n", `line 2: the file has a marker and is not YAML`},
	"not UTF-8":            {"a: \xff\nb: x # M(app)\n", `the file has a marker and is not YAML: control characters are not allowed|the file has a marker and is not YAML: invalid`},
	"unknown policy":       {"a: x # M(apq)\n", `line 1: the ImagePolicy ns/apq of the marker does not exist`},
	"other namespace":      {"a: x # {\"$imagepolicy\": \"sn:app\"}\n", `the marker names the ImagePolicy sn/app, and the ImageUpdateAutomation is in the namespace ns`},
	"no image yet":         {"a: x # M(new)\n", `the ImagePolicy ns/new has not chosen an image yet`},
	"digest with Never":    {"a: x # M(app:digest)\n", `the ImagePolicy ns/app has no digest: set its digestReflectionPolicy to IfNotPresent or Always`},
	"no digest yet":        {"a: x # M(late:digest)\n", `the ImagePolicy ns/late has no digest: set its digestReflectionPolicy to IfNotPresent or Always`},
	"unknown part":         {"a: x # M(app:version)\n", `the marker names the part "version": want tag, name or digest`},
	"no policy":            {"a: x # {\"$imagepolicy\": \"app\"}\n", `the marker names "app": want namespace:name`},
	"empty policy":         {"a: x # {\"$imagepolicy\": \"ns::tag\"}\n", `the marker names "ns::tag": want namespace:name`},
	"too many parts":       {"a: x # M(app:tag:x)\n", `the marker names "ns:app:tag:x": want namespace:name`},
	"malformed":            {"a: x # {\"$imagepolicy\": ns:app}\n", `the marker is malformed`},
	"text behind":          {"a: x # M(app) old\n", `the marker is malformed`},
	"text before":          {"a: x # see M(app)\n", `the marker is malformed`},
	"empty marker":         {"a: x # {\"$imagepolicy\": \"\"}\n", `the marker is malformed`},
	"key":                  {"a: # M(app)\n  b: x\n", `line 1: the marker is behind a key`},
	"key without value":    {"a: # M(app)\n", `line 1: the marker is behind a key`},
	"complex key":          {"? a # M(app)\n: b\n", `line 1: the marker is behind a key`},
	"document":             {"x # M(app)\n", `line 1: the marker is behind a key`},
	"list":                 {"a: [x, y] # M(app)\n", `line 1: the marker is behind a list or map`},
	"map":                  {"a: {x: y} # M(app)\n", `line 1: the marker is behind a list or map`},
	"start of a list":      {"a: [ # M(app)\n x]\n", `the marker is behind a key`},
	"literal":              {"a: | # M(app)\n  x\n", `line 1: the marked value is a block scalar`},
	"folded":               {"a: >- # M(app)\n  x\n", `line 1: the marked value is a block scalar`},
	"inside a block":       {"a: |\n  b: x # M(app)\n", `line 2: no value is before the marker on its line`},
	"inside quotes":        {"a: 'b # M(app)'\n", `line 1: the marker is inside of a text`},
	"inside long quotes":   {"a: 'b # M(app)\n\n  '\n", `line 1: the marker is inside of a text`},
	"long quotes":          {"a: \"b\n  c\" # M(app)\n", `line 2: no value is before the marker on its line`},
	"long plain":           {"a: b\n  c # M(app)\n", `line 2: no value is before the marker on its line`},
	"alone":                {"# M(app)\na: x\n", `line 1: no value is before the marker on its line`},
	"empty item":           {"- # M(app)\n", `line 1: no value is before the marker on its line`},
	"empty anchor":         {"a: &a # M(app)\n", `line 1: the marker is behind a key|line 1: no value`},
	"alias":                {"a: &a x\nb: *a # M(app)\n", `line 2: the marked value is an alias`},
	"number by tag":        {"a: !!int 1 # M(app:tag)\n", `line 1: the marked value has the tag !!int`},
	"own tag":              {"a: !Sub x # M(app:tag)\n", `line 1: the marked value has the tag !Sub`},
	"sealed by SOPS":       {"a: x # M(app)\nsops:\n  mac: ENC[y]\n", `line 1: the file is encrypted by SOPS, and a new value would break its MAC`},
	"sealed elsewhere":     {"a: x # M(app)\n---\nsops:\n  mac: ENC[y]\n  mac_only_encrypted: false\n", `line 1: the file is encrypted by SOPS`},
	"encrypted":            {"a: ENC[AES256_GCM,data:x] # M(app)\nsops:\n  mac: y\n  mac_only_encrypted: true\n", `line 1: SOPS encrypted the marked value`},
	"no image":             {"a: x # M(wrong:tag)\n", `line 1: "a b" is no image`},
	"other case":           {"a: x # {\"$imagePolicy\": \"ns:app\"}\n", `line 1: the comment looks like a marker and is none: want # {"$imagepolicy": "namespace:name"}`},
	"mistyped":             {"a: x\nb: y # {\"$imagepolcy\": \"ns:app\"}\n", `line 2: the comment looks like a marker`},
	"mistyped otherwise":   {"a: y # {\"$imgepolicy\": \"ns:app\"}\n", `line 1: the comment looks like a marker`},
	"without dollar":       {"a: y # {\"imagepolicy\": \"ns:app\"}\n", `line 1: the comment looks like a marker`},
	"single quotes":        {"a: y # {'$imagepolicy': 'ns:app'}\n", `line 1: the comment looks like a marker`},
	"without quotes":       {"a: y # {$imagepolicy: ns:app}\n", `line 1: the comment looks like a marker`},
	"without braces":       {"a: y # $imagepolicy: ns:app\n", `line 1: the comment looks like a marker`},
	"as a field":           {"a: y # imagepolicy: ns:app\n", `line 1: the comment looks like a marker`},
	"near in a template":   {"{{- if .b }}\na: y # {'$imagepolicy': 'ns:app'}\n", `line 2: the comment looks like a marker`},
	"line after CRLF":      {"a: 1\r\n\r\nb: x # M(none)\r\n", `line 3: the ImagePolicy`},
	"line after CR and LS": {"a: 1\r#\u2028b: x # M(none)\r\n", `line 3: the ImagePolicy`},
}

// TestUpdateProblems reports what Flux passes over in silence, and leaves the file as it is.
func TestUpdateProblems(t *testing.T) {
	for name, c := range problems {
		t.Run(name, func(t *testing.T) {
			content, _ := written(c[0])
			updated := Update([]byte(content), policies)
			if string(updated.Content) != content || len(updated.Changes) > 0 || len(updated.Problems) != 1 ||
				!slices.ContainsFunc(strings.Split(c[1], "|"), func(want string) bool {
					return strings.Contains(updated.Problems[0].String(), want)
				}) {
				t.Errorf("%v, want %s; %q", updated.Problems, c[1], updated.Content)
			}
		})
	}
}

// TestUpdate_utf16 tells of markers in a file that is not in UTF-8, which YAML allows.
func TestUpdate_utf16(t *testing.T) {
	text, _ := written("# ж\na: x # M(app)\n")
	for mark, order := range map[string]binary.AppendByteOrder{"\xff\xfe": binary.LittleEndian,
		"\xfe\xff": binary.BigEndian} {
		content := []byte(mark)
		for _, unit := range utf16.Encode([]rune(text)) {
			content = order.AppendUint16(content, unit)
		}
		updated := Update(content, policies)
		if !Marked(content) || !bytes.Equal(updated.Content, content) || len(updated.Problems) != 1 ||
			updated.Problems[0].Message != "the file has a marker and is in UTF-16: save it in UTF-8" {
			t.Errorf("%q: %v", mark, updated.Problems)
		}
	}
}

// TestUpdateBeside carries out the markers beside one that cannot be.
func TestUpdateBeside(t *testing.T) {
	before, after := written("a: x # M(none)\nb: «x→v2.0.0» # M(app:tag)\nc: x # M(app:digest)\n")
	updated := Update([]byte(before), policies)
	if string(updated.Content) != after || len(updated.Problems) != 2 || updated.Problems[1].Line != 3 {
		t.Errorf("%+v: %q", updated, updated.Content)
	}
}

// TestChanges names the object, the values and the setter of each change.
func TestChanges(t *testing.T) {
	content, _ := written(`apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: web}
spec:
  image: old # M(app:tag)
---
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata: {name: pod}
  image: 'older' # M(app)
---
images:
- newTag: 1 # M(app:tag)
`)
	var got []string
	for _, c := range Update([]byte(content), policies).Changes {
		got = append(got, fmt.Sprintf("%+v", c))
	}
	want := []string{
		"{Line:5 Object:{APIVersion:apps/v1 Kind:Deployment Namespace:web Name:app} Old:old New:v2.0.0 Setter:ns:app:tag}",
		"{Line:12 Object:{APIVersion:v1 Kind:Pod Namespace: Name:pod} Old:older New:ghcr.io/o/app:v2.0.0 Setter:ns:app}",
		"{Line:15 Object:{APIVersion: Kind: Namespace: Name:} Old:1 New:v2.0.0 Setter:ns:app:tag}",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

// TestUpdatable holds which files Flux reads.
func TestUpdatable(t *testing.T) {
	for file, want := range map[string]bool{
		"a.yaml": true, "a/b/c.yml": true, "Kustomization": true, "a/Kustomization": true, ".hidden.yaml": true,
		"a.json": false, "a.YAML": false, "kustomization": false, "yaml": false, "a.yaml.bak": false,
		".git/a.yaml": false, "a/.git/b.yaml": false, ".github/a.yaml": true,
	} {
		if Updatable(file) != want {
			t.Errorf("%s: %v", file, !want)
		}
	}
}

// FuzzUpdate holds that an update is complete, keeps what is not marked, and can be repeated.
func FuzzUpdate(f *testing.F) {
	for _, text := range updates {
		before, _ := written(text)
		f.Add([]byte(before))
	}
	for _, c := range problems {
		before, _ := written(c[0])
		f.Add([]byte(before))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		given := bytes.Clone(content)
		updated := Update(content, policies)
		if !bytes.Equal(content, given) {
			t.Fatal("the content that was given is changed")
		}
		if len(updated.Changes) == 0 {
			if !bytes.Equal(content, updated.Content) {
				t.Fatalf("changed without a change: %q", updated.Content)
			}
			return
		}
		again := Update(updated.Content, policies)
		if len(again.Changes) > 0 || !slices.Equal(again.Problems, updated.Problems) ||
			!bytes.Equal(again.Content, updated.Content) {
			t.Fatalf("%q: again %+v, %v after %v", updated.Content, again.Changes, again.Problems, updated.Problems)
		}
		holdRest(t, given, updated)
	})
}

// holdRest fails if lines without a change differ, or a changed line in more than its value.
func holdRest(t *testing.T, content []byte, updated Updated) {
	t.Helper()
	before, after := linesOf(content), linesOf(updated.Content)
	if len(before) != len(after) {
		t.Fatalf("%d lines became %d", len(before), len(after))
	}
	changed := map[int]Change{}
	for _, c := range updated.Changes {
		changed[c.Line] = c
	}
	for i := range before {
		old, now := content[before[i].start:before[i].end], updated.Content[after[i].start:after[i].end]
		c, ok := changed[i+1]
		if ok && !onlyValue(string(old), string(now), c.New) || !ok && !bytes.Equal(old, now) {
			t.Fatalf("line %d: %q became %q", i+1, old, now)
		}
	}
}

// onlyValue reports whether a line differs from the old one only in place of a value.
func onlyValue(old, now, value string) bool {
	for at := range len(now) - len(value) + 1 {
		if now[at:at+len(value)] != value {
			continue
		}
		head, tail := strings.TrimRight(now[:at], `"'`), strings.TrimLeft(now[at+len(value):], `"'`)
		if strings.Contains(tail, token) && len(old) >= len(head)+len(tail) && strings.HasPrefix(old, head) &&
			strings.HasSuffix(old, tail) {
			return true
		}
	}
	return false
}

func BenchmarkUpdate(b *testing.B) {
	plain := bytes.Repeat([]byte("a: b\nc:\n- d: e # comment\n"), 100)
	before, _ := written(string(plain) + "image: x # M(app)\n")
	b.Run("without markers", func(b *testing.B) {
		for b.Loop() {
			Update(plain, policies)
		}
	})
	b.Run("with a marker", func(b *testing.B) {
		for b.Loop() {
			Update([]byte(before), policies)
		}
	})
}
