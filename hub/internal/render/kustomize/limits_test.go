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
	root := t.TempDir()
	plant(t, root, "kustomization.yaml", []byte("configMapGenerator: [{name: a, files: [large]}]\n"))
	plant(t, root, "large", nil)
	if err := os.Truncate(filepath.Join(root, "large"), 100<<20); err != nil {
		t.Fatal(err)
	}
	_, err := buildTree(t.Context(), root, Spec{Name: "a", Namespace: "b"})
	if !errors.Is(err, render.ErrLimit) || !strings.Contains(err.Error(), "large") {
		t.Errorf("error %v", err)
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

// TestRemote names a remote path in every field that names files, in every form that kustomize would fetch.
func TestRemote(t *testing.T) {
	for field, text := range map[string]string{
		"resources": "resources: [%q]", "bases": "bases: [%q]", "components": "components: [%q]", "crds": "crds: " +
			"[%q]", "configurations": "configurations: [%q]",
		"generators": "generators: [%q]", "transformers": "transformers: [%q]", "validators": "validators: " +
			"[%q]", "openapi": "openapi: {path: %q}",
		"patches": "patches: [{path: %q}]", "patchesJson6902": "patchesJson6902: [{path: %q, target: {kind: A}}]",
		"patchesStrategicMerge": "patchesStrategicMerge: [%q]", "replacements": "replacements: [{path: %q}]",
		"configMapGenerator": "configMapGenerator: [{name: a, files: [%q]}]", "envs": "secretGenerator: [{name: a, envs: " +
			"[%q]}]", "env": "configMapGenerator: [{name: a, env: %q}]",
	} {
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
