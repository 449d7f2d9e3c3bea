package plan

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
)

// shape returns the answer to a question about a shape for the cluster of a walk.
func (p *Planner) shape(ctx context.Context, w *walked, q bundle.ShapeQuestion) (found graph.Shape, known bool,
	err error) {
	var s store.Shape
	var spoke store.Spoke
	err = p.store.View(ctx, func(tx *store.Tx) error {
		if s, known, err = store.ShapeOf(tx, w.cluster, q); err == nil {
			spoke, _, err = store.Spokes.GetIntact(tx, w.cluster)
		}
		return err
	})
	if err == nil && !spoke.Knows(bundle.Shapes) {
		err = fmt.Errorf("the spoke of cluster %s, version %s, cannot be asked for the keys of values: upgrade the spoke",
			w.cluster, spoke.Version)
	}
	return graph.Shape{Shape: s.Shape, Problem: s.Problem, Content: s.Content}, known, err
}

// shapeKeep is how long an answer that clusters share stays in the store if nobody asks for it any more.
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
