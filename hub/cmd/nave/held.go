package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// outlook is what becomes of one cluster with a checkout.
type outlook struct {
	cluster string
	// now is what the cluster would run, and resumed what it would run if nothing were suspended. They are the same if
	// nothing is.
	now, resumed *plan.Previewed
	// stays are the reasons why the cluster stays at its release whatever the checkout has: its pin, its suspension.
	stays []string
	// holder returns what keeps an object of the hub as it is, or nil.
	holder func(api.Key) *api.Key
}

// outlooks walks clusters as they are, and as if nothing were suspended.
func outlooks(ctx context.Context, client adminv1.AdminServiceClient, now, resumed *plan.Preview, clusters []string,
	released *published) ([]*outlook, error) {
	all, err := previewAll(ctx, resumed, clusters)
	if err == nil {
		err = walkBelow(ctx, client, resumed, all)
	}
	if err != nil {
		return nil, err
	}
	var held []string // clusters in which something is suspended
	known := now.Clusters()
	for _, p := range all {
		if _, ok := slices.BinarySearch(known, p.Cluster); ok && now.Suspends(p) {
			held = append(held, p.Cluster)
		}
	}
	again, err := previewAll(ctx, now, held)
	if err == nil {
		err = walkBelow(ctx, client, now, again)
	}
	if err != nil {
		return nil, err
	}
	found := make([]*outlook, len(all))
	for i, p := range all {
		found[i] = &outlook{cluster: p.Cluster, now: p, resumed: p, stays: pinText(released.pins[p.Cluster]),
			holder: func(key api.Key) *api.Key { return holderAbove(now, resumed, key) }}
		if at, ok := slices.BinarySearch(held, p.Cluster); ok {
			found[i].now = again[at]
		}
		found[i].freeze(now)
	}
	return found, nil
}

// pinText says that a cluster is pinned; nil if it is not.
func pinText(p *adminv1.Pin) []string {
	switch {
	case p == nil:
		return nil
	case p.GetSequence() == 0: // damaged in the hub's store
		return []string{"pinned until `nave release`"}
	}
	return []string{fmt.Sprintf("pinned to release %d until `nave release`", p.GetSequence())}
}

// pinnedAt says that a release of Helm is pinned to a revision; nil if it is not, or if it is to be removed.
func pinnedAt(a publishedApplication, next manifest.Digest) []string {
	if a.pinned == 0 || next.IsZero() {
		return nil
	}
	return []string{fmt.Sprintf("the release is pinned to revision %d until `nave release helmrelease`", a.pinned)}
}

// freeze adds that the Cluster is suspended, or that the hub does not get to know of it.
func (o *outlook) freeze(now *plan.Preview) {
	key := api.ClusterKey(o.cluster)
	switch suspended, known := now.Frozen(o.cluster); {
	case suspended:
		o.stays = append(o.stays, "the Cluster is suspended")
	case !known:
		o.stays = append(o.stays, heldBy(o.holder(key)))
	}
}

// holderAbove returns what keeps an object of the hub as it is: a renderable above it, in the hub's own graph, that is
// suspended or whose source is. If there is none, holderAbove returns nil.
func holderAbove(now, resumed *plan.Preview, key api.Key) *api.Key {
	for n := 0; n < maxAbove; n++ {
		if holder, held := now.Holders[key]; held {
			return &holder
		}
		owner := resumed.OwnerOf(key)
		if owner == nil {
			owner = now.OwnerOf(key)
		}
		if owner == nil {
			return nil
		}
		key = *owner
	}
	return nil
}

// heldBy says what is suspended.
func heldBy(holder *api.Key) string {
	if holder == nil {
		return "something that it depends on is suspended"
	}
	return holder.Local() + " is suspended"
}

// holderOf returns what keeps an Application as it is: its own holder, or that of the nearest object above it, or the
// only holder in the cluster, or that of its Fleet or the Cluster in the hub; nil if there is none.
func (o *outlook) holderOf(name bundle.ApplicationName,
	released map[bundle.ApplicationName]publishedApplication) *api.Key {
	key := api.ApplicationKey(o.cluster, name)
	for n := 0; n < maxAbove && key.Role() != api.FleetRole; n++ {
		if holder, held := o.now.Holders[key]; held {
			return &holder
		}
		owner := o.resumed.Nodes[key].GivenBy()
		if owner == nil {
			owner = o.now.Nodes[key].GivenBy()
		}
		if parent := released[key.Application()].parent; owner == nil && parent != (bundle.ApplicationName{}) {
			above := api.ApplicationKey(o.cluster, parent)
			owner = &above
		}
		if owner == nil {
			break
		}
		key = *owner
	}
	if len(o.now.Holders) == 1 { // it reads variables from there
		for _, holder := range o.now.Holders {
			return &holder
		}
	}
	for _, key := range []api.Key{{Kind: key.Kind, Namespace: key.Namespace, Name: key.Name}, api.ClusterKey(o.cluster)} {
		if holder := o.holder(key); holder != nil {
			return holder
		}
	}
	return nil
}

// effective returns the Applications that the cluster would have: those of the walk, and of the others those that
// stay as they were released.
func (k *keeper) effective(p *plan.Previewed) map[bundle.ApplicationName]publishedApplication {
	all := map[bundle.ApplicationName]publishedApplication{}
	for name, old := range k.released {
		if at, kept := k.keeps(name, 0); kept && k.reasons[at] != "" {
			all[name] = old
		}
	}
	for i := range p.Applications {
		a := &p.Applications[i]
		n := p.Nodes[a.Key]
		next := publishedApplication{key: a.Key, fleet: a.Fleet, digest: a.Digest, orphanOnDelete: n.OrphanOnDelete,
			orphaned:      k.released[a.Application.Name].orphaned,
			pruneDisabled: n.Object.Marks().IsPruneDisabled()}
		if owner := n.GivenBy(); owner != nil {
			next.parent = owner.Application()
		}
		if k.released[a.Application.Name].digest != a.Digest {
			next.local = a
		}
		all[a.Application.Name] = next
	}
	return all
}
