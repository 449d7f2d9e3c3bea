package upgrade

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/wording"
)

// wanted is what the Clusters and Fleets want.
type wanted struct {
	clusters map[string]cluster
	fleets   map[string]fleet // those with an image
}

type cluster struct {
	labels    labels.Labels
	spoke     api.SpokeSpec
	suspended bool
}

type fleet struct {
	spoke     api.SpokeSpec
	selector  labels.Selector
	suspended bool
}

// image is the image that is wanted for the spoke of one cluster.
type image struct {
	name      string
	fleets    []string // that want it, sorted; none: the Cluster does
	groups    []string
	suspended string // what suspends the upgrade; empty: nothing
	conflict  string // the reason why it is not clear which image is wanted; empty: it is
}

func newWanted() wanted { return wanted{clusters: map[string]cluster{}, fleets: map[string]fleet{}} }

// load reads all Clusters and Fleets, and forgets all facts.
func (l *Loop) load(ctx context.Context) error {
	l.wants = newWanted()
	l.images, l.dirty = nil, true
	clear(l.facts)
	l.rows = nil
	return l.Store.View(ctx, func(tx *store.Tx) error {
		for _, prefix := range []string{api.ClusterKey("").Path(), api.FleetKey("").Path()} {
			err := store.Resources.ScanApart(tx, prefix, func(_ string, row store.Resource) error {
				l.wants.set(row.Key, row)
				return nil
			}, func(string, error) error { return nil }) // nobody knows what a damaged row wants
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// read reads one Cluster or Fleet again.
func (l *Loop) read(ctx context.Context, key api.Key) error {
	l.images = nil
	return l.Store.View(ctx, func(tx *store.Tx) error {
		row, _, err := store.Resources.Get(tx, key.Path())
		if err == nil || errors.Is(err, store.ErrDamaged) {
			l.wants.set(key, row)
			err = nil
		}
		return err
	})
}

// set replaces what one Cluster or Fleet wants, or removes it if the row does not have it.
func (w wanted) set(key api.Key, row store.Resource) {
	switch key.Role() {
	case api.ClusterRole:
		delete(w.clusters, key.Name)
		if c, err := row.Object.Cluster(); err == nil {
			w.clusters[key.Name] = cluster{labels: api.ClusterLabels(c.Name, c.Labels), spoke: c.Spec.Spoke,
				suspended: row.IsSuspended()}
		}
	case api.FleetRole:
		delete(w.fleets, key.Name)
		f, err := row.Object.Fleet()
		if err != nil || f.Spec.Spoke.Image == "" {
			return
		}
		if selector, err := f.Selector(); err == nil { // otherwise the Fleet's Condition has the error
			w.fleets[key.Name] = fleet{f.Spec.Spoke, selector, row.IsSuspended()}
		}
	}
}

// resolve returns the wanted image of each cluster that has one, and how many clusters of each group are upgraded at a
// time.
func (w wanted) resolve() (images map[string]image, limits map[string]int) {
	images, limits = map[string]image{}, map[string]int{}
	members, fleets := map[string]int{}, slices.Sorted(maps.Keys(w.fleets))
	for name, c := range w.clusters {
		i := w.imageOf(c, fleets)
		if i.name == "" && i.conflict == "" {
			continue
		}
		images[name] = i
		for _, group := range i.groups {
			members[group]++
		}
	}
	for name, i := range images {
		for _, group := range i.groups {
			spec := w.clusters[name].spoke
			if len(i.fleets) > 0 {
				spec = w.fleets[group].spoke
			}
			n := spec.Concurrent(members[group])
			if limit, ok := limits[group]; ok {
				n = min(n, limit)
			}
			limits[group] = n
		}
	}
	return images, limits
}

// Conflicts returns by cluster why it is not clear which image its spoke is to run, for the Clusters and Fleets among
// objects of the hub.
func Conflicts(objects []*api.Object) map[string]string {
	w := newWanted()
	for _, o := range objects {
		w.set(o.Key, store.Resource{Key: o.Key, Object: o})
	}
	images, _ := w.resolve()
	found := map[string]string{}
	for name, i := range images {
		if i.conflict != "" {
			found[name] = i.conflict
		}
	}
	return found
}

// imageOf returns the image that is wanted for the spoke of a cluster: that of the Cluster, or else that of its Fleets,
// of which fleets has the sorted names. The Clusters that name one image themselves are a group.
func (w wanted) imageOf(c cluster, fleets []string) image {
	i := image{name: c.spoke.Image}
	if c.suspended {
		i.suspended = "the cluster is suspended"
	}
	if i.name != "" {
		i.groups = []string{"image " + i.name} // no name of a Fleet
		return i
	}
	same := true
	for _, name := range fleets {
		f := w.fleets[name]
		if !f.selector.Matches(c.labels) {
			continue
		}
		if f.suspended && i.suspended == "" {
			i.suspended = "Fleet " + name + " is suspended"
		}
		i.name = cmp.Or(i.name, f.spoke.Image)
		same = same && i.name == f.spoke.Image
		i.fleets = append(i.fleets, name)
	}
	i.groups = i.fleets
	if !same {
		i.name = ""
		i.conflict = fmt.Sprintf("Fleets %s want different images for its spoke: let one of them select the cluster, or set "+
			"spec.spoke.image of the Cluster", wording.List(i.fleets, len(i.fleets), 3))
	}
	return i
}
