package kustomize

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/kustomize/api/types"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

func mustBuild(t testing.TB, root string, salt string) *render.Result {
	t.Helper()
	spec, err := Encode(Spec{Name: "apps", Namespace: "flux-system"})
	if err != nil {
		t.Fatal(err)
	}
	result, err := Renderer{}.Render(t.Context(), render.Request{Spec: spec, Root: root, Salt: []byte(salt)})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func objectsOf(t testing.TB, r *render.Result) string {
	t.Helper()
	data, err := json.Marshal(r.Objects)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func secretTree(t testing.TB, fixture string) string {
	root := t.TempDir()
	data, err := os.ReadFile(filepath.Join("testdata/sops", fixture))
	if err != nil {
		t.Fatal(err)
	}
	plant(t, root, "secret.yaml", data)
	return root
}

// TestRotatedValue checks that a rotated value changes the render and updatekeys does not.
func TestRotatedValue(t *testing.T) {
	first := objectsOf(t, mustBuild(t, secretTree(t, "secret.yaml"), "salt"))
	if got := objectsOf(t, mustBuild(t, secretTree(t, "secret-updatekeys.yaml"), "salt")); got != first {
		t.Errorf("updatekeys changed the render:\n%s\n%s", first, got)
	}
	if got := objectsOf(t, mustBuild(t, secretTree(t, "secret-rotated.yaml"), "salt")); got == first {
		t.Error("a rotated value did not change the render")
	}
	if got := objectsOf(t, mustBuild(t, secretTree(t, "secret.yaml"), "other salt")); got == first {
		t.Error("the salt does not matter")
	}
}

// TestSealedFilesListed checks that sealed files list exactly the placeholders of the objects.
func TestSealedFilesListed(t *testing.T) {
	result := mustBuild(t, secretTree(t, "secret.yaml"), "salt")
	if len(result.Sealed) != 1 {
		t.Fatalf("sealed files: %v", result.Sealed)
	}
	file := result.Sealed[0]
	if file.Path != "secret.yaml" || file.Digest != manifest.DigestOf(file.Data) || len(file.Values) != 4 {
		t.Errorf("file %s, %d values", file.Path, len(file.Values))
	}
	text := objectsOf(t, result)
	for _, v := range file.Values {
		if !strings.Contains(text, v.Placeholder) {
			t.Errorf("placeholder of %v is not in the objects", v.Path)
		}
	}
	if found := sealed.Find(text); len(found) != len(file.Values) {
		t.Errorf("%d placeholders in the objects, %d listed", len(found), len(file.Values))
	}
	if strings.Contains(text, "ENC[") || strings.Contains(text, "sops") {
		t.Errorf("ciphertext in the objects: %s", text)
	}
}

// TestPlainPath checks that plainBuild has the same results as kustomize.
func TestPlainPath(t *testing.T) {
	stories, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, file := range stories {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, namespace := range []string{"", "other"} {
			plain, full, err := bothWays(t, archive, namespace)
			if errors.Is(err, errNotPlain) {
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			compared++
			if !reflect.DeepEqual(plain, full) {
				t.Errorf("%s in %q: plain:\n%v\nkustomize:\n%v", file, namespace, plain, full)
			}
		}
	}
	if compared < 6 {
		t.Errorf("only %d trees were plain", compared)
	}
}

// bothWays builds a story's whole tree on the plain path and with kustomize.
func bothWays(t *testing.T, archive *txtar.Archive, namespace string) (plain, full []*manifest.Object, err error) {
	root := plantTree(t, archive)
	open := func() (*fileSystem, *types.Kustomization) {
		tr, err := tree.Open(t.Context(), root, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tr.Close() })
		fsys := newFileSystem(tr, sealed.NewSalt([]byte("salt")))
		k, file, err := generate(fsys, "/", &Spec{TargetNamespace: namespace})
		if err != nil || !isPlain(k) || putFile(fsys, k, file) != nil {
			return nil, nil
		}
		return fsys, k
	}
	fsys, k := open()
	if fsys == nil {
		return nil, nil, errNotPlain
	}
	plain, plainErr := plainBuild(fsys, "/", k, &Spec{TargetNamespace: namespace})
	if errors.Is(plainErr, errNotPlain) || errors.Is(plainErr, render.ErrDuplicate) {
		// kustomize allows other versions; finish does not
		return nil, nil, errNotPlain
	}
	fsys, _ = open()
	resources, fullErr := krustyBuild(t.Context(), fsys, "/")
	if fullErr == nil {
		full, fullErr = toObjects(resources)
	}
	if (plainErr == nil) != (fullErr == nil) && fsys.failed == nil {
		return nil, nil, fmt.Errorf("plain: %v, kustomize: %v", plainErr, fullErr)
	}
	if plainErr != nil {
		return nil, nil, errNotPlain
	}
	return plain, full, nil
}

// TestConcurrentBuilds checks that concurrent builds do not disturb each other.
func TestConcurrentBuilds(t *testing.T) {
	custom := t.TempDir()
	plant(t, custom, "kustomization.yaml", []byte("resources: [w.yaml]\nopenapi: {path: schema.json}\npatches: [{path: "+
		"p.yaml}]\n"))
	plant(t, custom, "w.yaml", []byte("apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {parts: "+
		"[{name: a, size: 1}]}\n"))
	plant(t, custom, "p.yaml", []byte("apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {parts: "+
		"[{name: b, size: 2}]}\n"))
	plant(t, custom, "schema.json", []byte(`{"definitions": {"com.example.v1.Widget": {
		"x-kubernetes-group-version-kind": [{"group": "example.com", "kind": "Widget", "version": "v1"}],
		"properties": {"spec": {"properties": {"parts": {"type": "array", "x-kubernetes-patch-merge-key": "name",
		"x-kubernetes-patch-strategy": "merge", "items": {"type": "object", "properties": {"name": {"type": "string"}}}}}}}}}}`))
	ordinary := t.TempDir()
	for _, name := range []string{"w.yaml", "p.yaml"} {
		data, err := os.ReadFile(filepath.Join(custom, name))
		if err != nil {
			t.Fatal(err)
		}
		plant(t, ordinary, name, data)
	}
	plant(t, ordinary, "kustomization.yaml", []byte("resources: [w.yaml]\npatches: [{path: p.yaml}]\n"))
	want := map[string]int{custom: 2, ordinary: 1} // with the schema the patch merges the list, else it replaces it
	var builds sync.WaitGroup
	for i := range 24 {
		root := []string{custom, ordinary}[i%2]
		builds.Go(func() {
			result, err := buildTree(t.Context(), root, Spec{Name: "a", Namespace: "b"})
			if err != nil {
				t.Error(err)
				return
			}
			spec := result.Objects[0].Object["spec"].(map[string]any)
			if got := len(spec["parts"].([]any)); got != want[root] {
				t.Errorf("%d parts, want %d", got, want[root])
			}
		})
	}
	builds.Wait()
}

// TestNoRemote checks that a build sends no request.
func TestNoRemote(t *testing.T) {
	asked := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer server.Close()
	for _, kustomization := range []string{
		"resources: [%s/a.yaml]", "resources: [git::%s/a]", "components: [%s/c]", "bases: [%s/b]",
		"patches: [{path: %s/p.yaml}]", "patchesStrategicMerge: [%s/p.yaml]", "patchesJson6902: [{path: %s/p.yaml, target: " +
			"{kind: A, version: v1, name: a}}]",
		"configurations: [%s/c.yaml]", "crds: [%s/c.yaml]", "openapi: {path: %s/o.json}", "replacements: [{path: %s/r.yaml}]",
		"generators: [%s/g.yaml]", "transformers: [%s/t.yaml]", "validators: [%s/v.yaml]",
		"configMapGenerator: [{name: a, files: [%s/f]}]", "configMapGenerator: [{name: a, envs: " +
			"[%s/f]}]", "secretGenerator: [{name: a, env: %s/f}]",
		"secretGenerator: [{name: a, files: [k=%s/f]}]",
	} {
		root := t.TempDir()
		plant(t, root, "kustomization.yaml", fmt.Appendf(nil, kustomization+"\nnamePrefix: a-\n", server.URL))
		_, err := buildTree(t.Context(), root, Spec{Name: "a", Namespace: "b"})
		if !errors.Is(err, render.ErrRemote) {
			t.Errorf("%s: %v", kustomization, err)
		}
	}
	if asked {
		t.Error("a build asked a server")
	}
}

// TestReadOnly checks that the artifact is never written.
func TestReadOnly(t *testing.T) {
	root := growTree(t)
	before := listing(t, root)
	for _, p := range []string{"apps", "plain", "."} {
		_, _ = buildTree(t.Context(), root, Spec{Name: "a", Namespace: "b", Path: p, NamePrefix: "x-"})
	}
	if after := listing(t, root); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func listing(t *testing.T, root string) string {
	var out strings.Builder
	err := filepath.Walk(root, func(p string, info os.FileInfo, err error) error {
		if err == nil {
			fmt.Fprintln(&out, p, info.Size(), info.ModTime(), info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestCancelledBuild checks that a build stops with its context.
func TestCancelledBuild(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := buildTree(ctx, growTree(t), Spec{Path: "apps"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestLargeFile checks that a file over the limit is refused.
func TestLargeFile(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "a.yaml")
	plant(t, root, "a.yaml", nil)
	if err := os.Truncate(file, tree.MaxFileSize+1); err != nil {
		t.Fatal(err)
	}
	if _, err := buildTree(t.Context(), root, Spec{}); !errors.Is(err, render.ErrLimit) {
		t.Errorf("error %v", err)
	}
}

// TestEqualTrees checks that equal trees give equal results wherever they are.
func TestEqualTrees(t *testing.T) {
	a, b := mustBuild(t, growTree(t)+"/plain", ""), mustBuild(t, growTree(t)+"/plain", "")
	if objectsOf(t, a) != objectsOf(t, b) {
		t.Error("the objects differ")
	}
	if !reflect.DeepEqual(a.Reads, b.Reads) {
		t.Error("the reads differ")
	}
}
