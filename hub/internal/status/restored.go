package status

import (
	"fmt"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
)

// restored reports whether the application left the graph, and its cluster is pinned and has it or shall have it again.
func (f Facts) restored() bool {
	return f.Resource.Object == nil && f.Pin != nil && (f.Report != nil || f.Entry != nil)
}

// restoredVerdict returns the verdict about an application that a cluster has only until the end of its pin.
func (f Facts) restoredVerdict() verdict {
	if f.Entry != nil && f.behind() {
		return f.behindVerdict(verdict{since: f.Pin.PinnedAt})
	}
	v := f.spokeVerdict()
	v.message += fmt.Sprintf(". Git does not have it any more: it goes with the end of the pin (%s)", f.releasing())
	return v
}

// readRestored returns the facts about an application that left the graph, if its cluster is pinned and has it or shall
// have it again.
func (r *Reader) readRestored(key api.Key) (f Facts, ok bool, err error) {
	p, err := r.plan(key.Cluster)
	if err != nil || p.pin == nil {
		return f, false, err
	}
	at, has := contentOf(p.pin.Applications, key.Application())
	f, err = r.own(store.Resource{Key: key})
	if f.Entry, f.Superseded = nil, p.pin.PinnedAt; has {
		f.Entry = &store.Entry{Content: p.pin.Applications[at]}
	}
	return f, err == nil && f.restored(), err
}

// addRestored adds the applications that a cluster has, or shall have again, only until the end of its pin.
func (r *Reader) addRestored(cluster string, facts map[api.Key]Facts) error {
	p, err := r.plan(cluster)
	if err != nil || p.pin == nil {
		return err
	}
	keys := map[api.Key]bool{}
	for _, content := range p.pin.Applications {
		keys[api.ApplicationKey(cluster, content.Name)] = true
	}
	for key, f := range facts {
		if key.Cluster == cluster && f.Report != nil {
			keys[key] = true
		}
	}
	for key := range keys {
		if f, known := facts[key]; known && (f.Resource.Object != nil || f.Condition != nil || f.Damaged != nil) {
			continue
		}
		f, ok, err := r.readRestored(key)
		if err != nil {
			return err
		}
		if ok {
			facts[key] = f
		}
	}
	return nil
}

// addLeft adds to a member of a Fleet the applications that left the graph and that the cluster still has or shall have
// again. If it is not known which Fleet gave one, every Fleet of the cluster covers it.
func (r *Reader) addLeft(fleet api.Key, g *clusterGraph, member *Facts) error {
	for key, f := range g.facts {
		if f.Resource.Object != nil || f.Report == nil && !f.restored() || f.verdict().ready == condition.True {
			continue
		}
		from, err := r.fleetOf(key)
		if err != nil {
			return err
		}
		if from == "" || from == fleet.Name {
			member.Covered = append(member.Covered, f)
		}
	}
	return nil
}

// fleetOf returns the name of the Fleet that gave an application that left the graph: as the pin of the cluster says,
// or the newest release that has it. If none of them has it, fleetOf returns "".
func (r *Reader) fleetOf(key api.Key) (string, error) {
	p, err := r.plan(key.Cluster)
	if err != nil {
		return "", err
	}
	if p.pin != nil {
		if fleet := fleetIn(p.pin.Applications, key.Application()); fleet != "" {
			return fleet, nil
		}
	}
	keys, err := r.releases(key.Cluster)
	for _, release := range slices.Backward(keys) {
		past, err := cached(r, r.pasts, store.History, release)
		if err != nil {
			return "", err
		}
		if past == nil {
			continue
		}
		if fleet := fleetIn(past.Applications, key.Application()); fleet != "" {
			return fleet, nil
		}
	}
	return "", err
}

// fleetIn returns the name of the Fleet that an application of a sorted list comes from; "" if the list does not say.
func fleetIn(list []store.Content, name bundle.ApplicationName) string {
	if at, has := contentOf(list, name); has {
		return list[at].Fleet
	}
	return ""
}

// contentOf finds an application in a sorted list.
func contentOf(list []store.Content, name bundle.ApplicationName) (at int, has bool) {
	return slices.BinarySearchFunc(list, name,
		func(c store.Content, name bundle.ApplicationName) int { return c.Name.Compare(name) })
}
