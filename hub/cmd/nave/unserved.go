package main

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/wording"
)

// isOfKubernetes reports whether only Kubernetes itself can have the kinds of a group. No custom resource definition
// can: API servers want a dot in its group, and the groups of Kubernetes with a dot are known. A group with a variable
// is not known yet.
func isOfKubernetes(group string) bool {
	return !strings.Contains(group, ".") && !strings.Contains(group, "$") || len(versionsOf(group, builtInVersions())) > 0
}

// versionsOf returns the versions of a group in the index of an API server.
func versionsOf(group string, index []string) (versions []string) {
	prefix := pathOfVersion(schema.GroupVersion{Group: group})
	for _, path := range index {
		if version, ok := strings.CutPrefix(path, prefix); ok && version != "" && !strings.Contains(version, "/") {
			versions = append(versions, version)
		}
	}
	slices.Sort(versions)
	return slices.Compact(versions)
}

// explainUnserved returns the error about an object of a group and version that the server does not serve.
func (v *validator) explainUnserved(gv schema.GroupVersion) string {
	versions := versionsOf(gv.Group, v.served)
	if len(versions) == 0 {
		return fmt.Sprintf("apiVersion %s is not served: there is no API group %q", gv, gv.Group)
	}
	return fmt.Sprintf("apiVersion %s is not served; of its group the server has %s", gv,
		wording.List(versions, len(versions), 10))
}

// describeMissing returns the name of a kind without a schema, with the versions of its group that the server has.
func (v *validator) describeMissing(gvk schema.GroupVersionKind) string {
	name := gvk.GroupKind().String() + " " + gvk.Version
	if versions := versionsOf(gvk.Group, v.served); len(versions) > 0 {
		name += " (the server has " + strings.Join(versions, " and ") + ")"
	}
	return name
}
