package helm

import (
	"errors"
	"fmt"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// repository is where a dependency comes from.
type repository struct {
	spec   sourcev1.HelmRepositorySpec
	server source.Server     // of a known one
	index  artifact.Artifact // of a known one
	known  bool              // it is a HelmRepository that the annotation names
}

// repositoryOf returns where a dependency comes from: the HelmRepository of the annotation with the URL, or the name if
// the dependency has an alias. Without one it is the URL alone.
func (c *packing) repositoryOf(d dependency) (repository, error) {
	alias, isAlias := aliasOf(d.Repository)
	for i, server := range c.Servers {
		repo, err := api.Decode[sourcev1.HelmRepository](server.Object)
		if err != nil {
			return repository{}, fmt.Errorf("%w: %w", source.ErrRequest, err)
		}
		if isAlias && repo.Name == alias || !isAlias && sameRepository(repo.Spec.URL, d.Repository) {
			return repository{spec: repo.Spec, server: server, index: c.Inputs[i+1], known: true}, nil
		}
	}
	if isAlias {
		return repository{}, fmt.Errorf("%w: its repository is the alias %s: name the HelmRepository of this name in the "+
			"annotation %s of the HelmChart (of a HelmRelease: in spec.chart.metadata.annotations), or write the URL in place "+
			"of the alias", artifact.ErrTree, source.Quote(alias), api.DependencyRepositoriesAnnotation)
	}
	return repository{spec: sourcev1.HelmRepositorySpec{URL: d.Repository}}, nil
}

// aliasOf returns the alias that stands for a repository in a Chart.yaml.
func aliasOf(name string) (alias string, ok bool) {
	if alias, ok = strings.CutPrefix(name, "@"); ok {
		return alias, true
	}
	return strings.CutPrefix(name, "alias:")
}

// sameRepository compares two URLs as Flux does.
func sameRepository(a, b string) bool { return strings.TrimRight(a, "/") == strings.TrimRight(b, "/") }

// advise adds to the error of a server that wants credentials how to give them.
func (r repository) advise(err error) error {
	if r.known || !errors.Is(err, source.ErrAuthentication) && !errors.Is(err, source.ErrUntrusted) {
		return err
	}
	return fmt.Errorf("%w; if a HelmRepository of the same namespace has this URL, with the credentials, name it in the "+
		"annotation %s of the HelmChart (of a HelmRelease: in spec.chart.metadata.annotations)", err,
		api.DependencyRepositoriesAnnotation)
}
