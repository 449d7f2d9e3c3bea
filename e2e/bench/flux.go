package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	fluxkustomize "github.com/fluxcd/pkg/kustomize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/yaml"
)

// fluxTree is a checkout that Flux's library builds.
type fluxTree struct {
	dir            string
	kustomizations []unstructured.Unstructured
}

// newFluxTree writes the files to a folder, which the caller removes.
func newFluxTree(dir string, files map[string]string) (*fluxTree, error) {
	for path, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	t := &fluxTree{dir: dir}
	for i := range repositoryApps {
		var k unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(kustomizationOf(i)), &k.Object); err != nil {
			return nil, err
		}
		t.kustomizations = append(t.kustomizations, k)
	}
	return t, nil
}

// build builds all Kustomizations one after the other, as Flux's library has to, and returns how long that took.
func (t *fluxTree) build(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	for _, k := range t.kustomizations {
		if err := t.buildOne(ctx, k); err != nil {
			return 0, fmt.Errorf("flux: build %s: %w", k.GetName(), err)
		}
	}
	return time.Since(start), nil
}

// buildOne does what kustomize-controller does with the library between unpacking an artifact and applying: it writes
// the kustomization file, builds, substitutes variables, and writes the objects as YAML.
func (t *fluxTree) buildOne(ctx context.Context, k unstructured.Unstructured) error {
	path, _, err := unstructured.NestedString(k.Object, "spec", "path")
	if err != nil {
		return err
	}
	dir := filepath.Join(t.dir, filepath.FromSlash(path))
	action, err := fluxkustomize.NewGenerator(t.dir, k).WriteFile(dir, fluxkustomize.WithSaveOriginalKustomization())
	if err != nil {
		return err
	}
	built, err := fluxkustomize.SecureBuild(t.dir, dir, false)
	if err != nil {
		return err
	}
	if err := fluxkustomize.CleanDirectory(dir, action); err != nil {
		return err
	}
	if err := substituteAll(ctx, k, built); err != nil {
		return err
	}
	_, err = built.AsYaml()
	return err
}

// substituteAll substitutes the variables of a Kustomization in its objects.
func substituteAll(ctx context.Context, k unstructured.Unstructured, built resmap.ResMap) error {
	if _, has, err := unstructured.NestedMap(k.Object, "spec", "postBuild"); err != nil || !has {
		return err
	}
	for _, r := range built.Resources() {
		out, err := fluxkustomize.SubstituteVariables(ctx, nil, k, r, fluxkustomize.SubstituteWithStrict(true))
		if err != nil {
			return fmt.Errorf("%s: %w", r.CurId(), err)
		}
		if out == nil {
			continue
		}
		if _, err := built.Replace(out); err != nil {
			return err
		}
	}
	return nil
}
