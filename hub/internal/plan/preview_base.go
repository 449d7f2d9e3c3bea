package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/condition"
)

// PreviewedBase is a remote base that a renderable needs.
type PreviewedBase struct {
	api.Remote
	Key    api.Key // of the renderable
	Tenant bool    // the renderable runs with a service account
	Given  bool    // the base has a folder
}

// RenderWithBases renders a request. As long as the render needs more remote bases, RenderWithBases mounts their
// folders in bases (see PreviewConfig) and renders again. If bases have no folder, the error has the reason of a
// source without a folder.
func RenderWithBases(ctx context.Context, renderer render.Renderer, bases map[string]string, request render.Request) (
	*render.Result, error) {
	result, _, err := renderWithBases(ctx, renderer, bases, request)
	return result, err
}

// renderWithBases does the same. It also returns the remote bases that it knows to be needed, with an error, too.
func renderWithBases(ctx context.Context, renderer render.Renderer, bases map[string]string, request render.Request) (
	result *render.Result, needed []PreviewedBase, err error) {
	request.ReportNeeds = true
	for {
		result, err = renderer.Render(ctx, request)
		if err != nil || len(result.Needs) == 0 {
			return result, needed, err
		}
		for _, need := range result.Needs {
			dir, ok := bases[need.String()]
			ok = ok && !need.File
			needed = append(needed, PreviewedBase{Remote: need.Remote, Given: ok})
			if !ok {
				err = errors.Join(err, notFetched(need))
			}
			request.Mounts = append(request.Mounts, render.Mount{Remote: need.Remote, Root: dir})
		}
		if err != nil {
			return nil, needed, baseError{err, condition.ArtifactFailed}
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
	return err
}

// noteBases remembers the remote bases that a renderable needs, instead of those of an earlier render.
func (w *walked) noteBases(work graph.Work, needed []PreviewedBase) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.bases, work.Key)
	for _, b := range needed {
		b.Key, b.Tenant = work.Key, work.Tenant
		w.bases[work.Key] = append(w.bases[work.Key], b)
	}
}

// previewedBases returns all remote bases that renderables need, sorted.
func (w *walked) previewedBases() (all []PreviewedBase) {
	for _, needed := range w.bases {
		all = append(all, needed...)
	}
	slices.SortFunc(all, func(a, b PreviewedBase) int {
		return cmp.Or(a.Key.Compare(b.Key), cmp.Compare(a.ID(), b.ID()))
	})
	return all
}
