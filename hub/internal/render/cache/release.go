package cache

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// Release is what a chart renders beside the objects of the release, which are the objects of the Rendering.
type Release struct {
	Chart  render.Chart             `json:"chart"`
	Values json.RawMessage          `json:"values,omitempty"`
	Notes  string                   `json:"notes,omitempty"`
	Hooks  []bundle.Hook            `json:"hooks,omitempty"`
	CRDs   []bundle.ObjectReference `json:"crds,omitempty"`
	// Generated are the fields that differ from render to render.
	Generated []bundle.GeneratedFields `json:"generated,omitempty"`
	// Recipes say how the cluster makes values that only it may have.
	Recipes []bundle.Recipe `json:"recipes,omitempty"`
	// Asked are the facts that the result depends on.
	Asked render.Asked `json:"asked"`
}

// Release returns what the chart renders beside the objects; nil: the render is not of a chart.
func (r *Rendering) Release() *Release { return r.variant.Release }

// objects returns the hooks and the definitions, in the order of their blobs.
func (r *Release) objects() (all []bundle.ObjectReference) {
	if r == nil {
		return nil
	}
	for _, h := range r.Hooks {
		all = append(all, h.ObjectReference)
	}
	return append(all, r.CRDs...)
}

// addRelease adds the release of a result, which may be nil.
func (r *Rendering) addRelease(release *render.Release, known *admissions) error {
	if release == nil {
		return nil
	}
	out := &Release{Chart: release.Chart, Values: release.Values, Notes: release.Notes, Asked: release.Asked}
	for _, h := range release.Hooks {
		reference, err := r.addObject(h.Object, known)
		if err != nil {
			return err
		}
		out.Hooks = append(out.Hooks, bundle.Hook{ObjectReference: reference, Path: h.Path, Events: h.Events,
			Weight: h.Weight, DeletePolicies: h.DeletePolicies, OutputLogPolicies: h.OutputLogPolicies})
	}
	for _, o := range release.CRDs {
		reference, err := r.addObject(o, known)
		if err != nil {
			return err
		}
		out.CRDs = append(out.CRDs, reference)
	}
	r.variant.Release = out
	for _, g := range release.Generated {
		fields, err := r.generated(g)
		if err != nil {
			return err
		}
		out.Generated = append(out.Generated, fields)
	}
	for _, recipe := range release.Recipes {
		out.Recipes = append(out.Recipes, recipe.Recipe)
	}
	return nil
}

// generated returns the generated fields of an object or a hook, with the digest of the object without them.
func (r *Rendering) generated(g render.Generated) (fields bundle.GeneratedFields, err error) {
	references, blobs := r.variant.Objects, r.blobs
	if g.Hook {
		references, blobs = r.variant.Release.objects(), r.blobs[len(r.variant.Objects)+len(r.variant.Sealed):]
	}
	i := slices.IndexFunc(references, func(o bundle.ObjectReference) bool { return o.ID() == g.ID })
	if i < 0 {
		return fields, fmt.Errorf("%s has generated fields and is not among the objects of the release", g.ID)
	}
	o := &manifest.Object{}
	if err := json.Unmarshal(blobs[i], &o.Object); err != nil {
		return fields, fmt.Errorf("parse %s: %w", g.ID, err)
	}
	return bundle.NewGeneratedFields(o, references[i].ObjectIdentity, g.Hook, g.Fields)
}

// addObject adds the blob of an object that is not one of the Rendering's objects.
func (r *Rendering) addObject(o *manifest.Object, known *admissions) (reference bundle.ObjectReference, err error) {
	data, err := manifest.Canonical(o)
	if err != nil {
		return reference, err
	}
	a, canonical, err := admit(data, known)
	if err != nil {
		return reference, err
	}
	r.blobs = append(r.blobs, canonical)
	return a.reference, nil
}
