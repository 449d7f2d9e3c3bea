package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/wording"
)

// suspension is why, and since when, an object is left as it is.
type suspension struct {
	with  api.Key // the Fleet or Cluster that it is suspended with; zero: it is suspended itself
	by    string  // in words
	since time.Time
}

// suspension returns the suspension of an object; nil when it is not suspended.
func (f Facts) suspension() *suspension {
	s := &suspension{since: f.Resource.SuspendedAt}
	switch {
	case f.Resource.Suspended:
		s.by = "by an operator"
	case f.spec().Suspend:
		s.by = "by spec.suspend"
	case f.With != nil:
		return f.With
	default:
		return nil
	}
	if s.since.IsZero() { // written by a hub that did not note it
		s.since = f.Resource.Created
	}
	return s
}

// text says since when the object is suspended, and what waits for its end.
func (s *suspension) text(f Facts) string {
	text := fmt.Sprintf("Suspended %s since %s", s.by, wording.Time(s.since))
	if f.Resource.Key.Kind == api.ClusterKind {
		if f.Resource.StopRepair || f.spec().StopRepair {
			text += ", drift is not repaired"
		} else {
			text += ", drift is repaired"
		}
	}
	if len(f.Waiting) > 0 {
		text += ", " + strings.Join(f.Waiting, ", ") + " waits"
	}
	return text
}

// inForce reports whether the suspension holds wherever it has to: on the hub, and on the spokes that would go on
// otherwise. Else why says who does not know of it yet.
func (f Facts) inForce() (ok bool, why string) {
	switch key := f.Resource.Key; {
	case key.Kind == api.KustomizationKind && key.Cluster != "" && f.Entry != nil:
		return f.heard(key.Cluster, f.Entry.Suspended)
	case key.Kind == api.ClusterKind && (f.Outcome == nil || !f.Outcome.Frozen):
		return false, "the hub has not come to it yet"
	case key.Kind == api.ClusterKind && (f.Resource.StopRepair || f.spec().StopRepair):
		return f.heard(key.Name, true)
	case key.Kind == api.FleetKind:
		for _, m := range f.Members {
			for _, c := range m.Covered {
				if c.Resource.Key.Kind != api.KustomizationKind {
					continue
				}
				if ok, why := c.inForce(); !ok {
					return false, why
				}
			}
		}
	}
	return true, ""
}

// heard reports whether the spoke of a cluster has the newest plan. One that never registered runs nothing.
func (f Facts) heard(cluster string, planned bool) (ok bool, why string) {
	switch {
	case !registered(f.Spoke):
		return true, ""
	case !planned:
		return false, "the hub has not come to it yet"
	case f.Desired != nil && !f.Desired.ChangedAt.Before(f.PlannedAt) && acked(f.Spoke, f.Desired, store.AckReceived):
		return true, ""
	case !f.Spoke.Connected:
		return false, fmt.Sprintf("the spoke of cluster %s has not heard of it: it has been offline since %s", cluster,
			wording.Time(f.Spoke.Since))
	}
	return false, fmt.Sprintf("the spoke of cluster %s has not heard of it yet", cluster)
}

// with notes the Fleet or Cluster that a Kustomization is suspended with, if it is not suspended itself.
func (r *Reader) with(f *Facts) error {
	if f.Entry == nil || !f.Entry.Suspended || f.Resource.IsSuspended() {
		return nil
	}
	cluster := api.ClusterKey(f.Resource.Key.Cluster)
	row, err := get(r, store.Resources, cluster.Path())
	if err != nil {
		return err
	}
	if row != nil && row.IsSuspended() && (row.StopRepair || Facts{Resource: *row}.spec().StopRepair) {
		f.With = &suspension{with: cluster, by: "with " + cluster.String(), since: row.SuspendedAt}
		return nil
	}
	row = &f.Resource
	for depth := 0; row.Owner != nil && !row.Orphaned && depth < maxDepth; depth++ {
		key := *row.Owner
		if row, err = get(r, store.Resources, key.Path()); err != nil || row == nil {
			return err
		}
		if key.Kind == api.FleetKind && row.IsSuspended() {
			f.With = &suspension{with: key, by: "with " + key.String(), since: row.SuspendedAt}
		}
	}
	return nil
}

// waiting notes the revisions that Git has and that do not reach what is suspended.
func (r *Reader) waiting(f *Facts) error {
	if f.suspension() == nil {
		return nil
	}
	list := []Facts{*f}
	for _, m := range slices.Concat(f.Members, list) {
		list = append(list, m.Covered...)
	}
	for _, object := range list {
		if object.Entry == nil {
			continue
		}
		newest, source, err := r.newest(object)
		if err != nil {
			return err
		}
		if newest != "" && newest != object.Entry.Revision {
			f.Waiting = append(f.Waiting, newest+" of "+source.String())
		}
	}
	slices.Sort(f.Waiting)
	f.Waiting = slices.Compact(f.Waiting)
	return nil
}

// newest returns the revision that was fetched last of the source of a Kustomization.
func (r *Reader) newest(f Facts) (revision string, source api.Key, err error) {
	for _, key := range f.sourceKeys() {
		row, err := get(r, store.Resources, key.Path())
		if err != nil {
			return "", key, err
		}
		if row == nil {
			continue
		}
		s := Facts{Resource: *row}
		if err := r.fetched(&s); err != nil || s.Fetched == nil || s.Fetched.Artifact == nil {
			return "", key, err
		}
		return s.Fetched.Artifact.Revision, key, nil
	}
	return "", api.Key{}, nil
}

// suspendedMembers names the clusters of a Fleet that are suspended.
func (f Facts) suspendedMembers() string {
	var names []string
	for _, m := range f.Members {
		if m.suspension() != nil {
			names = append(names, m.Resource.Key.Name)
		}
	}
	return wording.List(names, len(names), 3)
}

// withSuspension says in the verdict about a Cluster or Fleet that it is suspended, or that its clusters are.
func (f Facts) withSuspension(v verdict) verdict {
	if s := f.suspension(); s != nil {
		v.message = strings.TrimSuffix(s.text(f)+"; "+v.message, "; ")
	}
	if names := f.suspendedMembers(); names != "" {
		v.message += "; suspended: " + names
	}
	return v
}
