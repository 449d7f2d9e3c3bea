package helm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/manifest"
)

// Name is the name of the Renderer in requests.
const Name = "helm"

// Renderer renders the charts of HelmReleases. It implements render.Renderer; the Spec of a request is an
// api.ChartBuild.
type Renderer struct {
	Engine Engine // nil: V3
	// Patch applies patches and images to objects, which keep their order. It is the one of the kustomize renderer.
	Patch func(ctx context.Context, objects []*manifest.Object, p api.ChartPatches) ([]*manifest.Object, error)
}

var _ render.Renderer = Renderer{}

// Render implements render.Renderer.
func (r Renderer) Render(ctx context.Context, req render.Request) (*render.Result, error) {
	var b api.ChartBuild
	if err := json.Unmarshal(req.Spec, &b); err != nil {
		return nil, fmt.Errorf("decode the build of a chart: %w", err)
	}
	t, err := tree.Open(ctx, req.Root, req.Exclude)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	useFacts(&b, req.Facts)
	differs := b.SkipSchema != b.SkipSchemaOnUpgrade
	b.SkipSchema = skipsSchema(&b, req.Facts)
	in, err := inputOf(t, &b)
	if err != nil {
		return nil, err
	}
	engine, post := cmp.Or[Engine](r.Engine, V3{}), r.postRender(&b)
	s := settling{engine: engine, build: &b, in: in, post: post}
	result, err := s.render(ctx)
	if err != nil {
		return nil, err
	}
	if req.Facts != nil {
		place(result, b.ReleaseNamespace)
	}
	if err := finish(result, &b); err != nil {
		return nil, err
	}
	if result.Release.Values, err = json.Marshal(in.Values); err != nil {
		return nil, fmt.Errorf("encode the values: %w", err)
	}
	result.Release.Asked.Upgrade = result.Release.Asked.Upgrade || req.Facts != nil && differs
	result.Reads = t.Reads()
	return result, nil
}

// inputOf reads the chart of a build and merges its values.
func inputOf(t *tree.Tree, b *api.ChartBuild) (in Input, err error) {
	if in.Files, err = filesOf(t, b); err != nil {
		return in, err
	}
	if in.Files, err = replaceValues(t, b, in.Files); err != nil {
		return in, err
	}
	in.Values, err = ValuesOf(b)
	in.Release = Release{b.ReleaseName, b.ReleaseNamespace, b.Upgrade, b.Revision}
	in.Capabilities, in.Compat, in.SkipSchema = b.Capabilities, Helm4, b.SkipSchema
	return in, err
}

// ValuesOf returns the merged values of a build, which override those of the chart.
func ValuesOf(b *api.ChartBuild) (map[string]any, error) {
	inline := map[string]any{}
	if b.Values != nil {
		if err := json.Unmarshal(b.Values, &inline); err != nil {
			return nil, fmt.Errorf("spec.values: want a map: %w", err)
		}
	}
	return MergeValues(b.ValuesFrom, inline)
}

// valuesFile is the file of a chart with its values.
const valuesFile = "values.yaml"

// replaceValues returns the files of a chart with the values files of the build in place of values.yaml.
func replaceValues(t *tree.Tree, b *api.ChartBuild, files []File) ([]File, error) {
	if len(b.ValuesFiles) == 0 {
		return files, nil
	}
	read := func(name string) (map[string]any, error) { return readValues(t, name) }
	if b.ValuesInChart {
		read = func(name string) (map[string]any, error) { return valuesIn(files, name) }
	}
	merged := map[string]any{}
	for _, name := range b.ValuesFiles {
		values, err := read(name)
		switch {
		case errors.Is(err, render.ErrNotFound) && b.IgnoreMissingValuesFiles:
			continue
		case err != nil:
			return nil, fmt.Errorf("spec.chart.spec.valuesFiles: %w", err)
		}
		merged = merge(merged, values)
	}
	data, err := yaml.Marshal(merged)
	if err != nil {
		return nil, fmt.Errorf("spec.chart.spec.valuesFiles: %w", err)
	}
	replaced := []File{{valuesFile, data}}
	for _, f := range files {
		if f.Name != valuesFile {
			replaced = append(replaced, f)
		}
	}
	return replaced, nil
}

// valuesIn returns the values in a file of the chart. If there is no such file, the error is ErrNotFound.
func valuesIn(files []File, name string) (map[string]any, error) {
	i := slices.IndexFunc(files, func(f File) bool { return f.Name == path.Clean(name) })
	if i < 0 {
		return nil, fmt.Errorf("file %s of the chart %w", path.Clean(name), render.ErrNotFound)
	}
	values, err := ParseValues(files[i].Data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", files[i].Name, err)
	}
	return values, nil
}

// readValues returns the values in a file of the artifact. If there is no such file, the error is ErrNotFound.
func readValues(t *tree.Tree, name string) (map[string]any, error) {
	p := tree.Clean(name)
	kind, err := t.Type(p)
	if err != nil {
		return nil, err
	}
	if kind == render.Absent {
		return nil, fmt.Errorf("file %s %w%s", path.Clean(name), render.ErrNotFound, t.Suggest(p, render.Regular))
	}
	data, err := t.Read(p)
	if err != nil {
		return nil, err
	}
	values, err := ParseValues(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tree.Local(p), err)
	}
	return values, nil
}

// The labels of Flux on every object of a release.
const (
	nameLabel      = "helm.toolkit.fluxcd.io/name"
	namespaceLabel = "helm.toolkit.fluxcd.io/namespace"
)

// finish labels the CRDs, and refuses objects that a cluster cannot have.
func finish(result *render.Result, b *api.ChartBuild) error {
	for _, o := range result.Release.CRDs {
		addTexts(o, "labels", originOf(b))
	}
	seen := map[manifest.ID]bool{}
	for _, o := range result.Objects {
		id := manifest.IDOf(o)
		id.Namespace = cmp.Or(id.Namespace, b.ReleaseNamespace)
		if seen[id] {
			return fmt.Errorf("%s: %w", manifest.IDOf(o), render.ErrDuplicate)
		}
		seen[id] = true
	}
	for _, o := range objectsIn(result) {
		if o.GetName() == "" {
			return fmt.Errorf("%s %s: generateName makes another object each time: give it a name: %w", o.GetKind(),
				o.GetGenerateName(), render.ErrIncomplete)
		}
	}
	return checkSizes(result)
}

// checkSizes refuses objects that are too large for an API server.
func checkSizes(result *render.Result) error {
	for _, o := range slices.Concat(objectsIn(result), result.Release.CRDs) {
		if err := render.CheckSize(o); err != nil {
			return err
		}
	}
	return nil
}
