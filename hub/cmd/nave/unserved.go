package main

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/wording"
)

// pathOfVersion returns the name of a group and version in the index of an API server.
func pathOfVersion(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "api/" + gv.Version
	}
	return "apis/" + gv.Group + "/" + gv.Version
}

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

// versions returns the versions of a group for which there are schemas.
func (s *schemas) versions(group string) []string {
	all := versionsOf(group, s.served)
	for gvk := range s.given {
		if gvk.Group == group {
			all = append(all, gvk.Version)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// has reports whether there are schemas of a group and version.
func (s *schemas) has(gv schema.GroupVersion) bool {
	return slices.Contains(s.versions(gv.Group), gv.Version)
}

// explainUnserved returns the error about an object of a kind that the server does not serve.
func (s *schemas) explainUnserved(gvk schema.GroupVersionKind) string {
	gv := gvk.GroupVersion()
	versions := s.versions(gv.Group)
	switch {
	case slices.Contains(versions, gv.Version):
		return fmt.Sprintf("there is no kind %s in %s", gvk.Kind, gv)
	case len(versions) == 0:
		return fmt.Sprintf("apiVersion %s is not served: there is no API group %q", gv, gv.Group)
	}
	return fmt.Sprintf("apiVersion %s is not served; of its group the server has %s", gv,
		wording.List(versions, len(versions), 10))
}

// explainUndefined returns the error about an object of a custom kind that a cluster does not serve.
func (s *schemas) explainUndefined(gvk schema.GroupVersionKind) string {
	text := fmt.Sprintf("the cluster does not serve %s in %s", gvk.Kind, gvk.GroupVersion())
	if versions := s.versions(gvk.Group); len(versions) > 0 {
		text += " (of its group it has " + wording.List(versions, len(versions), 10) + ")"
	}
	return text + ", and no CustomResourceDefinition among the objects defines it"
}

// describeMissing returns the name of a kind without a schema, with the versions of its group that the server has.
func (s *schemas) describeMissing(gvk schema.GroupVersionKind) string {
	name := gvk.GroupKind().String() + " " + gvk.Version
	if versions := s.versions(gvk.Group); len(versions) > 0 {
		name += " (the server has " + strings.Join(versions, " and ") + ")"
	}
	return name
}
