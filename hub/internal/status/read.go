package status

import (
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// Read gathers the facts about one object. False when there is no such object.
func Read(tx *store.Tx, key api.Key) (Facts, bool, error) {
	row, ok, err := store.Resources.Get(tx, key.Path())
	if err != nil || !ok {
		return Facts{}, false, err
	}
	f, err := newReader(tx).facts(row)
	return f, err == nil, err
}

// Load gathers the world of one cluster and of the hub; with cluster "", of all clusters.
func Load(tx *store.Tx, cluster string) (*World, error) {
	w := NewWorld()
	r := newReader(tx)
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
			err = r.refused(w, prefix)
		}
		if err != nil {
			return nil, err
		}
	}
	return w, nil
}

// reader reads rows that many facts share once.
type reader struct {
	tx       *store.Tx
	spokes   map[string]*store.Spoke
	plans    map[string]map[bundle.Owner]*bundle.Entry
	clusters []*api.Cluster // nil: not read yet
}

func newReader(tx *store.Tx) *reader {
	return &reader{tx: tx, spokes: map[string]*store.Spoke{}, plans: map[string]map[bundle.Owner]*bundle.Entry{}}
}

// get returns a row, or nil when there is none.
func get[T any](tx *store.Tx, table store.Table[T], key string) (*T, error) {
	row, ok, err := table.Get(tx, key)
	if err != nil || !ok {
		return nil, err
	}
	return &row, nil
}

// facts gathers what is known about one row.
func (r *reader) facts(row store.Resource) (f Facts, err error) {
	f.Resource = row
	if f.Outcome, err = get(r.tx, store.Outcomes, row.Key.Path()); err != nil {
		return f, err
	}
	switch row.Key.Kind {
	case api.KustomizationKind:
		err = r.application(&f)
	case api.GitRepositoryKind:
		err = r.source(&f)
	case api.ClusterKind:
		if f.Spoke, err = r.spoke(row.Key.Name); err == nil {
			f.Desired, err = get(r.tx, store.Desireds, row.Key.Name)
		}
	case api.FleetKind:
		err = r.members(&f)
	}
	return f, err
}

func (r *reader) spoke(cluster string) (*store.Spoke, error) {
	if s, ok := r.spokes[cluster]; ok {
		return s, nil
	}
	s, err := get(r.tx, store.Spokes, cluster)
	r.spokes[cluster] = s
	return s, err
}

// application adds what the plan and the spoke say.
func (r *reader) application(f *Facts) (err error) {
	key := f.Resource.Key
	if key.Cluster == "" {
		return nil
	}
	if f.Spoke, err = r.spoke(key.Cluster); err != nil {
		return err
	}
	entries, err := r.plan(key.Cluster)
	if err != nil {
		return err
	}
	f.Entry = entries[bundle.Owner{Kind: key.Kind, Namespace: key.Namespace, Name: key.Name}]
	report, err := get(r.tx, store.Reports, key.Path())
	if err != nil || report == nil {
		return err
	}
	f.Report = &spokev1.ApplicationReport{}
	if err := proto.Unmarshal(report.Value, f.Report); err != nil {
		return fmt.Errorf("read the report about %s: %w", key, err)
	}
	return nil
}

func (r *reader) plan(cluster string) (map[bundle.Owner]*bundle.Entry, error) {
	if entries, ok := r.plans[cluster]; ok {
		return entries, nil
	}
	plan, _, err := store.Plans.Get(r.tx, cluster)
	entries := map[bundle.Owner]*bundle.Entry{}
	for i, e := range plan.Applications {
		entries[e.Owner] = &plan.Applications[i]
	}
	r.plans[cluster] = entries
	return entries, err
}

func (r *reader) source(f *Facts) error {
	o, err := parse(f.Resource)
	if err != nil {
		return err
	}
	repository, err := api.AsGitRepository(o)
	if err != nil {
		return err
	}
	f.Fetched, err = get(r.tx, store.Sources, api.SourceKey(repository))
	return err
}

// members adds the clusters that a Fleet selects.
func (r *reader) members(f *Facts) error {
	o, err := parse(f.Resource)
	if err != nil {
		return err
	}
	fleet, err := api.AsFleet(o)
	if err != nil {
		return err
	}
	if err := r.readClusters(); err != nil {
		return err
	}
	for _, c := range r.clusters {
		if selected, err := fleet.Selects(c); err != nil || !selected {
			continue // the Fleet's Outcome says what is wrong
		}
		m := Member{Name: c.Name}
		if m.Spoke, err = r.spoke(c.Name); err != nil {
			return err
		}
		if m.Desired, err = get(r.tx, store.Desireds, c.Name); err != nil {
			return err
		}
		f.Members = append(f.Members, m)
	}
	return nil
}

func (r *reader) readClusters() error {
	if r.clusters != nil {
		return nil
	}
	r.clusters = []*api.Cluster{}
	return store.Resources.Scan(r.tx, "/"+api.ClusterKind+"/", func(_ string, row store.Resource) error {
		o, err := parse(row)
		if err != nil {
			return err
		}
		c, err := api.AsCluster(o)
		if err == nil {
			r.clusters = append(r.clusters, c)
		}
		return err
	})
}

// refused adds the objects that never became resources, because they are not valid.
func (r *reader) refused(w *World, prefix string) error {
	return store.Outcomes.Scan(r.tx, prefix, func(path string, o store.Outcome) error {
		key, ok := keyOfPath(path)
		if _, known := w.facts[key]; ok && !known {
			w.facts[key] = Facts{Resource: store.Resource{Key: key}, Outcome: &o}
		}
		return nil
	})
}

// parse returns a stored object as JSON values.
func parse(row store.Resource) (*manifest.Object, error) {
	o := &manifest.Object{}
	if err := json.Unmarshal(row.Object, &o.Object); err != nil {
		return nil, fmt.Errorf("read %s from the store: %w", row.Key, err)
	}
	return o, nil
}
