package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/render/cache"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
)

// releaseQuestion is a question about a release that the spoke did not make.
type releaseQuestion struct {
	bundle.ShapeQuestion
	answered bool
}

// renderChart renders a chart for the first install or, if the chart asks about its release and the release exists, for
// the revision that comes next. As long as nothing else changes, a chart is told what it was told last: another number
// by itself, right after an upgrade, would be another revision than Flux makes.
func (p *Planner) renderChart(ctx context.Context, w *walked, work graph.Work, a *artifact.Artifact) (
	*cache.Rendering, error) {
	capabilities, err := p.factsOf(ctx, w)
	if err != nil {
		return nil, err
	}
	facts := api.ChartFacts{Capabilities: capabilities, Cluster: w.cluster}
	name := work.Key.In("")
	render := func(s api.ReleaseState) (*cache.Rendering, error) {
		return p.renders.RenderFor(ctx, name, work.Renderable.Renderer, work.Spec, a, facts.With(s))
	}
	first, err := render(api.ReleaseState{})
	if goesOn(err) {
		return nil, err
	}
	if err == nil && !first.Release().Asked.Upgrade && !first.Release().Asked.Revision {
		return first, nil
	}
	if err == nil {
		w.note(work.Key, a, basedRender{Rendering: first}, nil) // so that the store keeps it
	}
	last := w.lastChart(work.Key)
	next, exists, found := p.nextState(ctx, w, work, last)
	if found != nil {
		return nil, cmp.Or(err, found) // whatever the chart is told, it may fail
	}
	if !exists {
		return first, err
	}
	if r, err := p.renderAgain(ctx, w, work.Key, a, last, render); r != nil || err != nil {
		return r, err
	}
	w.tell(work.Key, next)
	return render(next)
}

// renderAgain renders a chart as it was told last, if the cluster has the result; otherwise nothing.
func (p *Planner) renderAgain(ctx context.Context, w *walked, key api.Key, a *artifact.Artifact, last api.ReleaseState,
	render func(api.ReleaseState) (*cache.Rendering, error)) (*cache.Rendering, error) {
	for _, told := range toldBefore(last) {
		r, err := render(told)
		switch {
		case goesOn(err): // only its result tells whether it is what the cluster has
			return nil, err
		case err != nil:
			continue
		}
		w.note(key, a, basedRender{Rendering: r}, nil) // so that the store keeps it
		if p.isPlannedAs(ctx, w, key, r) {
			w.tell(key, told)
			return r, nil
		}
	}
	return nil, nil
}

// goesOn reports whether an error is that of a slow render.
func goesOn(err error) bool {
	_, slow := errors.AsType[*cache.SlowError](err)
	return slow
}

// toldBefore returns what a chart may have been told in its last render. A plan of an older hub does not say that it
// was an upgrade, whose revision was then always the second.
func toldBefore(last api.ReleaseState) []api.ReleaseState {
	if last == (api.ReleaseState{}) {
		return []api.ReleaseState{last, {Upgrade: true}}
	}
	return []api.ReleaseState{last}
}

// tell notes what a chart is told about its release.
func (w *walked) tell(key api.Key, s api.ReleaseState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.charts[key] = s
}

// lastChart returns what a chart was told about its release in the last plan.
func (w *walked) lastChart(key api.Key) api.ReleaseState {
	for _, e := range w.last.Applications {
		if e.Name == key.Application() {
			return e.Chart
		}
	}
	return api.ReleaseState{}
}

// nextState returns what a chart is told if it is rendered anew, and whether its release exists. If only the cluster
// knows that, and has not said so yet, the error has the reason of the condition.
func (p *Planner) nextState(ctx context.Context, w *walked, work graph.Work, last api.ReleaseState) (
	next api.ReleaseState, exists bool, err error) {
	var row store.Report
	err = p.store.View(ctx, func(tx *store.Tx) error {
		row, _, err = store.Reports.GetIntact(tx, work.Key.Path())
		return err
	})
	if err != nil {
		return next, false, err
	}
	report, unread := reporting.ReadApplication(row.Value)
	history := report.GetRelease().GetHistory()
	switch {
	case unread == nil && len(history) > 0:
		return stateAfter(int(history[0].GetRevision()), history[0].GetStatus()), true, nil
	case unread == nil && len(report.GetAppliedDigest()) > 0: // by a spoke that has not looked since it started
		return api.ReleaseState{Upgrade: true, Last: max(last.Last, 0) + 1}, true, nil
	case last != (api.ReleaseState{}):
		return api.ReleaseState{Upgrade: true, Last: last.Last}, true, nil
	}
	return p.askRelease(ctx, w, work)
}

// stateAfter returns the state of a release whose newest revision has a number and a status.
func stateAfter(newest int, status string) api.ReleaseState {
	return api.ReleaseState{Upgrade: status != "uninstalled", Last: newest}
}

// askRelease returns the state of a release that the spoke has not reported: it may be Helm's or Flux's. A spoke that
// cannot be asked has none.
func (p *Planner) askRelease(ctx context.Context, w *walked, work graph.Work) (next api.ReleaseState, exists bool,
	err error) {
	if !w.facts.tells {
		return next, false, nil
	}
	r := work.Renderable.Release
	q := bundle.ReleaseQuestion(work.Key.Application(), work.ServiceAccount, r.Name, r.StorageNamespace)
	answer, known, err := p.shape(ctx, w, q)
	w.mu.Lock()
	w.asks[q.ID()] = releaseQuestion{q, known}
	w.waiting[work.Key] = err == nil && !known
	w.mu.Unlock()
	switch {
	case err != nil:
		return next, false, baseError{err, condition.InputNotReady}
	case !known:
		return next, false, notYet(condition.InputNotReady, "the chart asks whether release %s/%s exists; waiting for "+
			"cluster %s to tell; its next bundle asks", r.Namespace, r.Name, w.cluster)
	case answer.Problem != "":
		return next, false, baseError{fmt.Errorf("cluster %s cannot read the records of release %s/%s: %s", w.cluster,
			r.Namespace, r.Name, answer.Problem), condition.InputNotReady}
	}
	revision, status, err := bundle.ReadReleaseAnswer(answer.Shape)
	if err != nil || revision == 0 {
		return next, false, err
	}
	return stateAfter(revision, status), true, nil
}

// addAsks adds the questions about releases to those of the graph. An open one is in the plan until it is answered.
func (w *walked) addAsks() {
	var open []bundle.ShapeQuestion
	for _, id := range slices.SortedFunc(maps.Keys(w.asks), manifest.Digest.Compare) {
		w.graph.Asked[id.String()] = true
		if q := w.asks[id]; !q.answered {
			open = append(open, q.ShapeQuestion)
		}
	}
	w.graph.Questions = append(open, w.graph.Questions...)
}
