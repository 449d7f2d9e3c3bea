package admin

import (
	"context"
	"maps"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
)

// pinEnd is the end of a cluster's pin: what the cluster has, and what the plan gives it from then on.
type pinEnd struct {
	cluster string
	now     []store.Content
	plan    store.Plan
	after   map[bundle.ApplicationName]store.Content
}

// readPinEnd reads the end of a cluster's pin. If the cluster is not pinned, the error is ALREADY_EXISTS.
func readPinEnd(tx *store.Tx, cluster string) (*pinEnd, error) {
	h, err := readHistory(tx, cluster)
	if err != nil {
		return nil, err
	}
	if h.pin == nil {
		return nil, status.Errorf(codes.AlreadyExists, "cluster %s is not pinned", cluster)
	}
	e := &pinEnd{cluster: cluster, now: h.now(), after: map[bundle.ApplicationName]store.Content{}}
	for _, c := range h.pin.Applications { // the release of the pin may not be made yet
		if !slices.ContainsFunc(e.now, func(n store.Content) bool { return n.Name == c.Name }) {
			e.now = append(e.now, c)
		}
	}
	e.plan, _, err = store.Plans.GetIntact(tx, cluster)
	for _, a := range e.plan.Applications {
		e.after[a.Name] = a.Content
	}
	return e, err
}

// leaves reports whether an application leaves the cluster with the pin. One whose objects stay does not, and one that
// the plan is not sure about stays for now.
func (e *pinEnd) leaves(name bundle.ApplicationName) bool {
	if _, stays := e.after[name]; stays || slices.Contains(e.plan.Pending, name) {
		return false
	}
	for _, m := range e.plan.Removals {
		if m.Name == name {
			return m.Policy != bundle.Orphan
		}
	}
	return !e.plan.Incomplete
}

// impactOfRelease returns the impact of the end of a cluster's pin: the applications that Git does not have any more,
// and the objects that left the others meanwhile.
func impactOfRelease(tx *store.Tx, apps *applications, cluster string) (*impact, error) {
	e, err := readPinEnd(tx, cluster)
	if err != nil {
		return nil, err
	}
	i, err := newImpact(tx, apps, store.OfCluster(cluster))
	if err != nil {
		return nil, err
	}
	given := map[manifest.ID]bool{} // by the plan
	for _, c := range e.after {
		if app := apps.get(c.Digest); app != nil {
			for _, o := range app.Objects {
				given[o.ID()] = true
			}
		}
	}
	for _, c := range e.now {
		if err := i.loses(e, c, given); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// loses adds the objects of an application that leave the cluster with the pin.
func (i *impact) loses(e *pinEnd, now store.Content, given map[manifest.ID]bool) error {
	key, app := api.ApplicationKey(e.cluster, now.Name), i.apps.get(now.Digest)
	owned, err := ownedBy(i.tx, key)
	if err != nil {
		return err
	}
	prunes := true
	if app != nil {
		for _, o := range app.Objects {
			owned[o.ID()] = true
		}
		prunes = app.PolicyOnRemoval() != bundle.Orphan
	}
	maps.DeleteFunc(owned, func(id manifest.ID, _ bool) bool { return given[id] })
	after, stays := e.after[now.Name]
	switch {
	case e.leaves(now.Name) && prunes:
		i.gone[key], i.sizes[key] = true, len(owned)
	case stays && len(owned) > 0:
		if next := i.apps.get(after.Digest); next != nil && next.Prune {
			i.prunes[key] = pruneOf(owned)
		}
	}
	return nil
}

// ownedBy returns the objects that an application owns by the report of its spoke.
func ownedBy(tx *store.Tx, key api.Key) (map[manifest.ID]bool, error) {
	owned := map[manifest.ID]bool{}
	row, _, err := store.Reports.GetIntact(tx, key.Path())
	if err != nil {
		return nil, err
	}
	if report, err := reporting.ReadApplication(row.Value); err == nil { // else as if its row were damaged
		for _, o := range report.Inventory {
			owned[bundle.ObjectFrom(o).ID()] = true
		}
	}
	return owned, nil
}

// pruneOf returns the deletion of objects of an application that stays.
func pruneOf(owned map[manifest.ID]bool) heldPrune {
	p := heldPrune{total: len(owned)}
	text := ""
	for id := range owned {
		p.objects = append(p.objects, id.String())
	}
	slices.Sort(p.objects)
	for _, name := range p.objects {
		text += name + "\n"
	}
	p.digest = manifest.DigestOf([]byte(text))
	p.objects = p.objects[:min(len(p.objects), maxChanges)]
	return p
}

// PreviewRelease implements adminv1.AdminServiceServer.
func (s *Server) PreviewRelease(ctx context.Context, r *adminv1.PreviewReleaseRequest) (
	*adminv1.PreviewReleaseResponse, error) {
	if _, err := s.operator(ctx); err != nil {
		return nil, err
	}
	response := &adminv1.PreviewReleaseResponse{}
	err := s.store.View(ctx, func(tx *store.Tx) error {
		e, err := readPinEnd(tx, r.GetCluster())
		if err != nil {
			return err
		}
		response.Applications = nil
		for _, c := range compareReleases(e.now, slices.Collect(maps.Values(e.after))) {
			m := c.message(r.GetCluster())
			if m.Change == adminv1.ApplicationChange_APPLICATION_CHANGE_REMOVED && !e.leaves(c.name()) {
				m.Change = adminv1.ApplicationChange_APPLICATION_CHANGE_KEPT
			}
			response.Applications = append(response.Applications, m)
		}
		return nil
	})
	return response, s.fail(err)
}
