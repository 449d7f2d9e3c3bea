package helm

import (
	"context"
	"errors"
	"fmt"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/manifest"
)

// postRender returns the post-renderers of a build: its patches and images, its common metadata, and Flux's labels.
func (r Renderer) postRender(b *api.ChartBuild) postRender {
	return func(ctx context.Context, all []document) ([]document, error) {
		streams := [][]document{all}
		if b.PostRenderStrategy != helmv2.PostRenderStrategyCombined && b.PostRenderStrategy != "" {
			streams = divide(all)
		}
		var out []document
		for i, stream := range streams {
			areHooks := i > 0
			if areHooks && b.PostRenderStrategy == helmv2.PostRenderStrategyNoHooks {
				out = append(out, stream...)
				continue
			}
			changed, err := r.change(ctx, stream, b)
			if err != nil {
				return nil, err
			}
			out = append(out, changed...)
		}
		return out, nil
	}
}

// divide returns the documents that are no hooks, and those that are.
func divide(all []document) [][]document {
	streams := make([][]document, 2)
	for _, d := range all {
		_, isHook := d.object.GetAnnotations()[hookAnnotation]
		i := 0
		if isHook {
			i = 1
		}
		streams[i] = append(streams[i], d)
	}
	return streams
}

// change applies the post-renderers to documents.
func (r Renderer) change(ctx context.Context, documents []document, b *api.ChartBuild) (_ []document, err error) {
	for i, p := range b.PostRenderers {
		if len(documents) == 0 {
			break
		}
		if documents, err = r.patch(ctx, documents, p); err != nil {
			return nil, fmt.Errorf("spec.postRenderers[%d]: %w", i, err)
		}
	}
	for _, d := range documents {
		addTexts(d.object, "labels", b.CommonLabels)
		addTexts(d.object, "annotations", b.CommonAnnotations)
		addTexts(d.object, "labels", originOf(b))
	}
	return documents, nil
}

// pathAnnotation holds the path of an object's template while kustomize has the object.
const pathAnnotation = "fleet.nave.io/template"

// patch applies one post-renderer.
func (r Renderer) patch(ctx context.Context, documents []document, p api.ChartPatches) ([]document, error) {
	if r.Patch == nil {
		return nil, errors.New("there is nothing that applies patches")
	}
	var objects []*manifest.Object
	for _, d := range documents {
		flat, err := flatten([]document{d})
		if err != nil {
			return nil, err
		}
		for _, o := range flat {
			addTexts(o, "annotations", map[string]string{pathAnnotation: d.path})
			objects = append(objects, o)
		}
	}
	objects, err := r.Patch(ctx, objects, p)
	if err != nil {
		return nil, err
	}
	var changed []document
	for _, o := range objects {
		annotations := o.GetAnnotations()
		at := annotations[pathAnnotation]
		delete(annotations, pathAnnotation)
		if len(annotations) == 0 {
			annotations = nil
		}
		o.SetAnnotations(annotations)
		changed = append(changed, document{at, o})
	}
	return changed, nil
}

// originOf returns Flux's labels of the objects of a release.
func originOf(b *api.ChartBuild) map[string]string {
	return map[string]string{nameLabel: b.Name, namespaceLabel: b.Namespace}
}

// addTexts sets labels or annotations of an object, or of the items of a list. It keeps the others as they are.
func addTexts(o *manifest.Object, field string, texts map[string]string) {
	if len(texts) == 0 {
		return
	}
	if items, isList := o.Object["items"].([]any); isList {
		for _, item := range items {
			if fields, ok := item.(map[string]any); ok {
				addTexts(&manifest.Object{Object: fields}, field, texts)
			}
		}
		return
	}
	metadata, ok := o.Object["metadata"].(map[string]any)
	if !ok {
		return // refused later: it has no name
	}
	values, ok := metadata[field].(map[string]any)
	if !ok && metadata[field] != nil {
		return // refused later
	}
	if values == nil {
		values = map[string]any{}
	}
	for key, text := range texts {
		values[key] = text
	}
	metadata[field] = values
}
