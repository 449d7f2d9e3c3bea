package kustomize

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// joinedBuild builds the directory of a tree with kustomize itself, with or without joins.
func joinedBuild(t testing.TB, root, dir string, spec *Spec, with bool) (*joins, []*manifest.Object, error) {
	t.Helper()
	tr, err := tree.Open(t.Context(), root, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	fsys := newFileSystem(tr, sealed.NewSalt([]byte("salt")))
	k, file, err := generate(fsys, tree.Clean(dir), spec)
	if err != nil {
		return nil, nil, err
	}
	if err := putFile(fsys, k, file); err != nil {
		return nil, nil, err
	}
	j := newJoins(fsys)
	if with && len(k.BuildMetadata) == 0 {
		fsys.joins = j
	}
	objects, err := krustyObjects(t.Context(), fsys, tree.Clean(dir))
	if fsys.failed != nil {
		err = fsys.failed
	}
	return j, objects, err
}

// compareJoined builds with and without joins. If the build with joins succeeds, both must give the same objects.
// compareJoined returns how many joined files there were.
func compareJoined(t testing.TB, root, dir string, spec *Spec) int {
	t.Helper()
	j, got, err := joinedBuild(t, root, dir, spec, true)
	if err != nil {
		return 0
	}
	_, want, err := joinedBuild(t, root, dir, spec, false)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("with joins:\n%v\nwithout:\n%v\n%v", got, want, err)
	}
	return len(j.files)
}

func TestJoin_stories(t *testing.T) {
	stories, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	joined := 0
	for _, file := range stories {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			spec := specIn(t, archive)
			if compareJoined(t, plantTree(t, archive), spec.Path, &spec) > 0 {
				joined++
			}
		})
	}
	if joined < 3 {
		t.Errorf("only %d stories had joined files", joined)
	}
}

// plantFiles makes a tree of all files of an archive.
func plantFiles(t testing.TB, archive *txtar.Archive) string {
	root := t.TempDir()
	for _, f := range archive.Files {
		plant(t, root, f.Name, f.Data)
	}
	return root
}

func TestJoin(t *testing.T) {
	for name, test := range map[string]struct {
		files string
		want  int // joined files
	}{
		"files":       {"-- kustomization.yaml --\nresources: [a.yaml, b.yaml]\n", 1},
		"one":         {"-- kustomization.yaml --\nresources: [a.yaml]\n", 0},
		"not_between": {"-- kustomization.yaml --\nresources: [a.yaml, b.yaml, list.yaml, c.yaml]\n", 1},
		"twice":       {"-- kustomization.yaml --\nresources: [a.yaml, list.yaml, b.yaml, c.yaml]\n", 1},
		"base":        {"-- kustomization.yaml --\nnamePrefix: x-\nresources: [base, a.yaml]\n", 1},
		"only_base":   {"-- kustomization.yaml --\nnamePrefix: x-\nresources: [base]\n", 1},
		"renamed":     {"-- kustomization.yaml --\nresources: [prefixed, a.yaml]\n", 1},
		"field_bases": {"-- kustomization.yaml --\nnamePrefix: x-\nbases: [base]\nresources: [a.yaml]\n", 1},
		"two_levels":  {"-- kustomization.yaml --\nnamePrefix: x-\nresources: [above]\n", 1},
		"component":   {"-- kustomization.yaml --\nresources: [a.yaml]\ncomponents: [component]\n", 1},
		"below": {"-- kustomization.yaml --\nnamePrefix: x-\nresources: [deep, a.yaml]\n" +
			"-- deep/kustomization.yaml --\nresources: [dir]\n" +
			"-- deep/dir/kustomization.yaml --\nresources: [../../b.yaml, ../../c.yaml]\n", 1},
		"last_line":  {"-- kustomization.yaml --\nresources: [block.yaml, keep.yaml, a.yaml]\n", 1},
		"separators": {"-- kustomization.yaml --\nresources: [dashes.yaml, a.yaml, two.yaml, b.yaml]\n", 1},
		"empty":      {"-- kustomization.yaml --\nresources: [a.yaml, comment.yaml, b.yaml]\n", 1},
		"aliases":    {"-- kustomization.yaml --\nresources: [alias.yaml, a.yaml]\n", 0},
		"generated": {"-- kustomization.yaml --\nresources: [a.yaml, b.yaml]\n" +
			"configMapGenerator: [{name: a, behavior: merge, literals: [x=y]}]\n", 1},
		"link":         {"-- kustomization.yaml --\nnamePrefix: x-\nresources: [link, a.yaml]\n", 1},
		"annotated":    {"-- kustomization.yaml --\nbuildMetadata: [originAnnotations]\nresources: [a.yaml, b.yaml]\n", 0},
		"other_config": {"-- kustomization.yaml --\nnamePrefix: x-\nresources: [base]\nconfigurations: [names.yaml]\n", 1},
		// these fail, and are built again without joins
		"same_file": {"-- kustomization.yaml --\nresources: [a.yaml, a.yaml]\n", 0},
		"itself":    {"-- kustomization.yaml --\nresources: [., a.yaml, b.yaml]\n", 0},
		"around": {"-- kustomization.yaml --\nnamePrefix: x-\nresources: [deep/dir]\n" +
			"-- deep/dir/kustomization.yaml --\nresources: [.., ../../a.yaml]\n" +
			"-- deep/kustomization.yaml --\nresources: [../b.yaml]\n", 0},
		"around_other": {"-- kustomization.yaml --\nnamePrefix: x-\nresources: [deep/dir]\n" +
			"-- deep/dir/kustomization.yaml --\nnamePrefix: y-\nresources: [../../other]\n" +
			"-- other/kustomization.yaml --\nnamePrefix: z-\nresources: [../deep, ../a.yaml]\n" +
			"-- deep/kustomization.yaml --\nresources: [../b.yaml]\n", 0},
		"missing": {"-- kustomization.yaml --\nresources: [a.yaml, b.yaml, none.yaml]\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			archive := txtar.Parse([]byte(test.files + joinTree))
			root := plantFiles(t, archive)
			if err := os.Symlink("base", filepath.Join(root, "link")); err != nil {
				t.Fatal(err)
			}
			if got := compareJoined(t, root, "/", &Spec{}); got != test.want {
				t.Errorf("%d joined files, want %d", got, test.want)
			}
		})
	}
}

// joinTree has what the kustomization files of TestJoin name.
const joinTree = `-- a.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
-- b.yaml --
apiVersion: v1
kind: Service
metadata: {name: b}
-- c.yaml --
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: c}
subjects: [{kind: ServiceAccount, name: default, namespace: default}]
-- list.yaml --
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: l1}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: l2}}
-- block.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: block}
data:
  text: |
    one
-- keep.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: keep}
data:
  text: |+
    two


-- dashes.yaml --
---
apiVersion: v1
kind: ConfigMap
metadata: {name: dashes}
---
-- two.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: two-1}
--- # the second
apiVersion: v1
kind: ConfigMap
metadata: {name: two-2}
-- comment.yaml --
# nothing
-- alias.yaml --
apiVersion: v1
kind: ConfigMap
metadata: {name: alias, labels: &l {a: b}, annotations: *l}
-- names.yaml --
nameReference:
- kind: ConfigMap
  fieldSpecs: [{kind: Service, path: spec/config}]
-- base/kustomization.yaml --
resources: [../b.yaml, ../c.yaml]
-- above/kustomization.yaml --
kind: Kustomization
resources: [../base, ../block.yaml]
-- prefixed/kustomization.yaml --
namePrefix: p-
resources: [../base]
-- component/kustomization.yaml --
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
resources: [../b.yaml, ../c.yaml]
commonLabels: {a: b}
`

// TestJoin_errors checks that the errors of a build name the files of the tree.
func TestJoin_errors(t *testing.T) {
	for name, test := range map[string]struct{ bad, want string }{
		"syntax":    {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x\n", "bad.yaml"},
		"duplicate": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", "a.yaml"},
		"no_kind":   {"apiVersion: v1\nmetadata: {name: x}\n", "bad.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			root := plantFiles(t, txtar.Parse([]byte("-- kustomization.yaml --\nnamePrefix: x-\nresources: [bad]\n"+
				"-- bad/kustomization.yaml --\nresources: [../a.yaml, ../bad.yaml]\n-- bad.yaml --\n"+test.bad+joinTree)))
			_, err := buildTree(t.Context(), root, Spec{Name: "a", Namespace: "b"})
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "yaml/") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestJoin_growth checks that bases which list each other cannot grow without limit.
func TestJoin_growth(t *testing.T) {
	files := "-- b0/kustomization.yaml --\nresources: [../a.yaml, ../b.yaml]\n"
	for _, level := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"} {
		below := string(level[0] - 1)
		files += "-- b" + level + "/kustomization.yaml --\nresources: [" +
			strings.TrimSuffix(strings.Repeat("../b"+below+", ", 8), ", ") + "]\n"
	}
	root := plantFiles(t, txtar.Parse([]byte(files+joinTree)))
	_, err := buildTree(t.Context(), root, Spec{Name: "a", Namespace: "b", Path: "b9", NamePrefix: "x-"})
	if err == nil || !strings.Contains(err.Error(), "more than one object") {
		t.Errorf("error %v", err)
	}
}

// FuzzJoin compares builds with and without joins.
func FuzzJoin(f *testing.F) {
	archive := txtar.Parse([]byte(joinTree))
	for _, a := range archive.Files {
		f.Add(string(a.Data), "kind: ConfigMap\napiVersion: v1\nmetadata: {name: x}\n", "namePrefix: x-")
	}
	f.Fuzz(func(t *testing.T, one, two, overlay string) {
		if len(one)+len(two) > 4000 || len(overlay) > 400 {
			return
		}
		root := t.TempDir()
		plant(t, root, "base/kustomization.yaml", []byte("resources: [one.yaml, two.yaml]\n"))
		plant(t, root, "base/one.yaml", []byte(one))
		plant(t, root, "base/two.yaml", []byte(two))
		plant(t, root, "kustomization.yaml", []byte("resources: [base, a.yaml]\n"+overlay+"\n"))
		plant(t, root, "a.yaml", archive.Files[0].Data)
		compareJoined(t, root, "/", &Spec{})
	})
}
