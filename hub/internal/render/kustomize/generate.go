package kustomize

import (
	"cmp"
	"fmt"
	"path"
	"slices"

	fluxkustomize "github.com/fluxcd/pkg/apis/kustomize"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/internal/render/tree"
)

// generate returns the kustomization that Flux would write, and the path of its file: the existing one, or one made of
// every manifest below dir, with the additions of the Kustomization's spec.
func generate(fsys *fileSystem, dir string, spec *Spec) (*types.Kustomization, string, error) {
	k, file, err := findOrMake(fsys, dir)
	if err != nil {
		return nil, "", err
	}
	return k, file, extendWith(fsys, k, dir, spec)
}

// putFile puts a kustomization into fsys's overlay, as its file.
func putFile(fsys *fileSystem, k *types.Kustomization, file string) error {
	data, err := yaml.Marshal(k)
	if err != nil {
		return fmt.Errorf("write %s: %w", tree.Local(file), err)
	}
	fsys.overlay[file] = data
	return nil
}

// findOrMake returns the directory's kustomization and the path of its file.
func findOrMake(fsys *fileSystem, dir string) (*types.Kustomization, string, error) {
	k := &types.Kustomization{TypeMeta: types.TypeMeta{APIVersion: types.KustomizationVersion,
		Kind: types.KustomizationKind}}
	file, err := kustomizationFile(fsys, dir)
	if err != nil {
		return nil, "", err
	}
	if file != "" {
		data, err := fsys.content(file)
		if err != nil {
			return nil, "", err
		}
		if err := checkKeys(file, data); err != nil {
			return nil, "", err
		}
		if err := k.Unmarshal(data); err != nil {
			return nil, "", fmt.Errorf("%s: %w", tree.Local(file), err)
		}
		if len(k.Resources) == 0 {
			// As Flux does: kustomize calls a kustomization file without resources empty.
			k.BuildMetadata = []string{types.OriginAnnotations}
		}
		return k, file, nil
	}
	if k.Resources, err = manifests(fsys, dir); err != nil {
		return nil, "", err
	}
	if len(k.Resources) == 0 {
		k.Namespace = "_placeholder" // as Flux does, for the same reason
	}
	return k, path.Join(dir, konfig.DefaultKustomizationFileName()), nil
}

// manifests returns every manifest below dir, relative to it, in the order of a walk. A directory with a kustomization
// file of its own is taken as a whole.
func manifests(fsys *fileSystem, dir string) (found []string, err error) {
	var walk func(at, relative string) error
	walk = func(at, relative string) error {
		entries, err := fsys.tree.List(at)
		if err != nil {
			return err
		}
		for _, e := range entries {
			p, rel := path.Join(at, e.Name), relative+"/"+e.Name
			switch {
			case e.Dir && isBase(fsys, p):
				found, err = append(found, rel), checkGenerated(fsys, dir, p)
			case e.Dir:
				err = walk(p, rel)
			case isManifest(e.Name):
				found = append(found, rel)
				_, err = fsys.tree.Type(p) // refuse a name with control characters, which kustomize would change
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return found, walk(dir, ".")
}

// checkGenerated refuses a Component below a directory without a kustomization file, as Flux does.
func checkGenerated(fsys *fileSystem, dir, base string) error {
	file, component, err := isComponent(fsys, base)
	if err == nil && component {
		err = fmt.Errorf("%s is a Component, which is no resource: %s has no kustomization file, so everything below it "+
			"counts as one; give it one that lists the Component in components, or name the Component in spec.components",
			tree.Local(file), cmp.Or(tree.Local(dir), "the root"))
	}
	return err
}

func isManifest(name string) bool {
	ext := path.Ext(name)
	return ext == ".yaml" || ext == ".yml"
}

// extendWith adds the fields of the Kustomization's spec, in Flux's order and with its rules.
func extendWith(fsys *fileSystem, k *types.Kustomization, dir string, spec *Spec) error {
	k.Namespace = cmp.Or(spec.TargetNamespace, k.Namespace)
	k.NamePrefix, k.NameSuffix = cmp.Or(spec.NamePrefix, k.NamePrefix), cmp.Or(spec.NameSuffix, k.NameSuffix)
	for _, m := range spec.BuildMetadata {
		if !slices.Contains(k.BuildMetadata, string(m)) {
			k.BuildMetadata = append(k.BuildMetadata, string(m))
		}
	}
	for _, p := range spec.Patches {
		k.Patches = append(k.Patches, types.Patch{Patch: p.Patch, Target: selector(p.Target)})
	}
	for _, c := range spec.Components {
		if isRemote(c) || path.IsAbs(c) {
			return fmt.Errorf("spec.components: %s: must be a local and relative path", c)
		}
		if spec.IgnoreMissingComponents && !fsys.Exists(path.Join(dir, c)) {
			continue
		}
		k.Components = append(k.Components, c)
	}
	for _, image := range spec.Images {
		k.Images = mergeImage(k.Images, image)
	}
	return nil
}

func selector(s *fluxkustomize.Selector) *types.Selector {
	if s == nil {
		return nil
	}
	return &types.Selector{
		ResId: resid.ResId{
			Gvk:       resid.Gvk{Group: s.Group, Version: s.Version, Kind: s.Kind},
			Name:      s.Name,
			Namespace: s.Namespace,
		},
		LabelSelector:      s.LabelSelector,
		AnnotationSelector: s.AnnotationSelector,
	}
}

// mergeImage sets an image in a list. Fields that are set override those in the list; tag and digest count as one
// field.
func mergeImage(images []types.Image, with fluxkustomize.Image) []types.Image {
	i := slices.IndexFunc(images, func(image types.Image) bool { return image.Name == with.Name })
	if i < 0 {
		return append(images, types.Image{Name: with.Name, NewName: with.NewName, NewTag: with.NewTag, Digest: with.Digest})
	}
	images[i].NewName = cmp.Or(with.NewName, images[i].NewName)
	if with.NewTag != "" || with.Digest != "" {
		images[i].NewTag, images[i].Digest = with.NewTag, with.Digest
	}
	return images
}
