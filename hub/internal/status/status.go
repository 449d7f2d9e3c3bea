// Package status computes the Flux-shaped status of an object from stored facts (fold.go), explains why an object is
// not ready (explain.go) and shows the objects that it leads to (tree.go). All of it is a function of Facts, without a
// clock: every time in a status is one of the facts. Only read.go reads the store, in a transaction of the caller, and
// notes which rows the Facts depend on (reads.go).
package status

import (
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
)

// Facts has all stored facts about one resource.
type Facts struct {
	Resource  store.Resource             // of an object that was refused before it was stored, only the Key is set
	Condition *store.Condition           // nil: the hub has not processed it yet
	Report    *spokev1.ApplicationReport // nil: the spoke has not reported, or the object is not an application
	Entry     *store.Entry               // of the cluster's plan; nil: none
	Spoke     *store.Spoke               // of the resource's cluster, or of the Cluster itself; nil: never registered
	Bundle    *store.SignedBundle        // of the resource's cluster, or of the Cluster itself; nil: none published
	Refusal   *store.Refusal             // of that cluster; nil: a bundle can be made of its plan
	Upgrade   *store.Upgrade             // of a Cluster's spoke; of a Fleet's member: that the Fleet wants; nil: none
	Turn      *store.Turn                // of an application's cluster in the rollout of its Fleet; nil: none
	Rollout   *store.Rollout             // the newest of a Fleet, or of that Fleet; nil: none
	Pin       *store.Pin                 // of that cluster; nil: it is not pinned
	PlannedAt time.Time                  // when the plan of that cluster changed last
	// Superseded is when the content that Report is about was replaced, if it was.
	Superseded time.Time
	Fetched    *store.Fetched // of a source; nil: no fetch attempted yet
	// Awaited is a renderable that the readiness of this one includes and that is not ready; nil: none.
	Awaited *peer
	Covered []Facts           // of a Cluster: its graph; of a Fleet's member: the objects that the Fleet leads to there
	Sources map[api.Key]Facts // of a Cluster or Fleet: the hub's sources that it is rendered from
	With    *suspension       // of a renderable: the Fleet or Cluster that it is suspended with; nil: none
	Waiting []string          // of a suspended object: the revisions that wait for the end of the suspension
	Members []Facts           // of a Fleet: the clusters that it selects, by name
	Damaged error             // of a row that the other facts are without; nil: none
}

// role returns the role of the object's kind.
func (f Facts) role() api.Role { return f.Resource.Key.Role() }

// renderable returns the view of a renderable object. For any other object, and for one that cannot be decoded or was
// never stored, renderable returns an empty view.
func (f Facts) renderable() *api.Renderable {
	if view, err := f.Resource.Object.Renderable(); err == nil {
		return view
	}
	return &api.Renderable{}
}

// cluster returns the spec of a Cluster, as renderable does.
func (f Facts) cluster() api.ClusterSpec {
	if view, err := f.Resource.Object.Cluster(); err == nil {
		return view.Spec
	}
	return api.ClusterSpec{}
}

// stopsRepair reports whether the spoke of a suspended Cluster leaves drift alone, too.
func (f Facts) stopsRepair() bool { return f.Resource.StopRepair || f.cluster().StopRepair }

// acked reports whether the spoke has acknowledged exactly this bundle for the stage.
func acked(s *store.Spoke, d *store.SignedBundle, stage bundle.Stage) bool {
	return s != nil && d != nil && s.Acks[stage] == d.Bundle
}

// World has the facts about the hub's own objects and those of some clusters.
type World struct {
	facts map[api.Key]Facts
	now   time.Time // for explanations; zero: nothing is overdue
}

// At returns the world at a time, at which Explain tells what is overdue.
func (w *World) At(now time.Time) *World {
	w.now = now
	return w
}

// newWorld returns the world of these facts.
func newWorld(facts ...Facts) *World {
	w := &World{facts: map[api.Key]Facts{}}
	for _, f := range facts {
		w.facts[f.Resource.Key] = f
	}
	return w
}
