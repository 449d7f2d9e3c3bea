package status

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/reporting"
)

// Load reads the world of one cluster and of the hub. If cluster is "", Load reads all clusters. In a world of one
// cluster the Fleets are without their members, and there are no other Clusters.
func Load(tx *store.Tx, cluster string) (*World, error) {
	w := newWorld()
	r := NewReader(tx)
	r.withoutMembers = cluster != ""
	names, err := []string{cluster}, error(nil)
	if cluster == "" {
		names, err = r.clusterNames()
	}
	isOther := func(key api.Key) bool {
		return cluster != "" && key.Role() == api.ClusterRole && key.Name != cluster
	}
	for _, prefix := range prefixesOfHub(cluster) {
		if err == nil {
			err = r.scan(prefix, w.facts, func(row store.Resource) (Facts, error) {
				if isOther(row.Key) {
					return Facts{}, nil
				}
				return r.facts(row)
			})
		}
	}
	maps.DeleteFunc(w.facts, func(key api.Key, _ Facts) bool { return isOther(key) })
	for _, name := range names {
		if err == nil {
			err = r.loadCluster(name, w.facts)
		}
	}
	return w, err
}

// prefixesOfHub returns the prefixes of the paths of the objects of the hub in a world of a cluster, which leave out
// the rows of other Clusters except those whose names begin with its name. If cluster is "", these are all.
func prefixesOfHub(cluster string) (prefixes []string) {
	if cluster == "" {
		return []string{store.OfCluster("")}
	}
	for _, kind := range api.Kinds() {
		if kind.Role != api.ClusterRole {
			prefixes = append(prefixes, store.OfCluster("")+kind.Name+"/")
		}
	}
	return append(prefixes, api.ClusterKey(cluster).Path())
}

// clusterNames returns the names of the clusters of which the store has anything that readGraph reads.
func (r *Reader) clusterNames() ([]string, error) {
	names := map[string]bool{}
	note := func(path string, _ int) error {
		if name := api.ClusterOf(path); name != "" {
			names[name] = true
		}
		return nil
	}
	err := errors.Join(store.Resources.Sizes(r.tx, "", note), store.Conditions.Sizes(r.tx, "", note),
		store.Reports.Sizes(r.tx, "", note), store.Pins.Sizes(r.tx, "", func(name string, _ int) error {
			names[name] = true
			return nil
		}))
	return slices.Sorted(maps.Keys(names)), err
}

// loadCluster adds the objects of the graph of a cluster, as facts reads them.
func (r *Reader) loadCluster(name string, facts map[api.Key]Facts) error {
	g, err := r.graph(name)
	if err != nil {
		return err
	}
	for key, f := range g.facts {
		if key.Role() == api.SourceRole {
			err = r.fetched(&f)
		}
		if err == nil {
			err = r.waiting(&f)
		}
		if err != nil {
			return err
		}
		facts[key] = f
	}
	return nil
}

// Reader reads Facts in one transaction. It reads rows that many Facts share once. It is not safe for concurrent use.
type Reader struct {
	tx             *store.Tx
	spokes         map[string]*store.Spoke
	plans          map[string]*planned
	bundles        map[string]*store.SignedBundle
	refusals       map[string]*store.Refusal
	rollouts       map[string]*store.Rollout // the newest of each Fleet
	histories      map[string][]string       // keys, by cluster
	pasts          map[string]*store.Past    // by key
	graphs         map[string]*clusterGraph
	sources        map[api.Key]Facts // of the hub; zero: there is none
	events         map[api.Key][]store.Event
	clusters       []store.Resource // nil: not read yet
	reads          reads            // the dependencies of the facts of the last Read
	last           api.Key          // of the last Read
	lost           map[string]error // damaged rows of Resources, by their key
	damaged        map[string]error // by key, a damaged row of the other tables
	withoutMembers bool
}

// NewReader returns a Reader of the transaction.
func NewReader(tx *store.Tx) *Reader {
	return &Reader{
		tx: tx, spokes: map[string]*store.Spoke{}, plans: map[string]*planned{}, bundles: map[string]*store.SignedBundle{},
		refusals: map[string]*store.Refusal{}, rollouts: map[string]*store.Rollout{},
		histories: map[string][]string{}, pasts: map[string]*store.Past{},
		graphs: map[string]*clusterGraph{}, sources: map[api.Key]Facts{}, events: map[api.Key][]store.Event{},
		reads: reads{}, lost: map[string]error{}, damaged: map[string]error{},
	}
}

// Read reads the Facts about one object. If the object does not exist, Read returns false, unless the object is an
// application that left Git and that its cluster has: because the cluster is pinned, or the removal is held or fails.
func (r *Reader) Read(key api.Key) (Facts, bool, error) {
	r.reads, r.last = reads{}, key
	row, err := get(r, store.Resources, key.Path())
	if cause := r.lost[key.Path()]; cause != nil {
		return lost(key, cause), true, nil
	}
	if err != nil {
		return Facts{}, false, err
	}
	if row == nil {
		return r.heldFacts(key)
	}
	f, err := r.facts(*row)
	return f, err == nil, err
}

// heldFacts returns the facts about an application that left the graph of its cluster and that the cluster has: because
// it is pinned to a release with it, or because the removal is held or fails.
func (r *Reader) heldFacts(key api.Key) (Facts, bool, error) {
	if key.Role() != api.RenderableRole || key.Cluster == "" {
		return Facts{}, false, nil
	}
	if f, ok, err := r.readRestored(key); ok || err != nil {
		return f, ok, err
	}
	row, err := get(r, store.Reports, key.Path())
	if err != nil || row == nil {
		return Facts{}, false, err
	}
	report, err := readReport(key, *row)
	if err != nil || report.Reason != condition.RemovalHeld && report.Reason != condition.PruneFailed {
		return Facts{}, false, nil // it is about to go
	}
	return Facts{Resource: store.Resource{Key: key}, Report: report}, true, nil
}

// Reads returns the dependencies of the facts of the last Read, sorted, even if the object does not exist. The object's
// own rows (OwnRow) are not among them.
func (r *Reader) Reads() []Dependency { return r.reads.least(r.last) }

// get returns a row. If the row does not exist, get returns nil; also if it is damaged, which get notes.
func get[T any](r *Reader, table store.Table[T], key string) (*T, error) {
	r.reads.add(Dependency{table.Name(), key})
	row, ok, err := table.Get(r.tx, key)
	if errors.Is(err, store.ErrDamaged) {
		r.noteDamage(table.Name(), key, err)
		return nil, nil
	}
	if err != nil || !ok {
		return nil, err
	}
	return &row, nil
}

// facts reads the facts about one row, and about the objects that it covers.
func (r *Reader) facts(row store.Resource) (f Facts, err error) {
	if f, err = r.own(row); err != nil {
		return f, err
	}
	switch row.Key.Role() {
	case api.RenderableRole:
		err = r.await(&f)
	case api.SourceRole:
		err = r.fetched(&f)
	case api.ClusterRole:
		err = r.cover(&f)
	case api.FleetRole:
		if f.Rollout, err = r.rollout(row.Key.Name); err == nil && !r.withoutMembers {
			err = r.members(&f)
		}
	}
	if err == nil {
		err = r.waiting(&f)
	}
	return f, err
}

// own reads the facts about one row, without the objects that it covers.
func (r *Reader) own(row store.Resource) (f Facts, err error) {
	f, err = r.ofRows(row)
	f.Damaged = r.damage(row.Key)
	return f, err
}

func (r *Reader) ofRows(row store.Resource) (f Facts, err error) {
	f.Resource = row
	if f.Condition, err = get(r, store.Conditions, row.Key.Path()); err != nil {
		return f, err
	}
	cluster, role := api.ClusterOf(row.Key.Path()), row.Key.Role()
	if cluster == "" || role == api.SourceRole {
		return f, nil
	}
	p, err := r.ofCluster(&f, cluster)
	if err != nil || role != api.RenderableRole {
		return f, err
	}
	f.Entry = p.entries[row.Key.Application()]
	if err := r.turn(&f); err != nil {
		return f, err
	}
	if err := r.reported(&f); err != nil {
		return f, err
	}
	return f, r.with(&f)
}

// ofCluster adds the rows of the cluster of an object, and returns its plan.
func (r *Reader) ofCluster(f *Facts, cluster string) (p *planned, err error) {
	if f.Spoke, err = cached(r, r.spokes, store.Spokes, cluster); err != nil {
		return nil, err
	}
	if f.Bundle, err = cached(r, r.bundles, store.SignedBundles, cluster); err != nil {
		return nil, err
	}
	if f.Refusal, err = cached(r, r.refusals, store.Refusals, cluster); err != nil {
		return nil, err
	}
	if f.role() == api.ClusterRole {
		if f.Upgrade, err = get(r, store.Upgrades, cluster); err != nil {
			return nil, err
		}
	}
	if p, err = r.plan(cluster); err == nil {
		f.Pin, f.PlannedAt = p.pin, p.at
	}
	return p, err
}

// reported adds the last report of the spoke about an application, and since when the plan is another one.
func (r *Reader) reported(f *Facts) error {
	key := f.Resource.Key
	row, err := get(r, store.Reports, key.Path())
	if err != nil || row == nil {
		return err
	}
	if f.Report, err = readReport(key, *row); err != nil {
		r.noteDamage(store.Reports.Name(), key.Path(), err)
		return nil
	}
	if f.Entry != nil && f.behind() {
		f.Superseded, err = r.superseded(key.Cluster, *f)
	}
	return err
}

// cached returns a row that many facts share. If the row does not exist, cached returns nil.
func cached[T any](r *Reader, rows map[string]*T, table store.Table[T], key string) (row *T, err error) {
	r.reads.add(Dependency{table.Name(), key})
	row, read := rows[key]
	if !read {
		row, err = get(r, table, key)
		rows[key] = row
	}
	return row, err
}

// readReport decodes a report. If it cannot, the error is store.ErrDamaged.
func readReport(key api.Key, row store.Report) (*spokev1.ApplicationReport, error) {
	report, err := reporting.ReadApplication(row.Value)
	if err != nil {
		return nil, fmt.Errorf("%w: read the report about %s: %w", store.ErrDamaged, key, err)
	}
	return report, nil
}

// planned is the plan of a cluster, with the content of its pin.
type planned struct {
	entries map[bundle.ApplicationName]*store.Entry
	at      time.Time
	pin     *store.Pin // nil: the cluster is not pinned
}

func (r *Reader) plan(cluster string) (*planned, error) {
	r.reads.add(Dependency{store.Plans.Name(), cluster}, Dependency{store.Pins.Name(), cluster})
	if p := r.plans[cluster]; p != nil {
		return p, nil
	}
	plan := store.Plan{}
	row, err := get(r, store.Plans, cluster)
	if row != nil {
		plan = *row
	}
	p := &planned{entries: map[bundle.ApplicationName]*store.Entry{}, at: plan.ChangedAt}
	for i, e := range plan.Applications {
		p.entries[e.Name] = &plan.Applications[i]
	}
	if err == nil {
		err = r.pinned(cluster, p)
	}
	r.plans[cluster] = p
	return p, err
}

// pinned replaces the content of entries by that of the cluster's pin.
func (r *Reader) pinned(cluster string, p *planned) (err error) {
	if p.pin, err = get(r, store.Pins, cluster); err != nil || p.pin == nil {
		return err
	}
	for _, content := range p.pin.Applications {
		if e := p.entries[content.Name]; e != nil {
			e.Content = content
		}
	}
	return nil
}

// fetched adds the last fetch of a source.
func (r *Reader) fetched(f *Facts) (err error) {
	var failed error
	fetch, _, _ := f.Resource.FetchOf(func(key api.Key) (row store.Resource, exists bool, err error) {
		row, exists, err = r.resource(key)
		failed = err
		return row, exists, err
	})
	if failed != nil || fetch.Key == "" {
		return failed // other errors are in its Condition
	}
	f.Fetched, err = get(r, store.Sources, fetch.Key)
	return err
}

// readClusters reads the Clusters once.
func (r *Reader) readClusters() error {
	r.reads.add(allClusters)
	if r.clusters != nil {
		return nil
	}
	r.clusters = []store.Resource{}
	return store.Resources.ScanApart(r.tx, allClusters.Key, func(_ string, row store.Resource) error {
		r.clusters = append(r.clusters, row)
		return nil
	}, ignore) // nobody knows its labels
}

// scan reads the facts about all objects with a prefix: resources, objects that were refused before they became a
// resource, and applications that were removed from the graph and that the spoke still has.
func (r *Reader) scan(prefix string, facts map[api.Key]Facts, read func(store.Resource) (Facts, error)) error {
	err := store.Resources.ScanApart(r.tx, prefix, func(_ string, row store.Resource) (err error) {
		facts[row.Key], err = read(row)
		return err
	}, func(path string, cause error) error {
		if key, ok := api.ParseKey(path); ok {
			facts[key] = lost(key, cause)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = store.Conditions.ScanApart(r.tx, prefix, func(path string, o store.Condition) error {
		key, ok := api.ParseKey(path)
		if _, known := facts[key]; ok && !known {
			facts[key] = Facts{Resource: store.Resource{Key: key}, Condition: &o}
		}
		return nil
	}, ignore)
	if err != nil {
		return err
	}
	return store.Reports.ScanApart(r.tx, prefix, func(path string, row store.Report) error {
		key, ok := api.ParseKey(path)
		if _, known := facts[key]; !ok || known {
			return nil
		}
		if report, err := readReport(key, row); err == nil { // else it is passed over as damaged
			facts[key] = Facts{Resource: store.Resource{Key: key}, Report: report}
		}
		return nil
	}, ignore)
}

// ignore passes over a damaged row. If its object is a resource, own has noted it.
func ignore(string, error) error { return nil }
