package admin

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/release"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
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
		response, err = planRollout(ctx, tx, fleet, len(r.GetManifest()) > 0)
		return err
	})
	return response, s.fail(err)
}

// fleetToPlan returns the Fleet of a request: that of the manifest, or the one that the hub has.
func fleetToPlan(tx *store.Tx, r *adminv1.PlanRolloutRequest) (*api.Fleet, error) {
	if len(r.GetManifest()) > 0 {
		return parseFleet(r.GetFleet(), r.GetManifest())
	}
	if r.GetFleet() == "" {
		return nil, status.Error(codes.InvalidArgument, "the name of the Fleet is missing")
	}
	row, err := resource(tx, api.FleetKey(r.GetFleet()))
	if err != nil {
		return nil, err
	}
	fleet, err := row.Object.Fleet()
	if err != nil {
		return nil, status.Errorf(codes.FailedPrecondition, "%s cannot be read: %v", row.Key, err)
	}
	return fleet, nil
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
	}
	return fleet, nil
}

// planRollout returns the clusters that a Fleet selects, or gives content to, in the order of their turns. The planner
// does not know an unknown Fleet, so that of its content only the roots are. With large variables and many clusters
// that takes long: it ends with ctx.
func planRollout(ctx context.Context, tx *store.Tx, fleet *api.Fleet, unknown bool) (*adminv1.PlanRolloutResponse,
	error) {
	response := &adminv1.PlanRolloutResponse{}
	spec := cmp.Or(fleet.Spec.Rollout, &api.RolloutSpec{}) // all in one stage
	stages := spec.AllStages()
	index := map[string]int{}
	sizes := make([]int, len(stages))
	err := store.Resources.ScanApart(tx, api.ClusterKey("").Path(), func(_ string, row store.Resource) error {
		if err := ctx.Err(); err != nil { // nobody waits for the answer
			return err
		}
		c, err := planCluster(tx, fleet, unknown, row)
		if err != nil || c == nil {
			return err
		}
		at := spec.Stage(api.ClusterLabels(c.Cluster, row.Object.Labels()))
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
func planCluster(tx *store.Tx, fleet *api.Fleet, unknown bool, row store.Resource) (*adminv1.PlannedCluster, error) {
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
	if selected && unknown {
		if err := planRoot(tx, c, fleet, row); err != nil {
			return nil, err
		}
	}
	addApplications(c, fleet.Name, plan.Applications, last.Applications)
	switch {
	case !selected:
		c.Change = adminv1.PlannedChange_PLANNED_CHANGE_LEAVES
	case c.Problem != "": // it keeps what it has
	case c.Root != "":
		c.Change = adminv1.PlannedChange_PLANNED_CHANGE_CHANGES
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

// planRoot notes how the root that a Fleet gives to a cluster differs from the one that the cluster has.
func planRoot(tx *store.Tx, c *adminv1.PlannedCluster, fleet *api.Fleet, row store.Resource) error {
	cluster, err := row.Object.Cluster()
	if err != nil {
		c.Problem = err.Error()
		return nil
	}
	root, err := api.ExpandTemplate(fleet, cluster)
	if err != nil {
		c.Problem = err.Error()
		return nil
	}
	was, ok, err := store.Resources.GetIntact(tx, root.Key.In(c.Cluster).Path())
	switch {
	case err != nil:
		return err
	case !ok:
		c.Root = fmt.Sprintf("%s is new", root.Key.Local())
	case !root.Equal(was.Object):
		fields, err := fieldsThatDiffer(root, was.Object)
		if err != nil {
			c.Problem = err.Error()
		} else if len(fields) > 0 {
			c.Root = fmt.Sprintf("%s: other %s", root.Key.Local(), strings.Join(fields, ", "))
		}
	}
	return nil
}

// fieldsThatDiffer returns the fields of metadata and spec in which two objects differ, sorted.
func fieldsThatDiffer(a, b *api.Object) (fields []string, err error) {
	x, err := a.Parse()
	y, err2 := b.Parse()
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	for _, part := range []string{"metadata", "spec"} {
		p, _ := x.Object[part].(map[string]any)
		q, _ := y.Object[part].(map[string]any)
		all := maps.Clone(q)
		maps.Copy(all, p)
		for name := range all {
			if !reflect.DeepEqual(p[name], q[name]) {
				fields = append(fields, part+"."+name)
			}
		}
	}
	slices.Sort(fields)
	return fields, nil
}

// maxPlannedApplications is how many applications of a cluster are listed.
const maxPlannedApplications = 10

// addApplications notes which applications of a Fleet a cluster would get, change or lose.
func addApplications(c *adminv1.PlannedCluster, fleet string, planned, released []store.Entry) {
	type pair struct{ planned, released *store.Entry }
	pairs := map[bundle.ApplicationName]pair{}
	for i, e := range planned {
		if e.Fleet == fleet {
			pairs[e.Name] = pair{planned: &planned[i]}
		}
	}
	for i, e := range released {
		if p := pairs[e.Name]; e.Fleet == fleet {
			pairs[e.Name] = pair{p.planned, &released[i]}
		}
	}
	for _, name := range slices.SortedFunc(maps.Keys(pairs), bundle.ApplicationName.Compare) {
		p := pairs[name]
		if p.planned != nil && p.released != nil && p.planned.Digest == p.released.Digest {
			continue
		}
		if len(c.Applications) == maxPlannedApplications {
			c.MoreApplications++
			continue
		}
		a := &adminv1.PlannedApplication{Kind: name.Kind, Namespace: name.Namespace, Name: name.Name}
		if p.planned != nil {
			a.Planned = &p.planned.Revision
		}
		if p.released != nil {
			a.Released = &p.released.Revision
		}
		c.Applications = append(c.Applications, a)
	}
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
