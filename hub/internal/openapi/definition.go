package openapi

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Defined returns the schemas of the kinds that a CustomResourceDefinition gives to an API server: nil for a version
// that it does not serve. A version whose schema cannot be read allows everything, because the API server judges the
// definition itself.
func Defined(definition map[string]any) map[schema.GroupVersionKind]*Schema {
	var crd struct {
		Spec struct {
			Group string
			Names struct{ Kind string }
			// Schema is not of the type that it should have while variables stand in it.
			Versions []struct {
				Name   string
				Served any
				Schema json.RawMessage
			}
		}
	}
	data, err := json.Marshal(definition)
	if err != nil || json.Unmarshal(data, &crd) != nil {
		return nil
	}
	schemas := map[schema.GroupVersionKind]*Schema{}
	for _, v := range crd.Spec.Versions {
		kind := schema.GroupVersionKind{Group: crd.Spec.Group, Version: v.Name, Kind: crd.Spec.Names.Kind}
		schemas[kind] = nil
		if v.Served == false {
			continue
		}
		var of struct{ OpenAPIV3Schema json.RawMessage }
		root, in := &node{}, &rules{}
		if json.Unmarshal(v.Schema, &of) == nil {
			if n, err := decode(of.OpenAPIV3Schema); err == nil {
				root, in.definition = n, of.OpenAPIV3Schema
			}
		}
		root.Embedded = true
		schemas[kind] = &Schema{root: root, rules: in}
	}
	return schemas
}
