package api

import (
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// DependencyRepositoriesAnnotation names HelmRepositories of a HelmChart's namespace, with commas between them.
// Dependencies of the chart that come from one of them, by its URL or by its name as an alias, are fetched with its
// Secrets. Flux looks for the URL in all HelmRepositories of the namespace.
const DependencyRepositoriesAnnotation = GroupFleet + "/dependency-repositories"

// maxDependencyRepositories limits the names in the annotation.
const maxDependencyRepositories = 16

// dependencyRepositories returns the HelmRepositories that the annotation names.
func dependencyRepositories(c *HelmChart) (found []SourceInput) {
	for _, name := range names(c.Annotations[DependencyRepositoriesAnnotation]) {
		found = append(found, SourceInput{
			Field: "annotation " + DependencyRepositoriesAnnotation, Server: true,
			Key: Key{Kind: HelmRepositoryKind, Namespace: c.Namespace, Name: name},
		})
	}
	return found
}

// checkDependencyRepositories checks DependencyRepositoriesAnnotation of a HelmChart.
func checkDependencyRepositories(c *HelmChart) field.ErrorList {
	value, ok := c.Annotations[DependencyRepositoriesAnnotation]
	at := field.NewPath("metadata", "annotations").Key(DependencyRepositoriesAnnotation)
	switch {
	case !ok:
		return nil
	case c.Spec.SourceRef.Kind == HelmRepositoryKind:
		return field.ErrorList{field.Forbidden(at, "the charts of a HelmRepository bring their dependencies: remove it")}
	case len(names(value)) > maxDependencyRepositories:
		return field.ErrorList{field.TooMany(at, len(names(value)), maxDependencyRepositories)}
	}
	return checkNames(value, at, validation.IsDNS1123Subdomain)
}
