package admin

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/wording"
)

// Confirm implements adminv1.AdminServiceServer.
func (s *Server) Confirm(ctx context.Context, r *adminv1.ConfirmRequest) (*adminv1.ConfirmResponse, error) {
	who, err := s.operator(ctx)
	if err != nil {
		return nil, err
	}
	response := &adminv1.ConfirmResponse{}
	err = s.readApplications(ctx, s.update, func(tx *store.Tx, apps *applications) error {
		i, err := impactOfConfirm(tx, apps, r.Key)
		if err != nil {
			return err
		}
		if response.Impact, err = i.message(); err != nil {
			return err
		}
		switch {
		case len(i.gone) == 0 && len(i.prunes) == 0:
			return nothingHeld(tx, r.Key)
		case response.Impact.Digest != r.Digest:
			return status.Error(codes.FailedPrecondition,
				"nothing was confirmed: the held removals changed after they were shown; look at them again")
		}
		if err := i.confirm(response.Impact, s.now().UTC()); err != nil {
			return err
		}
		return s.auditConfirmation(ctx, tx, r.Key, response.Impact)
	})
	if err == nil {
		s.did(who, "confirmed", fold.KeyOf(r.Key))
	}
	return response, s.fail(err)
}

// nothingHeld returns the error for a confirmation of what is not held. If the object does not exist, and its spoke
// does not report about it either, the error is NOT_FOUND. If the removal of the Cluster itself is held, the error
// says so: it is the hub that holds it.
func nothingHeld(tx *store.Tx, p *adminv1.ObjectKey) error {
	key := fold.KeyOf(p)
	if key.Cluster != "" {
		if err := requireClusterRow(tx, key.Cluster); err != nil {
			return err
		}
		_, reported, err := store.Reports.Get(tx, key.Path())
		if err == nil && !reported {
			err = requireRow(tx, key)
		}
		if err != nil {
			return err
		}
	}
	if kind, err := api.FindKind(key.Kind); err == nil && kind.Role == api.ClusterRole {
		row, _, err := store.Resources.Get(tx, api.ClusterKey(key.Name).Path())
		if err != nil {
			return err
		}
		if row.Held {
			return status.Errorf(codes.FailedPrecondition, "nothing was confirmed: no removal is held in the cluster. That of "+
				"Cluster %[1]s itself is: nave cluster remove %[1]s, nave cluster add %[1]s --adopt, or nave confirm hub", key.Name)
		}
	}
	return status.Error(codes.FailedPrecondition, "nothing was confirmed: no removal is held")
}

// errOtherImpact is the error of a change that takes away something else than the operator has seen.
var errOtherImpact = status.Error(codes.FailedPrecondition,
	"nothing was changed: the impact changed after it was shown; look at it again")

// requireSeen returns the message of an impact. seen is the digest of the impact that the operator has seen; if it
// differs from the present one, the error is errOtherImpact. An empty seen agrees to any impact.
func (i *impact) requireSeen(seen string) (*adminv1.ImpactResponse, error) {
	m, err := i.message()
	if err == nil && seen != "" && seen != m.Digest {
		err = errOtherImpact
	}
	return m, err
}

// confirmed records that the operator agrees to an impact, if the operator has seen it: see requireSeen.
func (s *Server) confirmed(i *impact, seen string) error {
	m, err := i.requireSeen(seen)
	if err != nil {
		return err
	}
	return i.confirm(m, s.now().UTC())
}

// impactOfConfirm returns the impact of letting the held removals go: those of the hub, or those of a cluster's graph
// and its spoke.
func impactOfConfirm(tx *store.Tx, apps *applications, p *adminv1.ObjectKey) (*impact, error) {
	if p.GetKind() == "" {
		i, err := newImpact(tx, apps, "")
		if err == nil {
			i.heldByHub("", nil)
		}
		return i, err
	}
	key, err := readKey(p)
	if err != nil {
		return nil, err
	}
	switch role := key.Role(); {
	case role == api.ClusterRole:
		if err := requireRow(tx, key); err != nil {
			return nil, err
		}
		return heldOf(tx, apps, key.Name, nil)
	case role == api.RenderableRole && key.Cluster != "":
		return heldOf(tx, apps, key.Cluster, &key)
	case role == api.RenderableRole:
		return nil, status.Errorf(codes.InvalidArgument, "%s: the cluster is missing: set --cluster, or confirm the held "+
			"removals of the hub's own objects with nave confirm hub", key)
	}
	return nil, status.Errorf(codes.InvalidArgument, "removals of %s are never held: confirm a cluster, an application "+
		"of a cluster, or the hub", wording.A(key.Kind))
}

// heldOf returns the impact of the held removals of a cluster. If only is set, it is limited to that object.
func heldOf(tx *store.Tx, apps *applications, cluster string, only *api.Key) (*impact, error) {
	i, err := newImpact(tx, apps, store.OfCluster(cluster))
	if err != nil {
		return nil, err
	}
	i.heldByHub(cluster, only)
	return i, i.heldBySpoke(cluster, only)
}

// heldByHub adds the removals that the planner holds. If only is set, it is limited to that object.
func (i *impact) heldByHub(cluster string, only *api.Key) {
	for key, row := range i.rows {
		if row.Held && key.Cluster == cluster && (only == nil || key == *only) {
			i.remove(key)
		}
	}
}

// heldBySpoke adds the removals and prunes that the spoke of a cluster holds, by its report.
func (i *impact) heldBySpoke(cluster string, only *api.Key) error {
	return store.Reports.ScanApart(i.tx, store.OfCluster(cluster), func(_ string, row store.Report) error {
		report, err := reporting.ReadApplication(row.Value)
		if err != nil {
			return nil // as if its row were damaged
		}
		key := api.ApplicationKey(cluster, bundle.NameFrom(report.Name))
		if only != nil && key != *only {
			return nil
		}
		if _, planned, err := i.entry(key); err != nil {
			return err
		} else if report.Reason == condition.RemovalHeld && !planned {
			i.gone[key] = true
			i.sizes[key] = int(report.Current + report.InProgress + report.Failed)
		}
		return i.heldPrune(key, report.HeldPrune)
	}, func(string, error) error { return nil }) // what it holds stays until the spoke reports again
}

// heldPrune adds the held prune of an application that stays.
func (i *impact) heldPrune(key api.Key, m *spokev1.HeldPrune) error {
	if m == nil {
		return nil
	}
	digest, err := manifest.DigestFromBytes(m.Digest)
	if err != nil {
		return fmt.Errorf("read the held prune of %s: %w", key, err)
	}
	p := heldPrune{digest: digest, total: int(m.Total)}
	for _, o := range m.Objects {
		p.objects = append(p.objects, bundle.ObjectFrom(o).ID().String())
	}
	i.prunes[key] = p
	return nil
}

// confirm records that the operator agrees to the impact, whose message is m.
func (i *impact) confirm(m *adminv1.ImpactResponse, now time.Time) error {
	byGraph := confirmations{}
	for key := range i.gone {
		if i.gone[api.ClusterKey(key.Cluster)] {
			continue // the Cluster is deleted, so its objects stay
		}
		c, err := byGraph.of(i.tx, key.Cluster)
		if err != nil {
			return err
		}
		c.Removals[key.Path()] = now
	}
	for key, p := range i.prunes {
		c, err := byGraph.of(i.tx, key.Cluster)
		if err != nil {
			return err
		}
		c.Prunes[key.Path()] = p.digest
	}
	for cluster, c := range byGraph {
		if err := store.Confirmations.Put(i.tx, store.ConfirmationKey(cluster), c); err != nil {
			return err
		}
	}
	return i.record(m, now)
}

// confirmations are the Confirmations by cluster; "" is the hub.
type confirmations map[string]store.Confirmation

// of returns the Confirmation of a cluster with non-nil maps.
func (byGraph confirmations) of(tx *store.Tx, cluster string) (c store.Confirmation, err error) {
	if c, known := byGraph[cluster]; known {
		return c, nil
	}
	if c, _, err = store.Confirmations.GetIntact(tx, store.ConfirmationKey(cluster)); err != nil {
		return c, err
	}
	if c.Removals == nil {
		c.Removals = map[string]time.Time{}
	}
	if c.Prunes == nil {
		c.Prunes = map[string]manifest.Digest{}
	}
	byGraph[cluster] = c
	return c, nil
}

// record writes an event for each cluster that loses objects. The event names them and the operator's agreement.
func (i *impact) record(m *adminv1.ImpactResponse, now time.Time) error {
	for _, c := range m.GetClusters() {
		if c.GetForgotten() {
			continue // the events of a deleted Cluster cannot be read
		}
		e := store.Event{
			Time: now, Object: api.ClusterKey(c.GetCluster()), Type: condition.Normal,
			Reason: condition.RemovalConfirmed, Message: "an operator let go of " + describeLoss(c.GetApplications()),
		}
		if err := store.Record(i.tx, e); err != nil {
			return err
		}
	}
	return nil
}

// describeLoss lists the applications that are removed, at most three by name.
func describeLoss(applications []*adminv1.ApplicationImpact) string {
	words := make([]string, 0, len(applications))
	for _, a := range applications {
		name, objects := fold.KeyOf(a.GetKey()).Local(), wording.Count(int(a.GetObjects()), "object")
		if a.GetUnreadable() {
			objects = "an unknown number of objects"
		}
		if a.GetOrphaned() {
			objects += ", left in the cluster"
		}
		if len(a.GetPruned()) > 0 {
			words = append(words, objects+" of "+name)
		} else {
			words = append(words, name+" ("+objects+")")
		}
	}
	return wording.List(words, len(words), 3)
}
