package helm

import (
	"fmt"

	"github.com/navefleet/nave/shared/manifest"
)

// Rendering is what a chart renders to.
type Rendering struct {
	Chart Chart
	// Objects are the objects of the release, in the order in which Helm installs them.
	Objects []*manifest.Object
	// Hooks are in the same order. At an event they run by weight, and by name within a weight.
	Hooks []Hook
	// CRDs are the objects in crds/ of the chart and its subcharts. Helm installs them first, and never changes them.
	CRDs  []*manifest.Object
	Notes string
	Asked Asked
}

// RenderChart renders a chart with an Engine.
func RenderChart(e Engine, in Input) (*Rendering, error) {
	out, err := e.Render(in)
	if err != nil {
		return nil, err
	}
	all, err := parseTexts(out.Texts, in.Compat)
	if err != nil {
		return nil, err
	}
	documents, hooks, err := separate(all)
	if err != nil {
		return nil, err
	}
	sortByKind(documents, in.Compat, func(d document) string { return d.object.GetKind() })
	sortByKind(hooks, in.Compat, func(h Hook) string { return h.Object.GetKind() })
	r := &Rendering{Chart: out.Chart, Hooks: hooks, Notes: out.Notes, Asked: out.Asked}
	if r.Objects, err = flatten(documents); err != nil {
		return nil, err
	}
	r.CRDs, err = parseCRDs(out.CRDs, in.Compat)
	return r, err
}

// parseCRDs returns the objects of files in crds/.
func parseCRDs(files []File, compat Compat) ([]*manifest.Object, error) {
	var documents []document
	for _, f := range files {
		for i, text := range split(string(f.Data), compat) {
			o, err := parseObject(text)
			if err != nil {
				return nil, fmt.Errorf("%s: document %d: %w", f.Name, i+1, err)
			}
			if o != nil {
				documents = append(documents, document{f.Name, o})
			}
		}
	}
	return flatten(documents)
}
