package kustomize

import (
	"strings"
	"testing"

	fluxkustomize "github.com/fluxcd/pkg/apis/kustomize"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/manifest"
)

// badPatches are patches of ConfigMap a that fail, with what is said about each.
var badPatches = map[string]struct{ patch, want string }{
	"syntax": {"apiVersion: v1\nkind: [", "it is neither an object to merge nor a JSON patch: document 1, line 2: did not " +
		"find expected node content"},
	"no_object":    {"data: {a: b}", "it is neither an object to merge nor a JSON patch: document 1, line 1: apiVersion is missing"},
	"no_operation": {"- nothing", "it is no JSON patch: want a list of operations, each with op and path"},
	"no_json":      {"[{op: replace}]", "want a list of operations, each with op and path, as JSON, because it begins with ["},
	"no_path":      {"- {op: remove, path: /data/none}", "/data/none"},
	"no_target":    {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: none}\n", "no resource matches strategic merge patch"},
}

// TestRender_badPatch names the patch that fails a build by its field: of the Kustomization, or of the kustomization
// file. The patches before it are good.
func TestRender_badPatch(t *testing.T) {
	const object = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: b}\n"
	good := fluxkustomize.Patch{Patch: object}
	for name, c := range badPatches {
		bad := fluxkustomize.Patch{Patch: c.patch}
		if name != "no_target" && name != "no_object" {
			bad.Target = &fluxkustomize.Selector{Kind: "ConfigMap"}
		}
		for _, generated := range []bool{true, false} {
			root := t.TempDir()
			plant(t, root, "a.yaml", []byte(object))
			if !generated {
				plant(t, root, "kustomization.yaml", []byte("resources: [a.yaml]\npatches: [{patch: '"+
					strings.ReplaceAll(strings.TrimSpace(object), "\n", "\n\n")+"'}]\n"))
			}
			spec, err := Encode(Spec{Patches: []fluxkustomize.Patch{good, good, bad, good}})
			if err != nil {
				t.Fatal(err)
			}
			_, err = Renderer{}.Render(t.Context(), render.Request{Spec: spec, Root: root, Salt: []byte("salt")})
			if err == nil || !strings.HasPrefix(err.Error(), "spec.patches[2]: ") || !strings.Contains(err.Error(), c.want) ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: got %v, want spec.patches[2] and %q", name, err, c.want)
			}
		}
	}
	root := t.TempDir()
	plant(t, root, "a.yaml", []byte(object))
	plant(t, root, "kustomization.yaml", []byte("resources: [a.yaml]\npatches: [{patch: 'data: {}'}]\n"))
	spec, err := Encode(Spec{Patches: []fluxkustomize.Patch{good}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Renderer{}.Render(t.Context(), render.Request{Spec: spec, Root: root, Salt: []byte("salt")})
	if want := "kustomization.yaml: patches[0]: it is neither"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestPatch_bad names the patch of a post-renderer that fails.
func TestPatch_bad(t *testing.T) {
	objects, err := manifest.Parse([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: b}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range badPatches {
		_, err := Patch(t.Context(), objects, api.ChartPatches{Patches: []fluxkustomize.Patch{
			{Patch: "[]", Target: &fluxkustomize.Selector{Kind: "ConfigMap"}},
			{Patch: c.patch, Target: &fluxkustomize.Selector{Kind: "ConfigMap"}}}})
		if name == "no_target" { // the target of the patch counts
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), "kustomize.patches[1]: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
