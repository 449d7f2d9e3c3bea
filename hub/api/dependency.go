package api

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// DependsOnAnnotation names further objects that one depends on, of any kind that is applied to clusters: Kind/name or
// Kind/namespace/name, with commas between them. Flux's spec.dependsOn names objects of the object's own kind alone.
const DependsOnAnnotation = GroupFleet + "/depends-on"

// annotatedDependencies returns the objects that the annotation names, without a cluster.
func annotatedDependencies(annotations map[string]string, own Key) (keys []Key, err error) {
	for _, name := range names(annotations[DependsOnAnnotation]) {
		parts := strings.Split(name, "/")
		key := Key{Kind: parts[0], Namespace: own.Namespace, Name: parts[len(parts)-1]}
		if len(parts) == 3 {
			key.Namespace = parts[1]
		}
		switch {
		case len(parts) < 2 || len(parts) > 3:
			return nil, fmt.Errorf("%q: want Kind/name or Kind/namespace/name", name)
		case key.Role() != RenderableRole:
			return nil, fmt.Errorf("%q: want a Kustomization or HelmRelease", name)
		case !key.IsNamed():
			return nil, fmt.Errorf("%q: no name of an object", name)
		case key == own.In(""):
			return nil, fmt.Errorf("%q: it would wait for itself: remove it", name)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// checkDependsOnAnnotation checks DependsOnAnnotation of an object.
func checkDependsOnAnnotation(annotations map[string]string, own Key) field.ErrorList {
	if _, err := annotatedDependencies(annotations, own); err != nil {
		at := field.NewPath("metadata", "annotations").Key(DependsOnAnnotation)
		return field.ErrorList{field.Invalid(at, field.OmitValueType{}, err.Error())}
	}
	return nil
}

// depend adds the dependencies that the annotation of an object names.
func (r *Renderable) depend(own Key, annotations map[string]string) {
	keys, err := annotatedDependencies(annotations, own)
	if err != nil {
		return // of an older version, which did not check it
	}
	for _, key := range keys {
		if !slices.Contains(r.DependsOn, key) {
			r.DependsOn = append(r.DependsOn, key)
		}
		if key.Namespace != own.Namespace {
			r.Namespaces = append(r.Namespaces, NamespaceReference{"annotation " + DependsOnAnnotation, key.Namespace})
		}
	}
}
