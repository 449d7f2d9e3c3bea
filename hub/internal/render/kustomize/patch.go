package kustomize

import (
	"context"
	"encoding/json"
	"fmt"

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
	write := func(name string, v any) error {
		data, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return memory.WriteFile("/"+name, data)
	}
	for i, o := range objects {
		name := fmt.Sprintf("%d.yaml", i)
		k.Resources = append(k.Resources, name)
		if err := write(name, o.Object); err != nil {
			return nil, err
		}
	}
	if err := write("kustomization.yaml", k); err != nil {
		return nil, err
	}
	resources, err := runKustomize(ctx, memory, "/", func() bool { return false })
	if err != nil {
		return nil, err
	}
	return toObjects(resources)
}
