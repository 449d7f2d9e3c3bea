package api

import (
	"encoding/json"
	"fmt"

	kjson "sigs.k8s.io/json"

	"github.com/navefleet/nave/shared/manifest"
)

// convertKustomization turns v1beta1 and v1beta2 into v1: the three kinds of patches become one, in the order in which
// kustomize applies them, and validation goes, because objects are always validated by the API server.
func convertKustomization(o *manifest.Object) {
	spec, ok := o.Object["spec"].(map[string]any)
	if !ok {
		return
	}
	delete(spec, "validation")
	merges, mergesFit := strategicMerges(spec["patchesStrategicMerge"])
	patches, patchesFit := list(spec["patches"])
	operations, operationsFit := jsonPatches(spec["patchesJson6902"])
	if !mergesFit || !patchesFit || !operationsFit {
		return // what does not fit stays as it is, and is refused as an unknown field or a wrong type
	}
	delete(spec, "patchesStrategicMerge")
	delete(spec, "patchesJson6902")
	if all := append(append(merges, patches...), operations...); len(all) > 0 {
		spec["patches"] = all
	}
}

// list returns a list, which may be missing.
func list(v any) (items []any, ok bool) {
	if v == nil {
		return nil, true
	}
	items, ok = v.([]any)
	return items, ok
}

// strategicMerges turns the items of patchesStrategicMerge, which are objects, into patches.
func strategicMerges(v any) (patches []any, ok bool) {
	items, ok := list(v)
	for _, item := range items {
		text, isText := asText(item)
		ok = ok && isText
		patches = append(patches, map[string]any{"patch": text})
	}
	return patches, ok
}

// jsonPatches turns the items of patchesJson6902, which have a target and a list of operations, into patches.
func jsonPatches(v any) (patches []any, ok bool) {
	items, ok := list(v)
	for _, item := range items {
		entry, isMap := item.(map[string]any)
		text, isText := asText(entry["patch"])
		ok = ok && isMap && isText && entry["target"] != nil
		patch := map[string]any{}
		for k, value := range entry {
			patch[k] = value
		}
		patch["patch"] = text
		patches = append(patches, patch)
	}
	return patches, ok
}

// asText returns a map or list as JSON, which is YAML, too.
func asText(v any) (string, bool) {
	switch v.(type) {
	case map[string]any, []any:
		data, err := json.Marshal(v)
		return string(data), err == nil
	}
	return "", false
}

// as turns an admitted object of the kind into its Go type.
func as[T any](o *manifest.Object, kind string) (*T, error) {
	if o.GetKind() != kind {
		return nil, fmt.Errorf("%s is not a %s", KeyOf("", o), kind)
	}
	data, err := json.Marshal(o.Object)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", KeyOf("", o), err)
	}
	into := new(T)
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, into); err != nil {
		return nil, fmt.Errorf("%s: %w", KeyOf("", o), err)
	}
	return into, nil
}
