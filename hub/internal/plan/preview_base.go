package plan

import (
	"context"
	"fmt"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/condition"
)

// RenderWithBases renders a request. As long as the render needs more remote bases, RenderWithBases mounts their
// folders in bases (see PreviewConfig) and renders again. If a base has no folder, the error has the reason of a
// source without a folder.
func RenderWithBases(ctx context.Context, renderer render.Renderer, bases map[string]string, request render.Request) (
	*render.Result, error) {
	request.ReportNeeds = true
	for {
		result, err := renderer.Render(ctx, request)
		if err != nil || len(result.Needs) == 0 {
			return result, err
		}
		for _, need := range result.Needs {
			dir, ok := bases[need.String()]
			if need.File || !ok {
				return nil, notFetched(need)
			}
			request.Mounts = append(request.Mounts, render.Mount{Remote: need.Remote, Root: dir})
		}
	}
}

// notFetched returns the error of a remote base without a folder.
func notFetched(need render.Need) error {
	err := fmt.Errorf("remote base %s: nave does not fetch; the hub does, if its flag --remote-base-host names %s",
		need.Remote, need.Host())
	if !need.File {
		err = fmt.Errorf("%w. Give a checkout with --local-bases %s=DIR", err, need.Remote)
	}
	return baseError{err, condition.ArtifactFailed}
}
