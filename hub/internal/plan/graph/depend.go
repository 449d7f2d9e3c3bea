package graph

import (
	"slices"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"github.com/navefleet/nave/hub/api"
)

// depend checks dependsOn. One that is not there is told, and the spoke waits for it; a circle would wait for ever, so
// the last Application, from before the circle, is held.
func (p *pass) depend() {
	edges := map[api.Key][]api.Key{}
	for key, n := range p.graph.Nodes {
		if key.Kind != kustomizev1.KustomizationKind {
			continue
		}
		ks, err := n.Object.Kustomization()
		if err != nil {
			continue
		}
		edges[key] = Dependencies(p.in.Cluster, ks)
	}
	for key, dependencies := range edges {
		for _, d := range dependencies {
			if _, ok := edges[d]; !ok {
				p.problem(key, DependencyNotFound, "dependsOn names "+nameOf(d)+", which is not there: it waits for it")
			}
		}
		if circle := circleOf(key, edges); circle != nil {
			p.problem(key, DependencyCycle, "dependsOn goes in a circle: "+strings.Join(circle, " → "))
			p.holdApplication(key, false)
		}
	}
}

// Dependencies are the keys that dependsOn names; their namespace is the Kustomization's own unless it says otherwise.
func Dependencies(cluster string, ks *kustomizev1.Kustomization) []api.Key {
	var keys []api.Key
	for _, d := range ks.Spec.DependsOn {
		if d.Namespace == "" {
			d.Namespace = ks.Namespace
		}
		key := api.Key{Cluster: cluster, Kind: kustomizev1.KustomizationKind, Namespace: d.Namespace, Name: d.Name}
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// circleOf returns the shortest way from a key back to itself, as names; nil when there is none.
func circleOf(start api.Key, edges map[api.Key][]api.Key) []string {
	from := map[api.Key]api.Key{}
	for queue := []api.Key{start}; len(queue) > 0; queue = queue[1:] {
		for _, next := range edges[queue[0]] {
			if next == start {
				return way(start, queue[0], from)
			}
			if _, seen := from[next]; !seen {
				from[next] = queue[0]
				queue = append(queue, next)
			}
		}
	}
	return nil
}

func way(start, last api.Key, from map[api.Key]api.Key) []string {
	names := []string{start.Namespace + "/" + start.Name}
	for key := last; key != start; key = from[key] {
		names = append(names, key.Namespace+"/"+key.Name)
	}
	names = append(names, start.Namespace+"/"+start.Name)
	slices.Reverse(names)
	return names
}
