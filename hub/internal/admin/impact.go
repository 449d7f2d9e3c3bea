package admin

import (
	"context"
	"errors"
	"maps"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// Impact implements adminv1.AdminServiceServer.
func (s *Server) Impact(ctx context.Context, r *adminv1.ImpactRequest) (*adminv1.ImpactResponse, error) {
	if _, err := s.operator(ctx); err != nil {
		return nil, err
	}
	var response *adminv1.ImpactResponse
	err := s.readApplications(ctx, s.store.View, func(tx *store.Tx, apps *applications) error {
		i, err := impactOf(tx, apps, r)
		if err == nil {
			response, err = i.message()
		}
		return err
	})
	return response, s.fail(err)
}

func impactOf(tx *store.Tx, apps *applications, r *adminv1.ImpactRequest) (*impact, error) {
	switch change := r.Change.(type) {
	case *adminv1.ImpactRequest_Delete:
		key, err := readKey(change.Delete)
		if err != nil {
			return nil, err
		}
		return impactOfDelete(tx, apps, key)
	case *adminv1.ImpactRequest_DeleteAll:
		keys, err := readKeys(change.DeleteAll.GetKeys())
		if err != nil {
			return nil, err
		}
		return impactOfDelete(tx, apps, keys...)
	case *adminv1.ImpactRequest_Apply:
		admitted, err := admit(filesOf(change.Apply, r.GetFiles())...)
		if err != nil {
			return nil, err
		}
		return impactOfApply(tx, apps, admitted)
	case *adminv1.ImpactRequest_Confirm:
		return impactOfConfirm(tx, apps, change.Confirm)
	case *adminv1.ImpactRequest_Release:
		return impactOfRelease(tx, apps, change.Release)
	}
	return nil, status.Error(codes.InvalidArgument, "the change is missing: set delete, delete_all, apply, confirm "+
		"or release")
}

// impact computes the objects that a change removes, from the rows of the store.
type impact struct {
	tx       *store.Tx
	apps     *applications
	rows     map[api.Key]store.Resource
	children map[api.Key][]api.Key // by owner, without orphaned objects
	fleets   []store.Resource

	gone    map[api.Key]bool       // objects that are removed
	usedBy  map[api.Key]bool       // objects that stay and need one that is deleted
	sizes   map[api.Key]int        // objects of applications that only the spoke knows
	prunes  map[api.Key]heldPrune  // held deletions within applications that stay
	unknown map[api.Key]bool       // objects of which it is not known what becomes of them, or what they render to
	damaged []api.Key              // objects whose rows are damaged
	sources []api.Key              // that give something else from now on
	plans   map[string]*store.Plan // by cluster, read so far; nil: damaged
}

// heldPrune is a set of objects that a spoke deletes only after an operator confirmed it.
type heldPrune struct {
	digest  manifest.Digest
	total   int
	objects []string
}

// newImpact reads the rows of one graph (store.OfCluster), or with "" those of all graphs.
func newImpact(tx *store.Tx, apps *applications, graph string) (*impact, error) {
	i := &impact{
		tx: tx, apps: apps, rows: map[api.Key]store.Resource{}, children: map[api.Key][]api.Key{}, gone: map[api.Key]bool{},
		usedBy: map[api.Key]bool{}, sizes: map[api.Key]int{}, prunes: map[api.Key]heldPrune{}, unknown: map[api.Key]bool{},
		plans: map[string]*store.Plan{},
	}
	err := store.Resources.ScanApart(tx, graph, func(_ string, row store.Resource) error {
		i.rows[row.Key] = row
		if row.Key.Role() == api.FleetRole {
			i.fleets = append(i.fleets, row)
		}
		if owner := row.GivenBy(); owner != nil {
			i.children[*owner] = append(i.children[*owner], row.Key)
		}
		return nil
	}, func(path string, _ error) error {
		if key, ok := api.ParseKey(path); ok {
			i.damaged = append(i.damaged, key)
		}
		return nil
	})
	return i, err
}

// doubt notes the objects with damaged rows in the graphs that lose an object: nobody knows whether they leave, too.
func (i *impact) doubt() {
	loses := map[string]bool{}
	for key := range i.gone {
		loses[api.ClusterOf(key.Path())] = true
		if key.Role() == api.ClusterRole {
			loses[key.Name] = true
		}
	}
	for _, key := range i.damaged {
		if loses[api.ClusterOf(key.Path())] && !i.gone[key] {
			i.unknown[key] = true
		}
	}
}

func impactOfDelete(tx *store.Tx, apps *applications, keys ...api.Key) (*impact, error) {
	i, err := newImpact(tx, apps, "")
	if err != nil {
		return nil, err
	}
	var refused refusals
	for _, key := range keys {
		if row, there := i.rows[key]; there {
			if err := refused.note("", requireOperators(tx, row, "deleted")); err != nil {
				return nil, err
			}
			i.remove(key)
		}
	}
	if err := refused.err(); err != nil {
		return nil, err
	}
	return i, i.findUsers(keys) // after all removals: what goes along uses nothing
}

// findUsers notes the objects that stay and need a source or a Secret of the hub.
func (i *impact) findUsers(keys []api.Key) error {
	needed := map[api.Key][]api.Key{} // by the names that objects use, which have no cluster
	for _, key := range keys {
		if key.Role() == api.SourceRole || key.Role() == api.CredentialRole {
			needed[key.In("")] = append(needed[key.In("")], key)
		}
	}
	if len(needed) == 0 {
		return nil
	}
	reader := fold.NewReader(i.tx)
	for key, row := range i.rows {
		if i.gone[key] {
			continue
		}
		find := i.namesOne
		if key.Role() == api.SourceRole {
			find = i.composedOfOne
		}
		uses, err := find(reader, row, needed)
		if err != nil {
			return err
		}
		if uses {
			i.usedBy[key] = true
		}
	}
	return nil
}

// selectsOne reports whether a source selects one of some sources by its labels.
func (i *impact) selectsOne(row store.Resource, selects *api.Selection, needed map[api.Key][]api.Key) bool {
	if selects == nil {
		return false
	}
	for _, keys := range needed {
		for _, key := range keys {
			if key.Cluster == row.Key.Cluster && key.Namespace == row.Key.Namespace && key.Kind == selects.Kind &&
				selects.Has(key.Kind, i.rows[key].Object.Labels()) {
				return true
			}
		}
	}
	return false
}

// composedOfOne reports whether a source names one of some Secrets, or reads or selects one of some sources.
func (i *impact) composedOfOne(_ *fold.Reader, row store.Resource, needed map[api.Key][]api.Key) (uses bool,
	err error) {
	view, err := row.Object.Source()
	if err != nil {
		return false, err
	}
	for _, r := range view.Secrets {
		if needed[api.Key{Kind: api.SecretKind, Namespace: row.Key.Namespace, Name: r.Name}] != nil {
			return true, nil
		}
	}
	if i.selectsOne(row, view.Selects, needed) {
		return true, nil
	}
	if !slices.ContainsFunc(view.Inputs, func(in api.SourceInput) bool { return needed[in.Key] != nil }) {
		return false, nil
	}
	_, _, _ = row.FetchOf(func(key api.Key) (store.Resource, bool, error) { // what is missing its Condition says
		found, exists := i.rows[key]
		uses = uses || exists && slices.Contains(needed[key.In("")], key)
		return found, exists, nil
	})
	return uses, nil
}

// namesOne reports whether an object, or the template of a Fleet, names one of some sources.
func (i *impact) namesOne(reader *fold.Reader, row store.Resource, needed map[api.Key][]api.Key) (bool, error) {
	name, ok := row.Object.SourceReference()
	if !ok || needed[name] == nil {
		return false, nil
	}
	found, err := reader.Source(row)
	return found != nil && slices.Contains(needed[name], found.Key), err
}

// remove marks an object and its descendants as removed. Children that outlive their owner stay, and so do the children
// of a suspended owner. If a Cluster is removed, its workloads stay.
func (i *impact) remove(key api.Key) {
	if i.gone[key] {
		return
	}
	i.gone[key] = true
	if i.rows[key].Suspended {
		return
	}
	for _, child := range i.children[key] {
		if !i.rows[child].OrphanOnDelete {
			i.remove(child)
		}
	}
}

// impactOfApply returns the impact of changed objects of the hub.
func impactOfApply(tx *store.Tx, apps *applications, admitted []admittedObject) (*impact, error) {
	i, err := newImpact(tx, apps, "")
	if err != nil {
		return nil, err
	}
	var refused refusals
	for _, a := range admitted {
		if err := refused.note(a.place, i.change(a)); err != nil {
			return nil, err
		}
	}
	if err := refused.err(); err != nil {
		return nil, err
	}
	return i, i.noteSources()
}

// change adds the impact of one changed object.
func (i *impact) change(a admittedObject) error {
	if a.key.Cluster != "" {
		return refuseGraph(i.tx, a.key)
	}
	row, there := i.rows[a.key]
	if !there || a.secret != nil {
		return nil
	}
	a, err := a.withoutDecisions(row)
	if err != nil || row.Object.Equal(a.object) {
		return err
	}
	if err := requireOperators(i.tx, row, "changed"); err != nil {
		return err
	}
	after := row
	after.Object = a.object
	switch a.key.Role() {
	case api.ClusterRole:
		return i.clusterChanges(after)
	case api.FleetRole:
		return i.fleetChanges(after)
	case api.SourceRole:
		return i.sourceChanges(row, after)
	}
	if !row.Object.SameSpec(a.object) && i.leadsTo(a.key) {
		i.unknown[a.key] = true
	}
	return nil
}

// leadsTo reports whether other objects depend on the content of an object: the children of a renderable object.
func (i *impact) leadsTo(key api.Key) bool {
	return key.Role() != api.RenderableRole || len(i.children[key]) > 0
}

// fleetChanges removes the roots of clusters that a changed Fleet does not select any more, or names differently.
func (i *impact) fleetChanges(fleet store.Resource) error {
	for _, root := range i.children[fleet.Key] {
		if err := i.reselect(fleet, i.rows[api.ClusterKey(root.Cluster)], root); err != nil {
			return err
		}
	}
	return nil
}

// clusterChanges removes the roots of Fleets that do not select a changed Cluster any more, or name its root
// differently.
func (i *impact) clusterChanges(cluster store.Resource) error {
	for _, fleet := range i.fleets {
		for _, root := range i.children[fleet.Key] {
			if root.Cluster != cluster.Key.Name {
				continue
			}
			if err := i.reselect(fleet, cluster, root); err != nil {
				return err
			}
		}
	}
	return nil
}

// reselect removes the root of a cluster if the Fleet does not give it any more.
func (i *impact) reselect(fleet, cluster store.Resource, root api.Key) error {
	if stays, err := i.gives(fleet, cluster, root); stays || err != nil {
		return err
	}
	another, err := i.givenByAnother(fleet.Key, cluster, root)
	switch {
	case err != nil:
		return err
	case another:
		i.unknown[root] = true
	default:
		i.remove(root)
	}
	return nil
}

// givenByAnother reports whether another Fleet gives a root of the same name to the cluster, so that the root stays.
func (i *impact) givenByAnother(fleet api.Key, cluster store.Resource, root api.Key) (bool, error) {
	for _, other := range i.fleets {
		if other.Key == fleet {
			continue
		}
		if given, err := i.gives(other, cluster, root); given || err != nil {
			return given, err
		}
	}
	return false, nil
}

// gives reports whether a Fleet gives the root to a cluster. If the template of the Fleet is invalid, or one of the two
// rows is damaged, the root stays.
func (i *impact) gives(fleetRow, clusterRow store.Resource, root api.Key) (bool, error) {
	fleet, err := fleetRow.Object.Fleet()
	if err != nil {
		return true, nil // the planner holds its roots
	}
	cluster, err := clusterRow.Object.Cluster()
	if err != nil {
		return true, nil // the planner leaves its rows alone
	}
	if selected, err := fleet.Selects(api.ClusterLabels(cluster.Name, cluster.Labels)); err != nil || !selected {
		return err != nil, nil
	}
	o, err := api.ExpandTemplate(fleet, cluster)
	return err != nil || o.Key.Namespace == root.Namespace && o.Key.Name == root.Name, nil
}

// message returns the impact as a message. If Applications are missing, the error is errUnread.
func (i *impact) message() (*adminv1.ImpactResponse, error) {
	i.doubt()
	m := &adminv1.ImpactResponse{}
	clusters := clusterImpacts{}
	for _, key := range sortedKeys(i.gone) {
		switch role := key.Role(); {
		case key.Cluster == "" && role == api.ClusterRole:
			clusters.of(key.Name).Forgotten = true
		case key.Cluster == "":
			m.HubObjects = append(m.HubObjects, fold.KeyMessage(key))
		case role == api.RenderableRole:
			a, err := i.application(key)
			if err != nil {
				return nil, err
			}
			c := clusters.of(key.Cluster)
			c.Applications = append(c.Applications, a)
		}
	}
	for _, key := range sortedKeys(i.prunes) {
		p, c := i.prunes[key], clusters.of(key.Cluster)
		c.Applications = append(c.Applications,
			&adminv1.ApplicationImpact{Key: fold.KeyMessage(key), Objects: uint32(p.total), Pruned: p.objects})
	}
	if len(i.apps.missing) > 0 {
		return nil, errUnread
	}
	for _, name := range slices.Sorted(maps.Keys(clusters)) {
		m.Clusters = append(m.Clusters, clusters[name])
	}
	m.Unknown, m.UsedBy = keyMessages(i.unknown), keyMessages(i.usedBy)
	return m, i.name(m)
}

// clusterImpacts are impacts by cluster.
type clusterImpacts map[string]*adminv1.ClusterImpact

// of returns the impact on a cluster. If there is none, of adds an empty one.
func (c clusterImpacts) of(name string) *adminv1.ClusterImpact {
	if c[name] == nil {
		c[name] = &adminv1.ClusterImpact{Cluster: name}
	}
	return c[name]
}

// name sets the digest of the message, which identifies exactly this impact.
func (i *impact) name(m *adminv1.ImpactResponse) error {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return err
	}
	for _, key := range sortedKeys(i.prunes) { // the message lists only the first objects of a prune
		digest := i.prunes[key].digest
		data = append(data, digest[:]...)
	}
	m.Digest = manifest.DigestOf(data).String()
	return nil
}

// application returns the impact on the objects of a removed application.
func (i *impact) application(key api.Key) (*adminv1.ApplicationImpact, error) {
	m := &adminv1.ApplicationImpact{Key: fold.KeyMessage(key), Objects: uint32(i.sizes[key])}
	entry, planned, err := i.entry(key)
	if err != nil || !planned {
		m.Unreadable = i.plans[key.Cluster] == nil
		return m, err
	}
	row := i.rows[key]
	fleet, err := fold.NewReader(i.tx).Fleet(row)
	m.Orphaned = fleet != nil && fleet.IsSuspended() || row.IsSuspended()
	app := i.apps.get(entry.Digest)
	if app == nil { // if it was not read yet, message returns errUnread
		m.Unreadable = true
		return m, err
	}
	m.Objects = uint32(len(app.Objects))
	m.Orphaned = m.Orphaned || app.PolicyOnRemoval() == bundle.Orphan
	return m, err
}

// entry returns the entry of an application in the plan of its cluster, or false if there is none or the plan is
// damaged.
func (i *impact) entry(key api.Key) (store.Entry, bool, error) {
	plan, known := i.plans[key.Cluster]
	if !known {
		row, _, err := store.Plans.Get(i.tx, key.Cluster)
		switch {
		case err == nil:
			plan = &row
		case !errors.Is(err, store.ErrDamaged):
			return store.Entry{}, false, err
		}
		i.plans[key.Cluster] = plan
	}
	if plan == nil {
		return store.Entry{}, false, nil
	}
	at, planned := slices.BinarySearchFunc(plan.Applications, key.Application(),
		func(e store.Entry, name bundle.ApplicationName) int { return e.Name.Compare(name) })
	if !planned {
		return store.Entry{}, false, nil
	}
	return plan.Applications[at], true, nil
}

// keyMessages returns keys as messages, sorted.
func keyMessages(keys map[api.Key]bool) (messages []*adminv1.ObjectKey) {
	for _, key := range sortedKeys(keys) {
		messages = append(messages, fold.KeyMessage(key))
	}
	return messages
}

func sortedKeys[V any](m map[api.Key]V) []api.Key {
	return slices.SortedFunc(maps.Keys(m), api.Key.Compare)
}
