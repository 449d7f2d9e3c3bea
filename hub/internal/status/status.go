// Package status says, from what the hub and the spokes found out, how every object is: its Flux-shaped status (fold.go),
// why it is not ready (explain.go) and what it leads to (tree.go). Facts go in, words come out: no clock, no I/O but the
// reading of a transaction that the caller holds, in read.go. Every time in a status is one of the facts.
package status

import (
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
)

// Facts is all that is known about one resource.
type Facts struct {
	Resource store.Resource             // only its Key is set for an object that was refused and never was one
	Outcome  *store.Outcome             // nil: the hub has not come to it yet
	Report   *spokev1.ApplicationReport // nil: the spoke said nothing, or it is not an application
	Entry    *bundle.Entry              // of the cluster's plan; nil: none
	Spoke    *store.Spoke               // of the resource's cluster, or of the Cluster itself; nil: never registered
	Desired  *store.Desired             // of the Cluster itself; nil: nothing published
	Fetched  *store.Fetched             // of a source; nil: not looked at yet
	Members  []Member                   // of a Fleet: the clusters it selects, by name
}

// Member is one cluster that a Fleet selects.
type Member struct {
	Name    string
	Spoke   *store.Spoke
	Desired *store.Desired
}

// acked reports whether the spoke has brought exactly this bundle to the stage.
func acked(s *store.Spoke, d *store.Desired, stage string) bool {
	return s != nil && d != nil && s.Acks[stage] == d.Bundle
}

// World is all that is known about the hub's own objects and those of some clusters.
type World struct{ facts map[api.Key]Facts }

// NewWorld returns the world of these facts.
func NewWorld(facts ...Facts) *World {
	w := &World{facts: map[api.Key]Facts{}}
	for _, f := range facts {
		w.facts[f.Resource.Key] = f
	}
	return w
}
