package kustomize

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"sigs.k8s.io/kustomize/api/types"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// Render implements render.Renderer. Equal requests for equal trees give equal results, wherever the tree is.
func (Renderer) Render(ctx context.Context, req render.Request) (*render.Result, error) {
	var spec Spec
	if err := json.Unmarshal(req.Spec, &spec); err != nil {
		return nil, fmt.Errorf("decode the build: %w", err)
	}
	return build(ctx, req, &spec)
}

// build renders one Kustomization.
func build(ctx context.Context, req render.Request, spec *Spec) (*render.Result, error) {
	t, err := tree.Open(ctx, req.Root, req.Exclude)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	dir, err := t.Locate(spec.Path)
	if err != nil {
		return nil, err
	}
	bases := newRemotes(req.ReportNeeds)
	if err := bases.mount(t, req.Mounts); err != nil {
		return nil, err
	}
	result, err := buildAt(ctx, t, bases, dir, spec, sealed.NewSalt(req.Salt))
	return result, bases.explain(err)
}

// buildAt renders a Kustomization from a directory of the tree.
func buildAt(ctx context.Context, t *tree.Tree, bases *remotes, dir string, spec *Spec, salt sealed.Salt) (
	*render.Result, error) {
	first, err := pass(ctx, t, bases, dir, spec, salt)
	if errors.Is(err, errNeeds) {
		return &render.Result{Needs: bases.needs}, nil
	}
	if err != nil {
		return nil, err
	}
	result := &render.Result{Objects: first.objects, Canonical: first.canonical}
	if len(first.sealed) > 0 {
		second, err := pass(ctx, t, bases, dir, spec, salt.Second())
		if err != nil {
			return nil, fmt.Errorf("build again with other placeholders: %w", err)
		}
		if err := compare(first, second); err != nil {
			return nil, err
		}
		result.Sealed = used(first)
	}
	result.Substitution = first.variables.remainder(first.objects, result.Sealed)
	manifest.ApplyOrder(result.Objects)
	result.Places = first.placesIn(result.Objects)
	result.Reads = t.Reads()
	return result, nil
}

// rendering is one pass over the tree.
type rendering struct {
	objects   []*manifest.Object // in kustomize's order
	sealed    map[string]sealedFile
	variables *variables
	canonical map[*manifest.Object][]byte     // the canonical JSON of some objects
	places    map[*manifest.Object]*api.Place // of objects that a graph may refuse
}

// placesIn returns the places by the number of the object in a list.
func (r *rendering) placesIn(objects []*manifest.Object) map[int]*api.Place {
	if len(r.places) == 0 {
		return nil
	}
	byNumber := map[int]*api.Place{}
	for i, o := range objects {
		if place := r.places[o]; place != nil {
			byNumber[i] = place
		}
	}
	return byNumber
}

// pass runs the steps from generating the kustomization file to the finished objects.
func pass(ctx context.Context, t *tree.Tree, bases *remotes, dir string, spec *Spec, salt sealed.Salt) (*rendering,
	error) {
	fsys := newFileSystem(t, salt)
	fsys.remotes = bases
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
	objects = slices.DeleteFunc(objects, isConfiguration)
	dropNamespaces(objects)
	found := fsys.encrypted()
	vars, err := settleAndFinish(objects, spec, found, fsys.memory)
	if err != nil {
		return nil, fsys.locate(withLines(fsys, err))
	}
	return &rendering{objects, found.files, vars, fsys.memory.canonical, fsys.placesOf(objects)}, nil
}

// settleAndFinish completes the sealing of the objects, substitutes variables and finishes the objects, but for those
// in memory. It returns the variables.
func settleAndFinish(objects []*manifest.Object, spec *Spec, e *encrypted, m *memory) (*variables, error) {
	rest := m.unfinished(objects)
	if err := e.settle(rest); err != nil {
		return nil, err
	}
	vars, err := newVariables(spec, objects)
	if err != nil {
		return nil, err
	}
	vars.salt = e.salt
	if err := finish(rest, spec, vars, e); err != nil {
		return nil, err
	}
	if err := checkUnique(objects); err != nil {
		return nil, err
	}
	return vars, m.keep()
}

// accumulate returns the objects that kustomize builds from a directory.
func accumulate(ctx context.Context, fsys *fileSystem, dir string, spec *Spec) ([]*manifest.Object, error) {
	k, file, err := generate(fsys, dir, spec)
	if err != nil {
		return nil, err
	}
	if isPlain(k) {
		objects, err := plainBuild(fsys, dir, k, spec)
		if !errors.Is(err, errNotPlain) {
			return objects, err
		}
	}
	if err := putFile(fsys, k, file); err != nil {
		return nil, err
	}
	if len(k.BuildMetadata) == 0 && len(fsys.remotes.mounts) == 0 {
		fsys.joins = newJoins(fsys)
		objects, err := krustyObjects(ctx, fsys, dir)
		if err == nil && fsys.failed == nil || errors.Is(fsys.failed, errNeeds) || ctx.Err() != nil {
			return objects, err
		}
		*fsys = *fsys.again()
	}
	objects, err := krustyObjects(ctx, fsys, dir)
	if err == nil {
		return objects, nil
	}
	if cause := explainPatch(ctx, fsys, k, file, dir, len(spec.Patches), err); cause != nil {
		return nil, cause
	}
	return nil, explain(fsys, err)
}

// krustyObjects returns the objects that kustomize itself builds from a directory.
func krustyObjects(ctx context.Context, fsys *fileSystem, dir string) ([]*manifest.Object, error) {
	resources, err := krustyBuild(ctx, fsys, dir)
	if err != nil {
		return nil, err
	}
	return toObjects(resources)
}

// isConfiguration reports whether an object is a kustomization file under another name. Flux drops it.
func isConfiguration(o *manifest.Object) bool {
	return o.GetKind() == types.KustomizationKind && o.GroupVersionKind().Group == "kustomize.config.k8s.io"
}

// isPlain reports whether a kustomization only lists resources and sets their namespace.
func isPlain(k *types.Kustomization) bool {
	plain := &types.Kustomization{TypeMeta: k.TypeMeta, MetaData: k.MetaData, Resources: k.Resources,
		Namespace: k.Namespace}
	return len(k.Resources) > 0 && (k.Kind == types.KustomizationKind || k.Kind == "") && reflect.DeepEqual(k, plain)
}
