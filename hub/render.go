package hub

import (
	"io"
	"maps"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/cache"
	"github.com/navefleet/nave/hub/internal/render/kustomize"
	"github.com/navefleet/nave/hub/internal/render/worker"
)

// ServeRenderWorker is the main function of the process that Config.RenderWorker starts. It confines the process and
// serves the render requests on standard input until standard input ends.
func ServeRenderWorker(stdin io.Reader, stdout io.Writer) error {
	return worker.ServeWorker(stdin, stdout, worker.All(), kustomize.Warm)
}

// renderer returns the hub's own renderers, in worker processes or in this process, and those of the configuration.
func (h *Hub) renderer() (render.Renderer, error) {
	all := worker.All()
	if len(h.config.RenderWorker) > 0 {
		pool, err := worker.New(worker.Config{
			Command: h.config.RenderWorker, Workers: cache.Concurrent() + cache.SlowRenders, Log: h.config.Log,
		})
		if err != nil {
			return nil, err
		}
		h.workers = append(h.workers, pool)
		for name := range all {
			all[name] = pool
		}
	}
	maps.Copy(all, h.config.Renderers)
	return all, nil
}
