package plan

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/cache"
	"github.com/navefleet/nave/shared/condition"
)

// renderLevel renders all objects of a level of the graph concurrently. The cache bounds how many renders run.
func renderLevel(works []graph.Work, renderOne func(graph.Work) graph.Result) []graph.Result {
	results := make([]graph.Result, len(works))
	var wait sync.WaitGroup
	for i, work := range works {
		if i == len(works)-1 {
			results[i] = renderOne(work)
		} else {
			wait.Go(func() { results[i] = renderOne(work) })
		}
	}
	wait.Wait()
	return results
}

// renderOne renders one object from the newest artifact of its source.
func (p *Planner) renderOne(ctx context.Context, w *walked, work graph.Work) graph.Result {
	fetched := p.sources[work.SourceKey]
	a := fetched.Artifact
	switch {
	case a == nil && fetched.Error != "":
		return graph.Result{Reason: condition.ArtifactFailed,
			Err: fmt.Errorf("%s has not been fetched: %s", work.SourceName, fetched.Error)}
	case a == nil:
		return graph.Result{Reason: condition.SourceNotReady,
			Err: &graph.NotYet{Err: fmt.Errorf("%s has not been fetched yet", work.SourceName)}}
	}
	if work.Renderable.Release != nil {
		if _, err := p.factsOf(ctx, w); err != nil {
			return graph.Result{Revision: a.Revision, Reason: reasonOf(err), Err: err}
		}
	}
	r, err := p.render(ctx, w, work, a)
	if err == nil && r.Release() != nil && len(r.Release().Recipes) > 0 && w.facts.unmade != nil {
		err = w.facts.unmade
		return graph.Result{Revision: a.Revision, Reason: reasonOf(err), Err: err}
	}
	w.note(work.Key, a, r, err)
	result := w.result(work, a.Revision, r.Rendering, err)
	result.Bases, result.Notice = r.bases, noticeOf(r.given)
	return result
}

// result returns the result of a render, as this graph admits its objects. err is the error of the render.
func (w *walked) result(work graph.Work, revision string, r *cache.Rendering, err error) graph.Result {
	if err != nil {
		err = buildError(work, revision, err)
	} else {
		err = w.tooLarge[work.Key]
	}
	if err != nil {
		return graph.Result{Revision: revision, Reason: reasonOf(err), Err: err}
	}
	scope := api.ClusterGraph
	if w.cluster == "" {
		scope = api.Hub
	}
	return graph.Result{Revision: revision, Rendered: renderedIn(admitting{scope, work.Admission}, r)}
}

// LocalRevision is the revision of a Tree of a checkout.
const LocalRevision = "local"

// buildError returns the error of a render with the revision that was rendered, which a checkout has none of.
func buildError(work graph.Work, revision string, err error) error {
	switch {
	case revision == LocalRevision:
		return err
	case work.Renderable.Release != nil:
		return fmt.Errorf("render of chart %s: %w", revision, err)
	}
	return fmt.Errorf("build of %s: %w", revision, err)
}

// note remembers the artifact, the remote bases and the result of a render.
func (w *walked) note(key api.Key, a *artifact.Artifact, r basedRender, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.artifacts[key], w.needed[key], w.given[key] = a, r.bases, namesOf(r.given)
	if err != nil {
		w.unrendered[key] = true
		w.passing = w.passing || cache.IsPassing(err)
		if slow, ok := errors.AsType[*cache.SlowError](err); ok {
			w.slow = append(w.slow, slow.Done)
		}
		return
	}
	w.renders[r.Rendering] = true
}

// reasonOf returns the reason of a condition for a render that failed.
func reasonOf(err error) string {
	if base, ok := errors.AsType[baseError](err); ok {
		return base.reason
	}
	switch {
	case errors.Is(err, render.ErrNotFound):
		return condition.PathNotFound
	case errors.Is(err, errSplit):
		return condition.ApplicationTooLarge
	}
	if slow, ok := errors.AsType[*cache.SlowError](err); ok && slow.Last == nil {
		return condition.Progressing
	}
	if own, ok := api.ReasonOf(err); ok {
		return own.Name
	}
	return condition.BuildFailed
}
