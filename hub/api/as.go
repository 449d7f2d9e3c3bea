package api

import (
	"encoding/json"
	"fmt"

	kjson "sigs.k8s.io/json"

	"github.com/navefleet/nave/shared/manifest"
)

// as turns an admitted object of the kind into its Go type.
func as[T any](o *manifest.Object, kind string) (*T, error) {
	if o.GetKind() != kind {
		return nil, fmt.Errorf("%s is not a %s", KeyOf(o), kind)
	}
	data, err := json.Marshal(o.Object)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", KeyOf(o), err)
	}
	into := new(T)
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, into); err != nil {
		return nil, fmt.Errorf("%s: %w", KeyOf(o), err)
	}
	return into, nil
}
