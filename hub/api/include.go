package api

import (
	"fmt"
	"path"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// include adds the sources that a GitRepository includes. They are in its own namespace, as in Flux.
func (s *Source) include(g *sourcev1.GitRepository) {
	s.Composition.Ignore = g.Spec.Ignore
	for i, in := range g.Spec.Include {
		name := in.GitRepositoryRef.Name
		at := fmt.Sprintf("spec.include[%d]", i)
		s.Inputs = append(s.Inputs, SourceInput{
			Field: at, Key: Key{Kind: GitRepositoryKind, Namespace: g.Namespace, Name: name},
		})
		alias := fmt.Sprint(i)
		s.Composition.Aliases = append(s.Composition.Aliases, alias)
		s.Composition.Copies = append(s.Composition.Copies, Copy{
			Field: at, Source: alias, From: inTree(in.GetFromPath()), To: inTree(in.GetToPath()), Mount: true,
		})
	}
}

// inTree returns a path below the root of a tree, clean. Flux reads a leading / as the root of the tree.
func inTree(p string) string { return path.Clean(strings.TrimLeft(p, "/")) }

func checkInclude(g *sourcev1.GitRepository, at *field.Path) (errs field.ErrorList) {
	for i, in := range g.Spec.Include {
		at := at.Index(i)
		name := in.GitRepositoryRef.Name
		errs = append(errs, required(name, at.Child("repository", "name"), validation.IsDNS1123Subdomain)...)
		if name == g.Name {
			errs = append(errs, field.Invalid(at.Child("repository", "name"), name, "it would include itself: remove it"))
		}
		errs = append(errs, optional(in.FromPath, at.Child("fromPath"), badPath)...)
		errs = append(errs, optional(in.ToPath, at.Child("toPath"), badTarget)...)
	}
	return errs
}

// badTarget returns an error text for a path that is not below the root of a tree.
func badTarget(p string) []string {
	if inTree(p) == "." {
		return []string{"want a folder below the root of the repository"}
	}
	return badPath(p)
}
