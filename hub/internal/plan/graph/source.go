package graph

import (
	"errors"
	"fmt"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/manifest"
)

// resolve finds the source of a Kustomization. It returns wait when the source is not there yet but was the last time.
//
// A reference means what stands as high as the one who wrote it, or above: an object that a tenant gives never answers
// the reference of an operator. In that order it is looked for
//
//  1. in the hub, for the root that a Fleet gives: that one is the hub's, like the Fleet, and what the root renders
//     cannot cut it off from where it comes from
//  2. in the graph itself
//  3. in the hub
//  4. in the graph, among what is given with the service account that the Kustomization runs with
func (p *pass) resolve(key api.Key, r *api.Renderable) (work Work, wait bool, err error) {
	work = Work{Key: key, Renderable: r, SourceName: r.Source.String()}
	if p.in.NoCrossNamespaceRefs && r.Source.Namespace != key.Namespace {
		return work, false, fmt.Errorf("%w %s from namespace %s: the hub runs with --no-cross-namespace-refs; "+
			"give the source in the namespace of the Kustomization", errDenied, work.SourceName, key.Namespace)
	}
	found, wait, err := p.find(r.Source, p.graph.Nodes[key])
	if wait || err != nil {
		return work, wait, err
	}
	source, err := found.Object.Source()
	if err != nil {
		return work, false, err
	}
	work.SourceKey = source.FetchKey(found.Key.Cluster != "" || found.Confined != nil)
	p.graph.Sources[work.SourceKey] = true
	return work, false, nil
}

// find returns a source for a Kustomization.
func (p *pass) find(source api.Key, by Node) (found Node, wait bool, err error) {
	own := p.local(source)
	root := by.Owner != nil && by.Owner.Role() == api.FleetRole
	for _, key := range api.SourceKeys(p.in.Cluster, source, root) {
		if key != own {
			found = p.hubSource(key)
		} else if found, wait, err = p.see(sight{source: own, by: by.Confined}); wait || isFinal(err) {
			return found, wait, err
		}
		if found.Object != nil {
			return found, false, nil
		}
	}
	if runs := p.givesInside(by.Key); !runs.Same(by.Confined) {
		if found, wait, err = p.see(sight{source: own, by: runs}); err == nil || isFinal(err) {
			return found, wait, err
		}
	}
	p.lacking[by.Key] = own
	return found, false, fmt.Errorf("%w: there is no %s%s", errNoSource, nameOf(source), p.places())
}

// isFinal reports whether no other place is looked at after an error.
func isFinal(err error) bool { return err != nil && !errors.Is(err, errNoSource) }

// sight is a source as one of some standing sees it.
type sight struct {
	source api.Key
	by     *api.Confinement
}

// sightKey names a sight over passes.
type sightKey struct{ object, by api.Key }

func (s sight) key() sightKey {
	k := sightKey{object: s.source}
	if s.by != nil {
		k.by = s.by.By
	}
	return k
}

// sees reports whether an object counts: one that is given by somebody of the same standing, or above.
func (s sight) sees(n Node, there bool) bool { return there && n.Confined.Covers(s.by) }

// see returns a source of this graph: as it is now or, when it does not turn up, as it was last.
func (p *pass) see(s sight) (found Node, wait bool, err error) {
	now, here := p.graph.Nodes[s.source]
	last, was := p.known[s.source]
	switch {
	case p.unstable.has(s.key()):
		return found, false, fmt.Errorf("%w: what is rendered from %s of this graph takes it away, and without it gives it",
			errUnstable, nameOf(s.source))
	case s.sees(now, here):
		return now, false, nil
	case s.sees(last, was) && p.waitForSources:
		return found, true, nil
	case s.sees(last, was): // it may be given by what is rendered from it
		p.assumed[s.key()] = assumption{s, last.Object.Digest}
		return last, false, nil
	}
	p.elsewhere[s.key()] = s
	return found, false, errNoSource
}

// assumption is a source of an earlier pass that was used before it turned up in this one.
type assumption struct {
	sight
	digest manifest.Digest
}

// hubSource returns a source of the hub; its Object is nil if there is none.
func (p *pass) hubSource(key api.Key) Node {
	p.graph.HubSources[key] = true
	return Node{Key: key, Object: p.in.HubSource(key)}
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
