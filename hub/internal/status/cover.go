package status

import (
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
)

// clusterGraph has the facts about the objects of one cluster: the objects of its graph, refused objects, and
// applications that were removed from the graph and that its spoke still has.
type clusterGraph struct {
	facts    map[api.Key]Facts
	children map[api.Key][]api.Key // by owner
	reads    []Dependency
}

// graph reads the graph of a cluster once.
func (r *Reader) graph(cluster string) (*clusterGraph, error) {
	g := r.graphs[cluster]
	if g == nil {
		var err error
		before := r.reads
		r.reads = reads{}
		g, err = r.readGraph(cluster)
		if err != nil {
			return nil, err
		}
		g.reads, r.reads = r.reads.of(cluster), before
		r.graphs[cluster] = g
	}
	r.reads.add(g.reads...)
	return g, nil
}

func (r *Reader) readGraph(cluster string) (*clusterGraph, error) {
	g := &clusterGraph{facts: map[api.Key]Facts{}, children: map[api.Key][]api.Key{}}
	err := r.scan(store.OfCluster(cluster), g.facts, r.own)
	if err == nil {
		err = r.addRestored(cluster, g.facts)
	}
	for key, f := range g.facts {
		if owner := f.Resource.GivenBy(); owner != nil {
			g.children[*owner] = append(g.children[*owner], key)
		}
	}
	g.link()
	return g, err
}

// await sets Awaited of a renderable whose readiness includes others.
func (r *Reader) await(f *Facts) error {
	if o := f.renderable(); f.Resource.Key.Cluster == "" || !o.Wait && len(o.HealthChecks) == 0 {
		return nil
	}
	g, err := r.graph(f.Resource.Key.Cluster)
	if err == nil {
		f.Awaited = g.facts[f.Resource.Key].Awaited
	}
	return err
}

// link sets Awaited of each renderable of the graph. If a renderable awaits a failed one and one in progress, Awaited
// is the failed one. link follows the edges backwards from the renderables that are not ready, so that its cost depends
// only on the size of the graph.
func (g *clusterGraph) link() {
	awaitedBy, unready := map[api.Key][]api.Key{}, map[string][]api.Key{}
	for key, f := range g.facts {
		for _, peer := range g.awaits(f) {
			awaitedBy[peer] = append(awaitedBy[peer], key)
		}
		ready := f.verdict().ready
		unready[ready] = append(unready[ready], key)
	}
	for _, ready := range []string{condition.False, condition.Unknown} {
		slices.SortFunc(unready[ready], api.Key.Compare)
		for queue := unready[ready]; len(queue) > 0; queue = queue[1:] {
			for _, key := range awaitedBy[queue[0]] {
				if f := g.facts[key]; f.Awaited == nil && f.verdict().ready == condition.True {
					f.Awaited = &peer{queue[0], g.facts[queue[0]].verdict()}
					g.facts[key] = f
					queue = append(queue, key)
				}
			}
		}
	}
}

// peer is a renderable that another waits for, and the verdict about it.
type peer struct {
	key     api.Key
	verdict verdict
}

// awaits returns the renderables that the readiness of f includes: if wait is set, its children, else those among its
// health checks.
func (g *clusterGraph) awaits(f Facts) []api.Key {
	key, o := f.Resource.Key, f.renderable()
	if o.Wait {
		return slices.DeleteFunc(slices.Clone(g.children[key]), func(child api.Key) bool {
			return child.Role() != api.RenderableRole && (!o.Composes || child.Role() != api.SourceRole)
		})
	}
	keys := o.Awaited()
	for i := range keys {
		keys[i] = keys[i].In(key.Cluster)
	}
	return keys
}

// cover sets the objects that a Cluster covers: all objects of its graph, and the hub's sources that they are rendered
// from.
func (r *Reader) cover(f *Facts) error {
	g, err := r.graph(f.Resource.Key.Name)
	if err != nil {
		return err
	}
	f.Sources = map[api.Key]Facts{}
	for _, object := range g.facts {
		f.Covered = append(f.Covered, object)
		source, ok, err := r.sourceOf(g, object)
		if err != nil {
			return err
		}
		if ok && source.Resource.Key.Cluster == "" {
			f.Sources[source.Resource.Key] = source
		}
	}
	return nil
}

// below adds a Fleet's roots, the objects that they give, and the sources that these are rendered from: objects of the
// graph to member.Covered, sources of the hub to sources. It keeps the upgrade of the member that the Fleet wants.
func (r *Reader) below(fleet api.Key, g *clusterGraph, member *Facts, sources map[api.Key]Facts) error {
	member.keepUpgradeOf(fleet)
	seen := map[api.Key]bool{}
	for queue := g.children[fleet]; len(queue) > 0; queue = queue[1:] {
		key := queue[0]
		if seen[key] {
			continue
		}
		seen[key] = true
		f := g.facts[key]
		member.Covered = append(member.Covered, f)
		queue = append(queue, g.children[key]...)
		source, ok, err := r.sourceOf(g, f)
		switch {
		case err != nil:
			return err
		case ok && source.Resource.Key.Cluster == "":
			sources[source.Resource.Key] = source
		case ok:
			queue = append(queue, source.Resource.Key)
		}
	}
	return nil
}

// sourceOf returns the source of a renderable of the graph. If there is none that the renderable may use, sourceOf
// returns false; the verdict about the renderable names the missing source.
func (r *Reader) sourceOf(g *clusterGraph, f Facts) (Facts, bool, error) {
	return f.source(func(key api.Key) (Facts, bool, error) {
		if source, ok := g.facts[key]; ok || key.Cluster != "" {
			return source, ok, nil
		}
		return r.hubSource(key)
	})
}

// source returns the source of a renderable. If there is none that the renderable may use, source returns false. get
// returns the facts about an object, and false if there are none.
func (f Facts) source(get func(api.Key) (Facts, bool, error)) (source Facts, ok bool, err error) {
	if f.role() != api.RenderableRole {
		return Facts{}, false, nil
	}
	_, ok, err = f.Resource.FindSource(func(key api.Key) (_ store.Resource, ok bool, err error) {
		source, ok, err = get(key)
		return source.Resource, ok, err
	})
	return source, ok, err
}

// hubSource reads a source of the hub once.
func (r *Reader) hubSource(key api.Key) (source Facts, ok bool, err error) {
	r.reads.add(Dependency{store.Resources.Name(), key.Path()}, Dependency{store.Conditions.Name(), key.Path()})
	if known, read := r.sources[key]; read {
		return known, known.Resource.Object != nil, nil
	}
	row, err := get(r, store.Resources, key.Path())
	if err == nil && row != nil {
		source, err = r.own(*row)
	}
	r.sources[key] = source
	return source, row != nil, err
}

// members adds to a Fleet the clusters that it selects, each with the objects that the Fleet leads to there. A Cluster
// that cannot be decoded is selected by its labels; its own verdict has the error.
func (r *Reader) members(f *Facts) error {
	fleet, err := f.Resource.Object.Fleet()
	if err != nil {
		return nil // hubVerdict returns the error
	}
	if err := r.readClusters(); err != nil {
		return err
	}
	f.Sources = map[api.Key]Facts{}
	for _, row := range r.clusters {
		if selected, err := fleet.Selects(api.ClusterLabels(row.Key.Name, row.Object.Labels())); err != nil || !selected {
			continue // the Fleet's Condition has the error
		}
		member, err := r.own(row)
		if err != nil {
			return err
		}
		g, err := r.graph(row.Key.Name)
		if err != nil {
			return err
		}
		if err := r.below(f.Resource.Key, g, &member, f.Sources); err != nil {
			return err
		}
		if err := r.addLeft(f.Resource.Key, g, &member); err != nil {
			return err
		}
		f.Members = append(f.Members, member)
	}
	return nil
}
