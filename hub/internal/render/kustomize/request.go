package kustomize

import (
	"encoding/json"
	"fmt"

	"github.com/navefleet/nave/hub/api"
)

// Name is the name of the Renderer in requests.
const Name = "kustomize"

// Renderer builds Kustomizations. It implements render.Renderer; the Spec of a request is that of a Kustomization's
// api.Renderable.
type Renderer struct{}

// Spec holds the fields of a Kustomization that its build depends on.
type Spec = api.Build

// SpecOf returns the Spec of a Kustomization without a graph: all of its inputs are live. If the object is not a
// Kustomization, SpecOf returns an error.
func SpecOf(o *api.Object) (s Spec, err error) {
	r, err := o.Renderable()
	if err != nil {
		return s, err
	}
	if r.Renderer != Name {
		return s, fmt.Errorf("%s is rendered by %s", o.Key, r.Renderer)
	}
	inputs := make([]api.InputData, len(r.Inputs))
	for i, input := range r.Inputs {
		inputs[i] = api.InputData{Input: input, Live: true}
	}
	data, err := r.Complete(api.SpecInputs{Data: inputs})
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(data, &s)
}

// Encode returns a spec in the form of render.Request.Spec.
func Encode(s Spec) (json.RawMessage, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode the build of %s/%s: %w", s.Namespace, s.Name, err)
	}
	return data, nil
}
