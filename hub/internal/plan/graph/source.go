package graph

import (
	"errors"
	"fmt"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// resolve finds the source of a renderable. wait is true if the source is missing in this pass but was in the last one.
// The error is a problem, or is about the source.
//
// A reference finds only a source whose limits are the same as those of the reference's author, or wider: a reference
// of an operator never finds an object of a tenant. resolve looks for the source in this order:
//
//  1. in the hub and in the graph, in the order of api.SourceKeys
//  2. in the graph, among the objects given with the service account that the renderable runs with
func (p *pass) resolve(key api.Key, r *api.Renderable) (work Work, wait bool, err error) {
	work = Work{Key: key, Renderable: r, SourceName: r.Source.String(),
		RequestedAt: p.graph.Nodes[key].Object.RequestedAt()}
	if p.in.NoCrossNamespaceRefs && r.Source.Namespace != key.Namespace {
		return work, false, problem{condition.AccessDenied, fmt.Sprintf("no access to %s from namespace %s: the hub runs "+
			"with --no-cross-namespace-refs; give the source in the namespace of the %s",
			work.SourceName, key.Namespace, key.Kind)}
	}
	found, wait, err := p.find(r.Source, p.graph.Nodes[key])
	if wait || err != nil {
		return work, wait, err
	}
	if found, err = p.dealias(found); err != nil {
		return work, false, err
	}
	work.FoundAt, work.Source, work.Admission = found.Key, found.Object, p.admission(key)
	work.Tenant = p.givesInside(key) != nil
	work.ServiceAccount = p.graph.Nodes[key].Confined.AccountOf(r)
	work.SourceKey, work.Parts, err = p.fetchKey(found)
	switch {
	case errors.Is(err, errWait):
		return work, true, nil
	case err != nil:
		return work, false, err
	}
	p.graph.Sources[work.SourceKey] = true
	return work, false, nil
}

// find returns the source that a renderable names.
func (p *pass) find(source api.Key, by Node) (found Node, wait bool, err error) {
	own := p.local(source)
	if found, wait, err = p.look(source, given(by)); err == nil || isFinal(err) {
		return found, wait, err
	}
	if runs := p.givesInside(by.Key); !runs.Same(by.Confined) {
		if found, wait, err = p.see(sight{source: own, by: runs}); err == nil || isFinal(err) {
			return found, wait, err
		}
	}
	p.lacking[by.Key] = own
	return found, false, fmt.Errorf("%w: there is no %s%s%s", errNoSource, source.Local(), p.places(),
		source.Missing())
}

// look looks for a source in the order of api.SourceKeys. If there is none that by may use, the error is errNoSource.
func (p *pass) look(source api.Key, by api.Given) (found Node, wait bool, err error) {
	own := p.local(source)
	for _, key := range api.SourceKeys(by.Key.Cluster, source, by.Owner) {
		if key != own {
			found = p.hubSource(key)
		} else if found, wait, err = p.see(sight{source: own, by: by.Confined}); wait || isFinal(err) {
			return found, wait, err
		}
		if found.Object != nil {
			return found, false, nil
		}
	}
	return Node{}, false, errNoSource
}

// errNoSource is the error of a source that does not exist.
var errNoSource = errors.New("source not found")

// isFinal reports whether the search for a source ends with an error.
func isFinal(err error) bool { return err != nil && !errors.Is(err, errNoSource) }

// sight is a source as a renderable with some limits sees it.
type sight struct {
	source api.Key
	by     *api.Confinement
}

// sightKey identifies a sight in all passes.
type sightKey struct{ object, by api.Key }

func (s sight) key() sightKey {
	k := sightKey{object: s.source}
	if s.by != nil {
		k.by = s.by.By
	}
	return k
}

// sees reports whether a node exists and its limits are the same as those of the sight, or wider.
func (s sight) sees(n Node, there bool) bool { return there && n.Confined.Covers(s.by) }

// see returns a source of this graph. If this pass does not have the source, see returns it as it was last.
func (p *pass) see(s sight) (found Node, wait bool, err error) {
	now, here := p.graph.Nodes[s.source]
	last, was := p.known[s.source]
	switch {
	case p.unstable.has(s.key()):
		return found, false, problem{condition.SourceUnstable, "source comes and goes: rendering from " +
			s.source.Local() + " of this graph removes it, and rendering without it adds it"}
	case s.sees(now, here):
		return now, false, nil
	case s.sees(last, was) && p.waitForSources:
		return found, true, nil
	case s.sees(last, was): // a render from the source may give the source
		p.assumed[s.key()] = assumption{s, last.Object.Digest}
		return last, false, nil
	}
	p.elsewhere[s.key()] = s
	return found, false, errNoSource
}

// assumption is a source of an earlier pass that was used before this pass had it.
type assumption struct {
	sight
	digest manifest.Digest
}

// hubSource returns a source of the hub; its Object is nil if there is none.
func (p *pass) hubSource(key api.Key) Node {
	p.graph.HubSources[key] = true
	return Node{Key: key, Object: p.in.HubSource(key)}
}

// places returns where a source was looked for. It does not name the cluster, so that the same cause has the same words
// on each cluster.
func (p *pass) places() string {
	if p.in.Cluster == "" {
		return ""
	}
	return " among the objects of the cluster or of the hub"
}
