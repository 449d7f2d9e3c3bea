package plan

import (
	"context"
	"errors"
	"fmt"

	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

var (
	errNoShapes = errors.New("nave cannot read the keys, and only a hub whose spokes told them knows them: use nave " +
		"diff, or leave out --filename and --path")
	errUnaskedShape = errors.New("the keys are not known: the hub asks the cluster when it has this version; nave " +
		"describe of the HelmRelease tells what it waits for")
)

// shape returns what a cluster answered to a question. If the cluster was not asked, because the checkout has another
// version of the object, shape returns the answer about the released version: the keys are probably the same.
func (v *Preview) shape(ctx context.Context, w *walked, q bundle.ShapeQuestion) (graph.Shape, bool, error) {
	if v.config.Shapes == nil || w.cluster == "" {
		return graph.Shape{}, false, errNoShapes
	}
	ids := []manifest.Digest{q.ID()}
	app, err := v.released(ctx, w, q.Reader)
	if err != nil {
		return graph.Shape{}, false, &graph.CallError{Err: fmt.Errorf("ask the hub for the released version: %w", err)}
	}
	if released, ok := questionIn(app, q); ok {
		ids = append(ids, released.ID())
	}
	known, err := v.config.Shapes(ctx, w.cluster, ids)
	if err != nil {
		return graph.Shape{}, false, &graph.CallError{Err: fmt.Errorf("ask the hub for the keys: %w", err)}
	}
	for _, id := range ids {
		if found, ok := known[id]; ok {
			return found, true, nil
		}
	}
	return graph.Shape{}, false, errUnaskedShape
}

// questionIn returns the question about the same entry that an Application was rendered with. The question about a new
// version of a Secret in Git is another one.
func questionIn(app *bundle.Application, q bundle.ShapeQuestion) (released bundle.ShapeQuestion, ok bool) {
	if app == nil {
		return released, false
	}
	for _, source := range app.ValueSources {
		s := source.Question
		if s.Kind == q.Kind && s.Name == q.Name && s.Key == q.Key && s.Form == q.Form && s.IsLive() == q.IsLive() {
			return s, true
		}
	}
	return released, false
}
