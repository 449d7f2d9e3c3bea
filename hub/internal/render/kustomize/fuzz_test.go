package kustomize

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/types"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// FuzzAdmit checks that all paths in an admitted kustomization file are files or directories of the tree.
func FuzzAdmit(f *testing.F) {
	for _, text := range []string{
		"resources: [a.yaml, ../base, \"../../etc/passwd\", /etc/passwd]\n", "resources: " +
			"[\"https://169.254.169.254/base.yaml\"]\n",
		"resources: [\"http://[::ffff:169.254.169.254]/x\", \"git::ssh://a/b\", \"user@host:a/b\", \"HTTPS://a\", " +
			"\"file:///a\", \"gh:a/b\"]\n",
		"configMapGenerator: [{name: a, files: [\"x=../../../etc/passwd\", a.yaml], envs: [a.env], env: a.env}]\n",
		"secretGenerator: [{name: a, files: [\"k=https://a?b=c\"]}]\n", "helmCharts: [{name: " +
			"a}]\n", "helmChartInflationGenerator: [{chartName: a}]\n",
		"helmGlobals: {chartHome: ../charts}\n", "bases: [../base]\n", "components: [.]\n", "patchesStrategicMerge: [\"a: " +
			"&a [*a]\\n\", a.yaml]\n",
		"patches: [{path: a.yaml}, {patch: \"x0: &x0 [l]\\nx1: [*x0]\\n\"}]\n", "patchesJson6902: [{path: ../a.yaml, " +
			"target: {kind: A}}]\n",
		"replacements: [{path: r.yaml}]\n", "openapi: {path: schema.json}\n", "crds: [\"a\\0b\"]\n", "configurations: " +
			"[link]\n", "resources: a\n", "{", "",
		"transformers: [\"apiVersion: builtin\\nkind: PatchTransformer\\nmetadata: {name: t}\\npath: " +
			"https://a/b\\n\"]\n", "generators: [{}]\n", "validators: [\"{\"]\n",
	} {
		f.Add([]byte(text))
	}
	root := f.TempDir()
	for _, name := range []string{"a.yaml", "a.env", "r.yaml", "schema.json", "apps/a.yaml", "base/kustomization.yaml"} {
		plant(f, root, name, []byte("{}\n"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tr, err := tree.Open(t.Context(), root, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		fsys := newFileSystem(tr, sealed.NewSalt(nil))
		if _, err := fsys.admit("/apps/kustomization.yaml", data); err != nil {
			return
		}
		var k types.Kustomization
		if err := k.Unmarshal(data); err != nil {
			t.Fatalf("admitted, and it does not parse: %v", err)
		}
		k.FixKustomization()
		for _, r := range references(&k) {
			if r.accepts&inline != 0 && strings.ContainsAny(r.path, "\n{") {
				continue
			}
			if found, err := tr.Type(tree.Clean("/apps/" + r.path)); err != nil || found != render.Regular &&
				found != render.Directory {
				t.Errorf("%s: %q is admitted: %v, %v", r.field, r.path, found, err)
			}
		}
	})
}

// FuzzAliases counts the values that aliases add again, node by node. In an accepted file they do not exceed the limit.
func FuzzAliases(f *testing.F) {
	bomb := "x0: &x0 [l, l, l, l, l, l, l, l, l, l]\n"
	for i := range 8 {
		name := string(rune('0' + i))
		next := string(rune('1' + i))
		bomb += "x" + next + ": &x" + next + " [" + strings.TrimSuffix(strings.Repeat("*x"+name+", ", 10), ", ") + "]\n"
	}
	for _, text := range []string{
		bomb, "a: &a [*a]\n", "a: &a b\nc: *a\n", "a: &a {<<: *a}\n", "<<: [*a, *b]\n", "a: &a [l]\n---\nb: *a\n", "- &a " +
			"b\n- *a\n-\n  *a\n", "{a: &a b,c: *a}", "a: &a\n  b: c\n? *a\n: d\n", "",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if checkAliases("/a.yaml", data) != nil {
			return
		}
		d := yaml.NewDecoder(bytes.NewReader(data))
		for {
			var doc yaml.Node
			if d.Decode(&doc) != nil {
				return
			}
			left := 10 * maxAliased
			if aliased := countAliased(&doc, false, nil, &left); aliased > maxAliased {
				t.Fatalf("%d values or more by aliases pass in %q", aliased, data)
			}
		}
	})
}

// countAliased counts the values that aliases add, until left of all values are seen. A node within itself is endless.
func countAliased(n *yaml.Node, aliased bool, above []*yaml.Node, left *int) int {
	for _, a := range above {
		if a == n {
			*left = 0
			return maxAliased + 1
		}
	}
	if *left--; *left <= 0 {
		return 0
	}
	count := 0
	if aliased {
		count = 1
	}
	above = append(above[:len(above):len(above)], n)
	if n.Kind == yaml.AliasNode {
		return countAliased(n.Alias, true, above, left)
	}
	for _, child := range n.Content {
		count += countAliased(child, aliased, above, left)
	}
	return count
}

// FuzzSubstitute substitutes in an object of one text. A text without a variable stays, and the result is an object
// again, the same one each time.
func FuzzSubstitute(f *testing.F) {
	for _, text := range []string{
		"", "$", "$$", "${", "${}", "${a}", "$${a}", "${a:-b}", "${a:=${b}}", "${a/b/c}", "${a//\\*/x}", "${a:1:2}", "${#a}",
		"${a^^}", "${a,,}", "${a%%b*}", "${a##*b}",
		"${a:-\n- b}", "${list}", "a: ${b}", "${a:-${a:-${a:-x}}}", "${a[0]}", "${!a}", "${a:99999999999999999999}",
		"${a/#b/c}", "\"${quote}\"", "${a?}", "${a:+b}",
	} {
		f.Add(text)
	}
	v, err := newVariables(&Spec{Substitute: map[string]string{"a": "abcabc", "b": "*", "list": "[1, 2]", "quote": "\"",
		"empty": ""}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		substituted := func() (*manifest.Object, error) {
			o := &manifest.Object{Object: map[string]any{
				"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a"}, "data": map[string]any{"k": text},
			}}
			return o, v.substitute(o)
		}
		o, err := substituted()
		again, errAgain := substituted()
		if (err == nil) != (errAgain == nil) || err == nil && !reflect.DeepEqual(o, again) {
			t.Fatalf("%q became %v (%v) and %v (%v)", text, o.Object, err, again.Object, errAgain)
		}
		if err != nil {
			return
		}
		if _, err := json.Marshal(o.Object); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		data, _ := o.Object["data"].(map[string]any)
		if !strings.Contains(text, "$") && data["k"] != text {
			t.Errorf("%q became %v", text, o.Object)
		}
	})
}
