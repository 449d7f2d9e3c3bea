package kustomize

import (
	"errors"
	"fmt"
	"math"
	"time"

	"sigs.k8s.io/kustomize/api/resource"

	"github.com/navefleet/nave/shared/manifest"
)

// toObjects turns kustomize's resources into JSON values, without the detour over text.
func toObjects(resources []*resource.Resource) ([]*manifest.Object, error) {
	objects := make([]*manifest.Object, 0, len(resources))
	for _, r := range resources {
		m, err := r.Map()
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", r.GetKind(), r.GetName(), err)
		}
		v, err := jsonValue(m)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", r.GetKind(), r.GetName(), err)
		}
		objects = append(objects, &manifest.Object{Object: v.(map[string]any)})
	}
	return objects, nil
}

var (
	errKey    = errors.New("a key of a map is not a string; put it in quotes")
	errNumber = errors.New("not a number that JSON has")
)

// jsonValue returns v with the types that JSON has, as the JSON of v would be read by Kubernetes: whole numbers are
// int64. It changes maps and lists in place.
func jsonValue(v any) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			j, err := jsonValue(e)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
			v[k] = j
		}
	case map[any]any:
		return nil, errKey
	case []any:
		for i, e := range v {
			j, err := jsonValue(e)
			if err != nil {
				return nil, fmt.Errorf("%d: %w", i, err)
			}
			v[i] = j
		}
	case int:
		return int64(v), nil
	case uint64:
		return wholeNumber(float64(v)), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, errNumber
		}
		return wholeNumber(v), nil
	case time.Time: // an unquoted date, in the format of kustomize
		return v.Format(time.RFC3339Nano), nil
	}
	return v, nil
}

// wholeNumber returns f as an int64 if JSON writes f as a whole number, else f itself.
func wholeNumber(f float64) any {
	const exact = 1 << 53
	if f == math.Trunc(f) && math.Abs(f) < exact {
		return int64(f)
	}
	return f
}
