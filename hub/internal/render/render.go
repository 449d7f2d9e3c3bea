// Package render is how the hub turns a tree and a specification into objects. The packages below it do the work; this
// one is what their callers depend on.
package render

import (
	"context"

	"github.com/navefleet/nave/hub/internal/render/kustomize"
)

// Renderer renders. Implementations are safe for concurrent use.
type Renderer interface {
	// Kustomize builds what one Kustomization names in one artifact.
	Kustomize(ctx context.Context, req kustomize.Request) (*kustomize.Result, error)
}

// InProcess renders in the caller's own process, without limits on memory: for the offline commands and for tests.
type InProcess struct{}

// Kustomize implements Renderer.
func (InProcess) Kustomize(ctx context.Context, req kustomize.Request) (*kustomize.Result, error) {
	return kustomize.Build(ctx, req)
}
