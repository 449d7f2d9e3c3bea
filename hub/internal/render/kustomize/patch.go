package kustomize

import (
	"context"
	"encoding/json"
	"fmt"

	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/manifest"
)

// Patch returns objects with patches and images applied, in their order. It is what a post-renderer of Flux does with
// what a chart renders.
func Patch(ctx context.Context, objects []*manifest.Object, p api.ChartPatches) ([]*manifest.Object, error) {
	if err := checkUnique(objects); err != nil {
		return nil, err
	}
	k := types.Kustomization{
		TypeMeta: types.TypeMeta{APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind},
	}
	for _, patch := range p.Patches {
		k.Patches = append(k.Patches, types.Patch{Patch: patch.Patch, Target: selector(patch.Target)})
	}
	for _, image := range p.Images {
		k.Images = mergeImage(k.Images, image)
	}
	memory := filesys.MakeFsInMemory()
	for i, o := range objects {
		name := fmt.Sprintf("%d.yaml", i)
		k.Resources = append(k.Resources, name)
		if err := writeJSON(memory, name, o.Object); err != nil {
			return nil, err
		}
	}
	build := func(patches []types.Patch) ([]*resource.Resource, error) {
		with := k
		with.Patches = patches
		if err := writeJSON(memory, "kustomization.yaml", with); err != nil {
			return nil, err
		}
		return runKustomize(ctx, memory, "/", func() bool { return false })
	}
	resources, err := build(k.Patches)
	if err == nil {
		return toObjects(resources)
	}
	index, cause := badPatch(k.Patches, err, func(patches []types.Patch) error {
		_, err := build(patches)
		return err
	})
	if cause != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("kustomize.patches[%d]: %w", index, cause)
	}
	return nil, err
}

// writeJSON writes a value into a file of the root.
func writeJSON(files filesys.FileSystem, name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return files.WriteFile("/"+name, data)
}
