// Package status says, from what the hub and the spokes found out, how every object is: its Flux-shaped status
// (fold.go), why it is not ready (explain.go) and what it leads to (tree.go). Facts go in, words come out: no clock, no
// I/O but the reading of a transaction that the caller holds, in read.go. Every time in a status is one of the facts.
package status

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// Facts is all that is known about one resource.
type Facts struct {
	Resource  store.Resource             // only its Key is set for an object that was refused and never was one
	Outcome   *store.Condition           // nil: the hub has not come to it yet
	Report    *spokev1.ApplicationReport // nil: the spoke said nothing, or it is not an application
	Entry     *store.Entry               // of the cluster's plan; nil: none
	Spoke     *store.Spoke               // of the resource's cluster, or of the Cluster itself; nil: never registered
	Desired   *store.SignedBundle        // of the resource's cluster, or of the Cluster itself; nil: nothing published
	PlannedAt time.Time                  // when the plan of that cluster changed last
	Fetched   *store.Fetched             // of a source; nil: not looked at yet
	// of a Kustomization: one that its readiness includes and that is not ready; nil: none
	Awaited *peer
	Covered []Facts           // of a Cluster: its graph, or what a Fleet leads to there
	Sources map[api.Key]Facts // of a Cluster or Fleet: the hub's sources that it is rendered from
	With    *suspension       // of a Kustomization: the Fleet or Cluster that it is suspended with; nil: none
	Waiting []string          // of what is suspended: the revisions that wait for its end
	Members []Facts           // of a Fleet: the clusters that it selects, by name
}

// spec is what statuses need of an object's spec.
type spec struct {
	Suspend      bool        `json:"suspend"`
	StopRepair   bool        `json:"stopRepair"`
	Blocked      bool        `json:"blocked"`
	Wait         bool        `json:"wait"`
	SourceRef    reference   `json:"sourceRef"`
	DependsOn    []reference `json:"dependsOn"`
	HealthChecks []reference `json:"healthChecks"`
}

// reference names another object.
type reference struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
}

// spec reads the object. It is empty for an object that cannot be read or never was a resource.
func (f Facts) spec() spec {
	var o struct {
		Spec spec `json:"spec"`
	}
	if f.Resource.Object == nil || json.Unmarshal(f.Resource.Object.JSON, &o) != nil {
		return spec{}
	}
	return o.Spec
}

// healthChecked lists the Kustomizations of the cluster among the health checks.
func (s spec) healthChecked(cluster string) (keys []api.Key) {
	for _, h := range s.HealthChecks {
		if h.Kind == api.KustomizationKind && strings.HasPrefix(h.APIVersion, api.GroupKustomize+"/") {
			keys = append(keys, api.Key{Cluster: cluster, Kind: h.Kind, Namespace: h.Namespace, Name: h.Name})
		}
	}
	return keys
}

// sourceKeys lists where the source of a Kustomization may be, in the order in which it is looked for: in its graph,
// then in the hub; for a Fleet's root, in the hub first.
func (f Facts) sourceKeys() []api.Key {
	key, ref := f.Resource.Key, f.spec().SourceRef
	if key.Kind != api.KustomizationKind || ref.Name == "" {
		return nil
	}
	hubs := api.Key{Kind: ref.Kind, Namespace: cmp.Or(ref.Namespace, key.Namespace), Name: ref.Name}
	own := hubs
	own.Cluster = key.Cluster
	if owner := f.Resource.Owner; owner != nil && owner.Kind == api.FleetKind {
		return []api.Key{hubs, own}
	}
	return []api.Key{own, hubs}
}

// acked reports whether the spoke has brought exactly this bundle to the stage.
func acked(s *store.Spoke, d *store.SignedBundle, stage string) bool {
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
