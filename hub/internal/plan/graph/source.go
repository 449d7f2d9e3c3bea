package graph

import (
	"fmt"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/navefleet/nave/hub/api"
)

// sourceOf names the source of a Kustomization; its namespace is the Kustomization's own unless it says otherwise.
func (p *pass) sourceOf(ks *kustomizev1.Kustomization) api.Key {
	ref := ks.Spec.SourceRef
	if ref.Namespace == "" {
		ref.Namespace = ks.Namespace
	}
	return api.Key{Cluster: p.in.Cluster, Kind: sourcev1.GitRepositoryKind, Namespace: ref.Namespace, Name: ref.Name}
}

// resolve finds the source of a Kustomization: in the graph, then in the hub. It returns wait when the source is not
// there yet but was the last time.
func (p *pass) resolve(key api.Key, ks *kustomizev1.Kustomization) (work Work, wait bool, err error) {
	source := p.sourceOf(ks)
	work = Work{Key: key, Kustomization: ks, SourceName: nameOf(source)}
	if p.unstable[source] {
		return work, false, fmt.Errorf("%w: what is rendered from %s of this graph takes it away, and without it gives it", errUnstable, work.SourceName)
	}
	object := p.graph.Nodes[source].Object
	if object == nil {
		if _, known := p.known[source]; known && p.patient {
			return work, true, nil
		}
		p.elsewhere[source] = true
		object = p.hubSource(source)
	}
	if object == nil {
		return work, false, fmt.Errorf("%w: there is no %s%s", errNoSource, work.SourceName, p.places())
	}
	_, work.SourceKey, err = object.Repository()
	if err == nil {
		p.graph.Sources[work.SourceKey] = true
	}
	return work, false, err
}

func (p *pass) hubSource(key api.Key) *Object {
	if p.in.HubSource == nil {
		return nil
	}
	p.graph.HubSources[key.Namespace+"/"+key.Name] = true
	return p.in.HubSource(key.Namespace, key.Name)
}

func (p *pass) places() string {
	if p.in.Cluster == "" {
		return ""
	}
	return " among the objects of cluster " + p.in.Cluster + " or of the hub"
}

// nameOf is the key without its cluster, as messages about objects of one cluster say it.
func nameOf(key api.Key) string {
	key.Cluster = ""
	return key.String()
}
