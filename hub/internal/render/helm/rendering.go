package helm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wording"
)

// postRender changes the documents of all templates. The hooks are among them.
type postRender func(ctx context.Context, all []document) ([]document, error)

// renderChart renders a chart with an Engine. The result has Objects, in the order in which Helm installs them, and
// Release.
func renderChart(ctx context.Context, e Engine, in Input, post postRender) (*render.Result, error) {
	out, err := e.Render(in)
	if err != nil {
		return nil, shorten(err)
	}
	all, err := parseTexts(out.Texts, in.Compat)
	if err != nil {
		return nil, err
	}
	if all, err = post(ctx, all); err != nil {
		return nil, err
	}
	documents, hooks, err := separate(all)
	if err != nil {
		return nil, err
	}
	sortByKind(documents, in.Compat, func(d document) string { return d.object.GetKind() })
	sortByKind(hooks, in.Compat, func(h render.Hook) string { return h.Object.GetKind() })
	release := &render.Release{Chart: out.Chart, Hooks: hooks, Notes: out.Notes, Asked: out.Asked,
		Recipes: out.Recipes, Templates: map[*manifest.Object]string{}}
	if release.CRDs, err = parseCRDs(out.CRDs, in.Compat, release.Templates); err != nil {
		return nil, err
	}
	objects, err := flattenAll(documents, release.Templates)
	return &render.Result{Objects: objects, Release: release}, err
}

// flattenAll does what flatten does, and notes the path of each object.
func flattenAll(documents []document, paths map[*manifest.Object]string) (objects []*manifest.Object, err error) {
	for _, d := range documents {
		flat, err := flatten([]document{d})
		if err != nil {
			return nil, err
		}
		for _, o := range flat {
			paths[o] = d.path
		}
		objects = append(objects, flat...)
	}
	return objects, nil
}

// maxError limits the error of an Engine, in bytes. It names each template that calls the one that failed.
const maxError = 2000

// shorten returns an error whose text has at most about maxError bytes.
func shorten(err error) error {
	if text := err.Error(); len(text) > maxError {
		return errors.New(wording.Shorten(text, maxError))
	}
	return err
}

// parseCRDs returns the definitions in files of crds/. Other objects there are left out, as in Flux. Of definitions of
// one name, as of a chart and its subchart, Helm creates the first.
func parseCRDs(files []File, compat Compat, paths map[*manifest.Object]string) ([]*manifest.Object, error) {
	var documents []document
	for _, f := range files {
		for i, text := range split(string(f.Data), compat) {
			o, err := parseObject(text)
			if err != nil {
				return nil, fmt.Errorf("%s: document %d: %w", f.Name, i+1, err)
			}
			if o != nil && o.GetKind() == "CustomResourceDefinition" {
				documents = append(documents, document{f.Name, o})
			}
		}
	}
	crds, err := flattenAll(documents, paths)
	seen := map[string]bool{}
	return slices.DeleteFunc(crds, func(o *manifest.Object) bool {
		known := seen[o.GetName()]
		seen[o.GetName()] = true
		return known
	}), err
}
