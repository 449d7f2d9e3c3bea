package worker

import (
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/generate"
	"github.com/navefleet/nave/hub/internal/render/helm"
	"github.com/navefleet/nave/hub/internal/render/kustomize"
)

// All returns the renderers of all kinds, which render in this process.
func All() render.Renderers {
	return render.Renderers{
		kustomize.Name: kustomize.Renderer{}, generate.Name: generate.Renderer{},
		helm.Name: helm.Renderer{Patch: kustomize.Patch},
	}
}
