package kustomize

import (
	"fmt"
	"maps"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
	"github.com/navefleet/nave/shared/substitution"
)

// newVariables returns the variables of a build. Those of postBuild.substitute override those of
// postBuild.substituteFrom, where a later object overrides an earlier one. objects are the objects of the build before
// the substitution.
func newVariables(spec *Spec, objects []*manifest.Object) (*variables, error) {
	sources, err := ownSources(spec, objects)
	if err != nil {
		return nil, err
	}
	return variablesOf(spec, sources)
}

// variablesOf returns the variables with the data of their sources.
func variablesOf(spec *Spec, sources []api.InputData) (*variables, error) {
	v := &variables{values: map[string]string{}, hidden: map[string]string{}, strict: spec.Strict, sources: sources,
		parts: map[string]*manifest.Object{}}
	for i, source := range sources {
		at := fmt.Sprintf("postBuild.substituteFrom[%d]: %s", i, source.Input)
		if source.Live {
			v.shadow(source.Input.String())
			continue
		}
		if err := v.add(at, source.Data); err != nil {
			return nil, err
		}
		for name, value := range source.Data {
			v.given = true
			if len(sealed.Find(value)) > 0 {
				delete(v.values, name)
				v.hidden[name] = source.Input.String()
			}
		}
	}
	for name, value := range spec.Substitute {
		if len(sealed.Find(value)) > 0 {
			return nil, fmt.Errorf("postBuild.substitute: %q: %w: it comes from an encrypted value: put it into a Secret and "+
				"name the Secret in postBuild.substituteFrom", name, render.ErrSubstitution)
		}
	}
	if err := v.add("postBuild.substitute", spec.Substitute); err != nil {
		return nil, err
	}
	v.inline, v.plain = spec.Substitute, arePlain(v.values)
	v.on = v.given || len(spec.Substitute) > 0 || v.live != "" || spec.SubstituteAlways
	return v, nil
}

// shadow notes a source that only the cluster has: it may give every variable.
func (v *variables) shadow(source string) {
	clear(v.values)
	clear(v.hidden)
	v.live = source
}

// add adds variables, which override those of the same name. The error names the variable, never its value.
func (v *variables) add(at string, values map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !substitution.IsName(name) {
			return fmt.Errorf("%s: %q: %w: a variable's name is letters, digits and _, and begins with no digit", at, name,
				render.ErrSubstitution)
		}
		v.values[name] = substitution.OneLine(values[name])
		delete(v.hidden, name)
	}
	return nil
}

// ownTurns limits how often variables are substituted in the object that gives them.
const ownTurns = 4

// ownSources returns the sources of the variables. A source that no other Kustomization gives may be among the objects
// of this one: with Flux, each reconciliation reads the source as the one before applied it. ownSources returns the
// data at which these reconciliations arrive, after at most ownTurns of them.
func ownSources(spec *Spec, objects []*manifest.Object) ([]api.InputData, error) {
	sources, own := slices.Clone(spec.Variables), map[int]*manifest.Object{}
	for i, source := range sources {
		o := find(objects, source.ID())
		if source.Live && o != nil && !manifest.MarksOf(o).DiffersInCluster() {
			own[i], sources[i].Live = o, false
		}
	}
	for turn := 0; len(own) > 0 && turn < ownTurns; turn++ {
		vars, err := variablesOf(spec, sources)
		if err != nil {
			return nil, err
		}
		vars.strict = false // the object itself is substituted with all of its variables later
		for i, o := range own {
			if sources[i].Data, err = vars.dataOf(o); err != nil {
				return nil, fmt.Errorf("postBuild.substituteFrom[%d]: %w", i, err)
			}
		}
	}
	return sources, nil
}

// dataOf returns the data of an object after the substitution.
func (v *variables) dataOf(o *manifest.Object) (map[string]string, error) {
	o = o.DeepCopy()
	if err := v.substitute(o); err != nil {
		return nil, err
	}
	return api.DataOf(o)
}

// find returns the object with an ID. If there is none, find returns nil.
func find(objects []*manifest.Object, id manifest.ID) *manifest.Object {
	for _, o := range objects {
		if manifest.IDOf(o) == id {
			return o
		}
	}
	return nil
}
