package status

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/reporting"
)

// Load gathers the world of one cluster and of the hub; with cluster "", of all clusters. The Fleets of a world of one
// cluster are without their clusters.
func Load(tx *store.Tx, cluster string) (*World, error) {
	w := NewWorld()
	r := NewReader(tx)
	r.withoutMembers = cluster != ""
	prefixes := []string{"/", cluster + "/"}
	if cluster == "" {
		prefixes = []string{""}
	}
	for _, prefix := range prefixes {
		err := store.Resources.Scan(tx, prefix, func(_ string, row store.Resource) error {
			f, err := r.facts(row)
			w.facts[row.Key] = f
			return err
		})
		if err == nil {
			err = r.others(prefix, func(f Facts) {
				if _, known := w.facts[f.Resource.Key]; !known {
					w.facts[f.Resource.Key] = f
				}
			})
		}
		if err != nil {
			return nil, err
		}
	}
	return w, nil
}

// Reader gathers facts in one transaction. It reads rows that many facts share once. It is not safe for concurrent use.
type Reader struct {
	tx             *store.Tx
	spokes         map[string]*store.Spoke
	plans          map[string]*planned
	desireds       map[string]*store.SignedBundle
	graphs         map[string]*clusterGraph
	sources        map[api.Key]Facts // of the hub; zero: there is none
	clusters       []store.Resource  // nil: not read yet
	reads          reads             // what the facts of the last Read depend on
	withoutMembers bool
}

// NewReader returns a Reader of the transaction.
func NewReader(tx *store.Tx) *Reader {
	return &Reader{
		tx: tx, spokes: map[string]*store.Spoke{}, plans: map[string]*planned{}, desireds: map[string]*store.SignedBundle{},
		graphs: map[string]*clusterGraph{}, sources: map[api.Key]Facts{}, reads: reads{},
	}
}

// Read gathers the facts about one object. False when there is no such object.
func (r *Reader) Read(key api.Key) (Facts, bool, error) {
	r.reads = reads{}
	row, err := get(r, store.Resources, key.Path())
	if err != nil || row == nil {
		return Facts{}, false, err
	}
	f, err := r.facts(*row)
	return f, err == nil, err
}

// Reads returns what the facts of the last Read depend on, also if there is no such object.
func (r *Reader) Reads() []Dependency { return slices.Collect(maps.Keys(r.reads)) }

// get returns a row, or nil when there is none.
func get[T any](r *Reader, table store.Table[T], key string) (*T, error) {
	r.reads.add(Dependency{table.Name(), key})
	row, ok, err := table.Get(r.tx, key)
	if err != nil || !ok {
		return nil, err
	}
	return &row, nil
}

// facts gathers what is known about one row, and about what it covers.
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
		if !r.withoutMembers {
			err = r.members(&f)
		}
	}
	if err == nil {
		err = r.waiting(&f)
	}
	return f, err
}

// own gathers what is known about one row alone.
func (r *Reader) own(row store.Resource) (f Facts, err error) {
	f.Resource = row
	if f.Condition, err = get(r, store.Conditions, row.Key.Path()); err != nil {
		return f, err
	}
	switch row.Key.Role() {
	case api.RenderableRole:
		err = r.application(&f)
	case api.ClusterRole:
		if f.Spoke, err = r.spoke(row.Key.Name); err == nil {
			f.Bundle, err = r.desired(row.Key.Name)
		}
		if err == nil {
			err = r.planOf(&f, row.Key.Name)
		}
	}
	return f, err
}

func (r *Reader) spoke(cluster string) (*store.Spoke, error) {
	r.reads.add(Dependency{store.Spokes.Name(), cluster})
	if s, ok := r.spokes[cluster]; ok {
		return s, nil
	}
	s, err := get(r, store.Spokes, cluster)
	r.spokes[cluster] = s
	return s, err
}

// application adds what the plan and the spoke say.
func (r *Reader) application(f *Facts) (err error) {
	key := f.Resource.Key
	if key.Cluster == "" {
		return nil
	}
	if f.Spoke, err = r.spoke(key.Cluster); err != nil {
		return err
	}
	if f.Bundle, err = r.desired(key.Cluster); err != nil {
		return err
	}
	if err := r.planOf(f, key.Cluster); err != nil {
		return err
	}
	if f.Report, err = r.report(key); err != nil {
		return err
	}
	return r.with(f)
}

// planOf adds what the plan of a cluster says.
func (r *Reader) planOf(f *Facts, cluster string) error {
	p, err := r.plan(cluster)
	if err != nil {
		return err
	}
	f.Entry, f.PlannedAt = p.entries[f.Resource.Key.Application()], p.at
	return nil
}

// report returns what the spoke said last about an application; nil when it said nothing.
func (r *Reader) report(key api.Key) (*spokev1.ApplicationReport, error) {
	row, err := get(r, store.Reports, key.Path())
	if err != nil || row == nil {
		return nil, err
	}
	return readReport(key, *row)
}

func readReport(key api.Key, row store.Report) (*spokev1.ApplicationReport, error) {
	report, err := reporting.ReadApplication(row.Value)
	if err != nil {
		return nil, fmt.Errorf("read the report about %s: %w", key, err)
	}
	return report, nil
}

// planned is the plan of a cluster.
type planned struct {
	entries map[bundle.ApplicationName]*store.Entry
	at      time.Time
}

func (r *Reader) plan(cluster string) (*planned, error) {
	r.reads.add(Dependency{store.Plans.Name(), cluster})
	if p := r.plans[cluster]; p != nil {
		return p, nil
	}
	plan, _, err := store.Plans.Get(r.tx, cluster)
	p := &planned{entries: map[bundle.ApplicationName]*store.Entry{}, at: plan.ChangedAt}
	for i, e := range plan.Applications {
		p.entries[e.Name] = &plan.Applications[i]
	}
	r.plans[cluster] = p
	return p, err
}

// desired returns the newest bundle of a cluster; nil when there is none.
func (r *Reader) desired(cluster string) (*store.SignedBundle, error) {
	r.reads.add(Dependency{store.SignedBundles.Name(), cluster})
	if d, ok := r.desireds[cluster]; ok {
		return d, nil
	}
	d, err := get(r, store.SignedBundles, cluster)
	r.desireds[cluster] = d
	return d, err
}

// fetched adds what was fetched of a source.
func (r *Reader) fetched(f *Facts) error {
	source, err := f.Resource.Object.Source()
	if err != nil {
		return err
	}
	f.Fetched, err = get(r, store.Sources, source.FetchKey(f.Resource.Bound()))
	return err
}

// readClusters reads the Clusters once.
func (r *Reader) readClusters() error {
	r.reads.add(allClusters)
	if r.clusters != nil {
		return nil
	}
	r.clusters = []store.Resource{}
	return store.Resources.Scan(r.tx, allClusters.Key, func(_ string, row store.Resource) error {
		r.clusters = append(r.clusters, row)
		return nil
	})
}

// others visits what is known about objects that are no resources, among what is known about those that are: objects
// that were refused and never became one, and applications that left the graph and that the spoke still has.
func (r *Reader) others(prefix string, visit func(Facts)) error {
	err := store.Conditions.Scan(r.tx, prefix, func(path string, o store.Condition) error {
		if key, ok := api.ParseKey(path); ok {
			visit(Facts{Resource: store.Resource{Key: key}, Condition: &o})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return store.Reports.Scan(r.tx, prefix, func(path string, row store.Report) error {
		key, ok := api.ParseKey(path)
		if !ok {
			return nil
		}
		report, err := readReport(key, row)
		visit(Facts{Resource: store.Resource{Key: key}, Report: report})
		return err
	})
}
