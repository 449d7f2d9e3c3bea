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

// resolve finds the source of a Kustomization. It returns wait when the source is not there yet but was the last time.
//
// The graph's own source comes before one of the hub with the same name, except for the root that a Fleet gives: that one
// is the hub's, like the Fleet, and what the root renders cannot cut it off from where it comes from.
func (p *pass) resolve(key api.Key, ks *kustomizev1.Kustomization) (work Work, wait bool, err error) {
	source := p.sourceOf(ks)
	work = Work{Key: key, Kustomization: ks, SourceName: nameOf(source)}
	object, wait, err := p.find(source, p.graph.Nodes[key].Owner)
	if wait || err != nil {
		return work, wait, err
	}
	_, work.SourceKey, err = object.Repository()
	if err == nil {
		p.graph.Sources[work.SourceKey] = true
	}
	return work, false, err
}

// find returns a source for a Kustomization with this owner.
func (p *pass) find(source api.Key, owner *api.Key) (object *Object, wait bool, err error) {
	if owner != nil && owner.Kind == api.FleetKind {
		if object := p.hubSource(source); object != nil {
			return object, false, nil
		}
	}
	known, was := p.known[source]
	object = p.graph.Nodes[source].Object
	switch {
	case p.unstable.has(source):
		return nil, false, fmt.Errorf("%w: what is rendered from %s of this graph takes it away, and without it gives it", errUnstable, nameOf(source))
	case object != nil:
		return object, false, nil
	case was && p.patient:
		return nil, true, nil
	case was: // it may be given by what is rendered from it
		p.assumed[source] = known.Object.Digest
		return known.Object, false, nil
	}
	p.elsewhere[source] = true
	if object = p.hubSource(source); object == nil {
		return nil, false, fmt.Errorf("%w: there is no %s%s", errNoSource, nameOf(source), p.places())
	}
	return object, false, nil
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
