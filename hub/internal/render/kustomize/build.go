package kustomize

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"

	"sigs.k8s.io/kustomize/api/types"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// Build builds one Kustomization. Errors name the file and the line, or the object and the field, that are to blame.
// Equal requests for equal trees give equal results, wherever the tree is.
func Build(ctx context.Context, req Request) (*Result, error) {
	t, err := openTree(ctx, req.Root, req.Exclude)
	if err != nil {
		return nil, err
	}
	defer t.close()
	dir, err := t.locate(req.Spec.Path)
	if err != nil {
		return nil, err
	}
	salt := sealed.NewSalt(req.Salt)
	first, err := render(ctx, t, dir, &req.Spec, salt)
	if err != nil {
		return nil, err
	}
	result := &Result{Objects: first.objects}
	if len(first.sealed) > 0 {
		second, err := render(ctx, t, dir, &req.Spec, salt.Second())
		if err != nil {
			return nil, fmt.Errorf("build again with other tokens: %w", err)
		}
		if err := compare(first, second); err != nil {
			return nil, err
		}
		result.Sealed = used(first, t.files)
	}
	manifest.ApplyOrder(result.Objects)
	result.Reads = t.reads.reads()
	return result, nil
}

// locate returns the directory of a Kustomization's path, with symbolic links followed.
func (t *tree) locate(specPath string) (string, error) {
	p := clean(specPath)
	k, err := t.kind(p)
	if err != nil {
		return "", fmt.Errorf("path %s: %w", specPath, err)
	}
	switch k {
	case directory:
		return t.resolve(p)
	case absent:
		return "", fmt.Errorf("path %s %w%s", specPath, ErrNotFound, t.suggest(p))
	}
	return "", fmt.Errorf("path %s is a file; a directory is needed", specPath)
}

// rendering is one pass over the tree.
type rendering struct {
	objects []*manifest.Object // in kustomize's order
	sealed  map[string]sealedFile
}

// render runs the steps from generating the kustomization file to the finished objects.
func render(ctx context.Context, t *tree, dir string, spec *Spec, salt sealed.Salt) (*rendering, error) {
	fsys := newFileSystem(t, salt)
	objects, err := accumulate(ctx, fsys, dir, spec)
	if fsys.failed != nil {
		err = fsys.failed
	}
	if cause := ctx.Err(); cause != nil {
		return nil, fmt.Errorf("build: %w", cause)
	}
	if err != nil {
		return nil, err
	}
	if err := finish(objects, spec); err != nil {
		return nil, err
	}
	return &rendering{objects, maps.Clone(fsys.sealed)}, nil
}

// accumulate returns the objects of a directory as kustomize gives them.
func accumulate(ctx context.Context, fsys *fileSystem, dir string, spec *Spec) ([]*manifest.Object, error) {
	k, err := generate(fsys, dir, spec)
	if err != nil {
		return nil, err
	}
	if isPlain(k) {
		objects, err := plainBuild(fsys, dir, k)
		if !errors.Is(err, errNotPlain) {
			return objects, err
		}
	}
	resources, err := krustyBuild(ctx, fsys, dir)
	if err != nil {
		return nil, explain(fsys, err)
	}
	return toObjects(resources)
}

// isPlain reports whether a kustomization does nothing but list resources and set their namespace.
func isPlain(k *types.Kustomization) bool {
	plain := &types.Kustomization{TypeMeta: k.TypeMeta, MetaData: k.MetaData, Resources: k.Resources,
		Namespace: k.Namespace}
	return len(k.Resources) > 0 && k.Kind == types.KustomizationKind && reflect.DeepEqual(k, plain)
}
