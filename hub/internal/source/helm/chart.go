package helm

import (
	"cmp"
	"context"
	"fmt"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// Charts fetches HelmCharts.
type Charts struct {
	// Registries fetches charts from registries: it fetches OCIRepositories.
	Registries source.Fetcher
	Limits     Limits // zero: the DefaultLimits
}

var _ source.Fetcher = Charts{}

// Fetch implements source.Fetcher. Its errors name the chart.
func (f Charts) Fetch(ctx context.Context, r source.Request) (artifact.Artifact, error) {
	c, err := api.Decode[api.HelmChart](r.Object)
	if err != nil {
		return artifact.Artifact{}, fmt.Errorf("%w: %w", source.ErrRequest, err)
	}
	g := fetching{Request: r, spec: c.Spec, registries: f.Registries, limits: cmp.Or(f.Limits, DefaultLimits)}
	a, err := g.run(ctx)
	if err != nil {
		return artifact.Artifact{}, fmt.Errorf("chart %s: %w", source.Quote(c.Spec.Chart), source.Classify(err, noProtocol))
	}
	return a, nil
}

// fetching is one fetch of a chart.
type fetching struct {
	source.Request
	spec       api.HelmChartSpec
	registries source.Fetcher
	limits     Limits
}

// run fetches the chart from where its source is.
func (f *fetching) run(ctx context.Context) (artifact.Artifact, error) {
	if len(f.Inputs) != 1+len(f.Servers) {
		return artifact.Artifact{}, fmt.Errorf("%w: the request has %d artifacts for one source and %d repositories",
			source.ErrRequest, len(f.Inputs), len(f.Servers))
	}
	if f.Upstream == nil {
		return f.pack(ctx)
	}
	repo, err := api.Decode[sourcev1.HelmRepository](f.Upstream)
	if err != nil {
		return artifact.Artifact{}, fmt.Errorf("%w: %w", source.ErrRequest, err)
	}
	switch isOCI := repo.Spec.Type == sourcev1.HelmRepositoryTypeOCI; {
	case isOCI:
		return f.pullFrom(ctx, &repo.Spec)
	case f.spec.Verify != nil:
		return artifact.Artifact{}, fmt.Errorf("%w: spec.verify needs a HelmRepository with type: oci, because only charts "+
			"in registries have signatures of cosign: remove it", source.ErrRequest)
	}
	return f.downloadFrom(ctx, &repo.Spec)
}

// invalid returns the error of a chart or a version that does not exist.
func invalid(format string, args ...any) error {
	return &api.Failure{Reason: api.InvalidChartReference, Text: fmt.Sprintf(format, args...)}
}
