package plan

import (
	"cmp"
	"context"
	"maps"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
)

// shape returns the answer to a question about a shape for the cluster of a walk. If its spoke cannot be asked now,
// shape returns an error; when the facts about the spoke change, the graph is walked again.
func (p *Planner) shape(ctx context.Context, w *walked, q bundle.ShapeQuestion) (found graph.Shape, known bool,
	err error) {
	if _, err := p.factsOf(ctx, w); err != nil || w.facts.unasked != nil {
		return found, false, cmp.Or(err, w.facts.unasked)
	}
	var s store.Shape
	err = p.store.View(ctx, func(tx *store.Tx) error {
		s, known, err = store.ShapeOf(tx, w.cluster, q)
		return err
	})
	return graph.Shape{Shape: s.Shape, Problem: s.Problem, Content: s.Content}, known, err
}

// shapeKeep is how old an answer that clusters share is at least when it is deleted because nobody asks for it.
const shapeKeep = 7 * 24 * time.Hour

// forgetShapes deletes answers that clusters share and that no graph asked for in its last walk.
func (p *Planner) forgetShapes(ctx context.Context, now time.Time) error {
	asked := map[string]bool{}
	for _, s := range p.scopes {
		maps.Copy(asked, s.asked)
	}
	return p.store.Update(ctx, func(tx *store.Tx) error {
		return store.ForgetShapes(tx, "", asked, now.Add(-shapeKeep))
	})
}

// noteShape marks the graphs that an answer to a question concerns.
func (p *Planner) noteShape(key string) {
	cluster, id, _ := strings.Cut(key, "/")
	for name, s := range p.scopes {
		if s.asked[id] && (cluster == "" || cluster == name) {
			p.dirty[name] = true
		}
	}
}
