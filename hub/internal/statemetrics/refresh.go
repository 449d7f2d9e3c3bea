package statemetrics

import (
	"context"
	"maps"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
)

// page is how many summaries are computed in one View.
const page = 100

// refresh computes the stale summaries.
func (c *Collector) refresh(ctx context.Context) error {
	if c.stale.all {
		if err := c.markAll(ctx); err != nil {
			return err
		}
	}
	for keys := range slices.Chunk(slices.SortedFunc(maps.Keys(c.stale.objects), api.Key.Compare), page) {
		if err := c.objects(ctx, keys); err != nil {
			return err
		}
	}
	for names := range slices.Chunk(slices.Sorted(maps.Keys(c.stale.clusters)), page) {
		if err := c.clusters(ctx, names); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.Now()
	if c.state.settle() {
		c.stale.all = true // objects of clusters get series again, with the next refresh
	}
	c.current = true
	return nil
}

// markAll marks everything that the store or the state has.
func (c *Collector) markAll(ctx context.Context) error {
	var paths []string
	err := c.Store.View(ctx, func(tx *store.Tx) error {
		paths = nil
		for _, table := range []func(*store.Tx, string, func(string, int) error) error{
			store.Resources.Sizes, store.Conditions.Sizes,
		} {
			err := table(tx, store.OfCluster(""), func(path string, _ int) error {
				paths = append(paths, path)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, path := range paths {
		if key, ok := api.ParseKey(path); ok {
			c.stale.mark(key)
		}
	}
	for name := range c.state.clusters {
		c.stale.clusters[name] = true
	}
	for key := range c.state.objects {
		c.stale.objects[key] = true
	}
	c.stale.all = false
	return nil
}

// objects computes the summaries of objects of the hub.
func (c *Collector) objects(ctx context.Context, keys []api.Key) error {
	var found []*object
	var reads [][]status.Dependency
	err := c.Store.View(ctx, func(tx *store.Tx) error {
		found, reads = make([]*object, len(keys)), make([][]status.Dependency, len(keys))
		r := status.NewReader(tx)
		for i, key := range keys {
			s, ok, err := r.Summarize(key)
			if err != nil {
				return err
			}
			if ok {
				found[i], reads[i] = &object{Summary: s}, r.Reads()
			}
		}
		return nil
	})
	if err == nil {
		c.keepObjects(keys, found, reads)
	}
	return err
}

// keepObjects replaces the summaries of objects of the hub; nil removes one.
func (c *Collector) keepObjects(keys []api.Key, found []*object, reads [][]status.Dependency) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, key := range keys {
		delete(c.stale.objects, key)
		last := ""
		if was := c.state.objects[key]; was != nil {
			last = was.group
		}
		if found[i] == nil {
			c.groups.remove(key, last)
			delete(c.state.objects, key)
			continue
		}
		found[i].group = c.groups.move(key, last, reads[i])
		c.state.objects[key] = found[i]
	}
}

// clusters computes the summaries of Clusters and of the objects of their graphs.
func (c *Collector) clusters(ctx context.Context, names []string) error {
	var found []*cluster
	var reads [][]status.Dependency
	err := c.Store.View(ctx, func(tx *store.Tx) error {
		found, reads = make([]*cluster, len(names)), make([][]status.Dependency, len(names))
		fleets, err := fleetsOf(tx)
		if err != nil {
			return err
		}
		r := status.NewReader(tx)
		for i, name := range names {
			s, ok, err := r.SummarizeCluster(name, fleets)
			if err != nil {
				return err
			}
			if ok {
				found[i], reads[i] = &cluster{ClusterSummary: s}, r.Reads()
			}
		}
		return nil
	})
	if err == nil {
		c.keepClusters(names, found, reads)
	}
	return err
}

// keepClusters replaces the summaries of clusters; nil removes one.
func (c *Collector) keepClusters(names []string, found []*cluster, reads [][]status.Dependency) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, name := range names {
		delete(c.stale.clusters, name)
		key, last := api.ClusterKey(name), ""
		if was := c.state.clusters[name]; was != nil {
			last = was.group
		}
		if found[i] == nil {
			c.groups.remove(key, last)
		} else {
			found[i].group = c.groups.move(key, last, reads[i])
		}
		c.state.put(name, found[i])
	}
}

// fleetsOf returns the Fleets of the hub without damaged ones.
func fleetsOf(tx *store.Tx) (fleets []store.Resource, err error) {
	prefix := api.FleetKey("").Path()
	err = store.Resources.ScanApart(tx, prefix, func(_ string, row store.Resource) error {
		fleets = append(fleets, row)
		return nil
	}, func(string, error) error { return nil }) // nobody knows what it selects
	return fleets, err
}
