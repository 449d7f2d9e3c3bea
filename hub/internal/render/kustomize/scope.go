package kustomize

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/manifest"
)

// dropNamespaces removes the namespace of objects of cluster-scoped custom kinds whose definition is among the objects,
// because kustomize sets a namespace for every kind that it does not know. For definitions elsewhere the spoke does the
// same.
func dropNamespaces(objects []*manifest.Object) {
	var scoped map[schema.GroupKind]bool
	for _, o := range objects {
		if o.GetKind() != "CustomResourceDefinition" {
			continue
		}
		text := func(path ...string) string {
			s, _, _ := unstructured.NestedString(o.Object, path...)
			return s
		}
		if scope := text("spec", "scope"); scope != "" && scope != "Namespaced" {
			if scoped == nil {
				scoped = map[schema.GroupKind]bool{}
			}
			scoped[schema.GroupKind{Group: text("spec", "group"), Kind: text("spec", "names", "kind")}] = true
		}
	}
	if scoped == nil {
		return
	}
	for _, o := range objects {
		if scoped[o.GroupVersionKind().GroupKind()] {
			o.SetNamespace("")
		}
	}
}
