package kustomize

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/internal/render"
)

// TestFileSize builds a tree with a file that is larger than MaxFileSize. The file is not read.
func TestFileSize(t *testing.T) {
	for name, text := range map[string]string{
		"generator": "configMapGenerator: [{name: a, files: [large.yaml]}]\n", "resource": "resources: [large.yaml]\n",
		"patch": "patches: [{path: large.yaml}]\n",
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			plant(t, root, "kustomization.yaml", []byte(text))
			plant(t, root, "large.yaml", nil)
			if err := os.Truncate(filepath.Join(root, "large.yaml"), 100<<20); err != nil {
				t.Fatal(err)
			}
			_, err := buildTree(t.Context(), root, Spec{Name: "a", Namespace: "b"})
			if !errors.Is(err, render.ErrLimit) || !strings.Contains(err.Error(), "large") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestDocuments builds a file of ten thousand documents.
func TestDocuments(t *testing.T) {
	const documents = 10_000
	var text strings.Builder
	for i := range documents {
		fmt.Fprintf(&text, "---\n# %d\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a%d}\n", i, i)
	}
	root := t.TempDir()
	plant(t, root, "a.yaml", []byte(text.String()))
	result, err := buildTree(t.Context(), root, Spec{Name: "a", Namespace: "b"})
	if err != nil || len(result.Objects) != documents {
		t.Fatalf("%v, %v", result, err)
	}
}

// TestFaults names a limited number of the faults of all manifests.
func TestFaults(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"a.yaml", "b.yaml"} {
		plant(t, root, name, []byte(strings.Repeat("---\nkind: X\n", 1000)))
	}
	_, err := buildTree(t.Context(), root, Spec{Name: "a", Namespace: "b"})
	if err == nil || strings.Count(err.Error(), "\n") != maxFaults || !strings.HasSuffix(err.Error(), "and 1900 more") {
		t.Errorf("error of %d lines: %.200v", strings.Count(fmt.Sprint(err), "\n")+1, err)
	}
}

// fields are the fields of kustomization files that name files, with a %q for the name.
var fields = map[string]string{
	"resources": "resources: [%q]", "bases": "bases: [%q]", "components": "components: [%q]", "crds": "crds: [%q]",
	"configurations": "configurations: [%q]", "generators": "generators: [%q]", "transformers": "transformers: [%q]",
	"validators": "validators: [%q]", "openapi": "openapi: {path: %q}", "patches": "patches: [{path: %q}]",
	"patchesJson6902":       "patchesJson6902: [{path: %q, target: {kind: A}}]",
	"patchesStrategicMerge": "patchesStrategicMerge: [%q]", "replacements": "replacements: [{path: %q}]",
	"configMapGenerator": "configMapGenerator: [{name: a, files: [%q]}]",
	"envs":               "secretGenerator: [{name: a, envs: [%q]}]", "env": "configMapGenerator: [{name: a, env: %q}]",
}

// TestRemote names a remote path in every field that names files, in every form that kustomize would fetch.
func TestRemote(t *testing.T) {
	for field, text := range fields {
		t.Run(field, func(t *testing.T) {
			for _, address := range []string{
				"https://169.254.169.254/latest", "http://[::ffff:169.254.169.254]/x", "https://rebind.example.com/a.yaml",
				"ssh://git@example.com/a", "git@example.com:a/b",
				"git::https://example.com/a", "github.com/a/b", "gh:a/b", "file:///etc/passwd", "HtTpS://example.com/a",
				"user@host/a/b",
			} {
				root := t.TempDir()
				plant(t, root, "a.yaml", []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"))
				plant(t, root, "kustomization.yaml", fmt.Appendf(nil, text+"\n", address))
				_, err := buildTree(t.Context(), root, Spec{Name: "a", Namespace: "b"})
				if !errors.Is(err, render.ErrRemote) {
					t.Errorf("%s: %v", address, err)
				}
			}
		})
	}
}

// TestEscape names a file outside of the artifact in every field, in the tree itself, in a base and in a component.
func TestEscape(t *testing.T) {
	for field, text := range fields {
		t.Run(field, func(t *testing.T) {
			outside := t.TempDir()
			const canary = "canary-of-the-hub"
			plant(t, outside, "secret.yaml", []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "+canary+"}\n"))
			root := filepath.Join(outside, "tree")
			for _, address := range []string{"../../secret.yaml", "../../../../../../../../etc/passwd", filepath.Join(outside,
				"secret.yaml"), "../../tree/../secret.yaml", "link/secret.yaml"} {
				for _, below := range []string{"resources: [bad]\n", "components: [bad]\n"} {
					_ = os.RemoveAll(root)
					kind := ""
					if strings.HasPrefix(below, "components") {
						kind = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
					}
					plant(t, root, "kustomization.yaml", []byte(below))
					plant(t, root, "bad/kustomization.yaml", fmt.Appendf(nil, kind+text+"\n", address))
					if err := os.Symlink("../..", filepath.Join(root, "bad/link")); err != nil {
						t.Fatal(err)
					}
					_, err := buildTree(t.Context(), root, Spec{Name: "a", Namespace: "b"})
					if err == nil || !strings.Contains(err.Error(), "bad/") || strings.Contains(err.Error(), canary) {
						t.Errorf("%s in %s: %v", address, below, err)
					}
				}
			}
		})
	}
}
