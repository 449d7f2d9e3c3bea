package plan

import (
	"maps"
	"slices"
	"sync"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
)

// hub holds the hub's own objects, decoded. Set and remove keep it equal to the store.
type hub struct {
	rows     map[api.Key]store.Resource
	clusters map[string]*api.Cluster
	fleets   map[string]*api.Fleet
	broken   map[string]error // Fleets that cannot be decoded: the objects that they gave are held
	left     map[api.Key]bool // objects whose rows left since the last walk of the hub's graph

	// templates holds the results of expand, by expansion, until a Cluster or a Fleet changes. Walks run concurrently.
	templates sync.Map
}

// expansion is one use of a Fleet's template.
type expansion struct {
	fleet   *api.Fleet
	cluster *api.Cluster
}

// expanded is the root that a Fleet gives to a cluster, or the error if there is none.
type expanded struct {
	root     graph.Root
	selected bool
	err      error
}

func newHub() *hub {
	return &hub{
		rows: map[api.Key]store.Resource{}, left: map[api.Key]bool{},
		clusters: map[string]*api.Cluster{}, fleets: map[string]*api.Fleet{}, broken: map[string]error{},
	}
}

// set enters a row of the hub. If this version cannot decode the object, set returns an error. Then a Cluster is not
// walked, and the objects that a Fleet gave are held.
func (h *hub) set(r store.Resource) error {
	h.remove(r.Key)
	h.rows[r.Key] = r
	switch r.Key.Role() {
	case api.ClusterRole:
		view, err := r.Object.Cluster()
		if err != nil {
			return err
		}
		c := *view
		c.Spec.Suspend, c.Spec.StopRepair = r.IsSuspended(), c.Spec.StopRepair || r.StopRepair
		h.clusters[r.Key.Name] = &c
	case api.FleetRole:
		view, err := r.Object.Fleet()
		if err != nil {
			h.broken[r.Key.Name] = fleetError{condition.Refused, err.Error()}
			return err
		}
		f := *view
		f.Spec.Suspend = r.IsSuspended()
		h.fleets[r.Key.Name] = &f
	}
	return nil
}

func (h *hub) remove(key api.Key) {
	delete(h.rows, key)
	switch key.Role() {
	case api.ClusterRole:
		h.templates.Clear()
		delete(h.clusters, key.Name)
	case api.FleetRole:
		h.templates.Clear()
		delete(h.fleets, key.Name)
		delete(h.broken, key.Name)
	}
}

// source returns a source of the hub that operators gave. If there is none, source returns nil.
func (h *hub) source(key api.Key) *api.Object {
	if row := h.rows[key]; row.Confined == nil {
		return row.Object
	}
	return nil
}

// selects reports whether a Fleet selects a cluster, or may select it because its selector is invalid.
func (h *hub) selects(fleet string, c *api.Cluster) bool {
	f, ok := h.fleets[fleet]
	if !ok {
		return false
	}
	selected, err := f.Selects(api.ClusterLabels(c.Name, c.Labels))
	return selected || err != nil
}

// rootsOf returns the roots that the Fleets give to a cluster, sorted by the names of the Fleets, and for each Fleet
// that selects the cluster its error; nil if it has none. If a template cannot be expanded, the roots that its Fleet
// gave last stay.
func (h *hub) rootsOf(c *api.Cluster, last map[api.Key]graph.Node) (roots []graph.Root, fleets map[string]error) {
	fleets = map[string]error{}
	for _, name := range slices.Sorted(maps.Keys(h.fleets)) {
		e := h.expand(expansion{h.fleets[name], c})
		if e.selected || e.err != nil {
			fleets[name] = e.err
		}
		if e.selected && e.err == nil {
			roots = append(roots, e.root)
		}
	}
	maps.Copy(fleets, h.broken)
	for key, node := range last {
		if node.Orphaned || !api.IsRoot(node.Owner) {
			continue
		}
		if err := fleets[node.Owner.Name]; err != nil {
			roots = append(roots, graph.Root{Key: key, Owner: node.Owner, Err: err})
		}
	}
	return roots, fleets
}

// admissions returns the Admission that each Fleet sets for the objects that it gives to a cluster.
func (h *hub) admissions(c *api.Cluster, fleets map[string]error) map[api.Key]api.Admission {
	all := map[api.Key]api.Admission{{}: {PassThrough: api.PassThroughOf(c.Spec.PassThrough)}}
	for name := range fleets {
		if f := h.fleets[name]; f != nil {
			all[api.FleetKey(name)] = api.Admission{
				KeepFlux: f.Spec.KeepFluxComponents, PassThrough: api.PassThroughOf(c.Spec.PassThrough, f.Spec.PassThrough),
			}
		}
	}
	return all
}

// withoutClusters names the Fleets that gave a root to the graph before and select no cluster at all now. Fleets are
// those that select the graph's cluster.
func (h *hub) withoutClusters(last map[api.Key]graph.Node, fleets map[string]error) map[string]bool {
	without := map[string]bool{}
	for _, node := range last {
		if !api.IsRoot(node.Owner) || h.fleets[node.Owner.Name] == nil {
			continue
		}
		name := node.Owner.Name
		if _, selects := fleets[name]; !selects && !without[name] {
			without[name] = !h.selectsAny(name)
		}
	}
	return without
}

func (h *hub) selectsAny(fleet string) bool {
	for _, c := range h.clusters {
		if h.selects(fleet, c) {
			return true
		}
	}
	return false
}

// expand expands a Fleet's template, if the Fleet selects the cluster.
func (h *hub) expand(x expansion) (e expanded) {
	if known, ok := h.templates.Load(x); ok {
		return known.(expanded)
	}
	defer func() { h.templates.Store(x, e) }()
	e.selected, e.err = x.fleet.Selects(api.ClusterLabels(x.cluster.Name, x.cluster.Labels))
	if e.err != nil || !e.selected {
		return e
	}
	if e.root.Object, e.err = api.ExpandTemplate(x.fleet, x.cluster); e.err != nil {
		return e
	}
	owner := api.FleetKey(x.fleet.Name)
	e.root.Owner, e.root.Key = &owner, e.root.Object.Key.In(x.cluster.Name)
	return e
}
