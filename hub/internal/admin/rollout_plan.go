package admin

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/release"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/wording"
)

// PlanRollout implements adminv1.AdminServiceServer.
func (s *Server) PlanRollout(ctx context.Context, r *adminv1.PlanRolloutRequest) (*adminv1.PlanRolloutResponse, error) {
	if _, err := s.operator(ctx); err != nil {
		return nil, err
	}
	var response *adminv1.PlanRolloutResponse
	err := s.store.View(ctx, func(tx *store.Tx) error {
		fleet, err := fleetToPlan(tx, r)
		if err != nil {
			return err
		}
		response, err = planRollout(tx, fleet)
		return err
	})
	return response, s.fail(err)
}

// fleetToPlan returns the Fleet of a request: that of the manifest, or the one that the hub has.
func fleetToPlan(tx *store.Tx, r *adminv1.PlanRolloutRequest) (*api.Fleet, error) {
	if len(r.GetManifest()) > 0 {
		return parseFleet(r.GetFleet(), r.GetManifest())
	}
	p, err := readPaced(tx, r.GetFleet())
	if err != nil {
		return nil, err
	}
	return p.row.Object.Fleet()
}

// parseFleet returns the Fleet of a name in a manifest.
func parseFleet(name string, text []byte) (*api.Fleet, error) {
	objects, err := manifest.Parse(text)
	if err != nil || len(objects) != 1 {
		return nil, status.Errorf(codes.InvalidArgument, "want the manifest of one Fleet: %v",
			cmp.Or(err, fmt.Errorf("it has %s", wording.Count(len(objects), "object"))))
	}
	o, err := api.Admit(objects[0], api.Hub)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "the manifest is refused: %v", err)
	}
	fleet, err := o.Fleet()
	switch {
	case err != nil:
		return nil, status.Errorf(codes.InvalidArgument, "the manifest is of no Fleet: %v", err)
	case fleet.Name != name:
		return nil, status.Errorf(codes.InvalidArgument, "the manifest is of Fleet %s, not of %s", fleet.Name, name)
	case fleet.Spec.Rollout == nil:
		return nil, status.Errorf(codes.InvalidArgument, "Fleet %s of the manifest has no spec.rollout: a change goes to "+
			"all of its clusters at once", name)
	}
	return fleet, nil
}

// planRollout returns the clusters that a Fleet selects, or gives content to, in the order of their turns.
func planRollout(tx *store.Tx, fleet *api.Fleet) (*adminv1.PlanRolloutResponse, error) {
	response := &adminv1.PlanRolloutResponse{}
	stages := fleet.Spec.Rollout.AllStages()
	index := map[string]int{}
	sizes := make([]int, len(stages))
	err := store.Resources.ScanApart(tx, api.ClusterKey("").Path(), func(_ string, row store.Resource) error {
		c, err := planCluster(tx, fleet, row)
		if err != nil || c == nil {
			return err
		}
		at := fleet.Spec.Rollout.Stage(api.ClusterLabels(c.Cluster, row.Object.Labels()))
		c.Stage, index[c.Cluster] = stages[at].Name, at
		sizes[at]++
		response.Clusters = append(response.Clusters, c)
		return nil
	}, func(string, error) error { return nil }) // nobody knows what a damaged Cluster says
	for _, c := range response.Clusters {
		at := index[c.Cluster]
		c.Concurrency = uint32(min(stages[at].Concurrency(sizes[at]), sizes[at]))
	}
	isUnhealthy := func(c *adminv1.PlannedCluster) int { return min(len(c.Unhealthy), 1) }
	slices.SortFunc(response.Clusters, func(a, b *adminv1.PlannedCluster) int {
		return cmp.Or(cmp.Compare(index[a.Cluster], index[b.Cluster]), cmp.Compare(isUnhealthy(a), isUnhealthy(b)),
			strings.Compare(a.Cluster, b.Cluster))
	})
	return response, err
}

// planCluster returns what a rollout of a Fleet would mean for a cluster; nil if the cluster is not part of it.
func planCluster(tx *store.Tx, fleet *api.Fleet, row store.Resource) (*adminv1.PlannedCluster, error) {
	name := row.Key.Name
	plan, _, err := store.Plans.GetIntact(tx, name)
	last, _, err2 := store.Releases.GetIntact(tx, name)
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	planned, released := release.DigestOf(fleet.Name, plan.Applications), release.DigestOf(fleet.Name, last.Applications)
	selected, err := fleet.Selects(api.ClusterLabels(name, row.Object.Labels()))
	if err != nil || !selected && released.IsZero() {
		return nil, err
	}
	c := &adminv1.PlannedCluster{Cluster: name}
	switch {
	case !selected:
		c.Change = adminv1.PlannedChange_PLANNED_CHANGE_LEAVES
	case planned.IsZero(): // the planner has not got there, or the Fleet is not the hub's
	case planned == released:
		c.Change = adminv1.PlannedChange_PLANNED_CHANGE_NONE
	default:
		c.Change = adminv1.PlannedChange_PLANNED_CHANGE_CHANGES
	}
	c.Excluded, err = excludedFrom(tx, row)
	if err == nil {
		c.Unhealthy, err = unhealthyIn(tx, name, fleet.Name, last.Applications)
	}
	return c, err
}

// excludedFrom says why a cluster would not take up a change now; empty: it would.
func excludedFrom(tx *store.Tx, row store.Resource) (string, error) {
	pin, err := readPin(tx, row.Key.Name)
	if err != nil {
		return "", err
	}
	spoke, _, err := store.Spokes.GetIntact(tx, row.Key.Name)
	switch {
	case err != nil:
		return "", err
	case pin != nil:
		return "it is pinned", nil
	case row.IsSuspended():
		return "it is suspended", nil
	case !spoke.Connected && !spoke.HasRegistered():
		return "it has never been connected", nil
	case !spoke.Connected:
		return "it is offline since " + wording.Time(spoke.Since), nil
	}
	return "", nil
}

// unhealthyIn says which released application of a Fleet is not ready in a cluster; empty: all are.
func unhealthyIn(tx *store.Tx, cluster, fleet string, released []store.Entry) (string, error) {
	for _, e := range released {
		if e.Fleet != fleet || e.Suspended {
			continue
		}
		row, ok, err := store.Reports.GetIntact(tx, api.ApplicationKey(cluster, e.Name).Path())
		if err != nil {
			return "", err
		}
		report, err := reporting.ReadApplication(row.Value)
		switch {
		case err != nil || !ok || !bytes.Equal(report.GetDigest(), e.Digest[:]):
			return fmt.Sprintf("%s is not applied yet", e.Name), nil
		case report.GetReady() != condition.True:
			return fmt.Sprintf("%s: %s: %s", e.Name, report.GetReason(), report.GetMessage()), nil
		}
	}
	return "", nil
}
