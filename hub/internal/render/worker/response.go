package worker

import (
	"encoding/json"
	"fmt"

	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// response is the result of a render on the wire.
type response struct {
	Objects      []json.RawMessage    `json:"objects,omitempty"`
	Sealed       []render.SealedFile  `json:"sealed,omitempty"`
	Substitution *bundle.Substitution `json:"substitution,omitempty"`
	Reads        render.Reads         `json:"reads"`
}

// encode returns the bytes of a result.
func encode(result *render.Result) ([]byte, error) {
	r := &response{
		Objects: make([]json.RawMessage, len(result.Objects)), Sealed: result.Sealed, Substitution: result.Substitution,
		Reads: result.Reads,
	}
	for i, o := range result.Objects {
		data, err := manifest.Canonical(o)
		if err != nil {
			return nil, err
		}
		r.Objects[i] = data
	}
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode response: %w", err)
	}
	return data, nil
}

// decode returns the result that encode encoded.
func decode(answer []byte) (*render.Result, error) {
	var r response
	if err := json.Unmarshal(answer, &r); err != nil {
		return nil, fmt.Errorf("render worker: decode response: %w", err)
	}
	result := &render.Result{
		Objects: make([]*manifest.Object, len(r.Objects)), Sealed: r.Sealed, Substitution: r.Substitution, Reads: r.Reads,
	}
	for i, data := range r.Objects {
		var fields map[string]any
		if err := utiljson.Unmarshal(data, &fields); err != nil {
			return nil, fmt.Errorf("render worker: object %d: %w", i, err)
		}
		result.Objects[i] = &manifest.Object{Object: fields}
	}
	return result, nil
}
