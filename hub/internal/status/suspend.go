package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/wording"
)

// suspension is the cause and the start of a suspension.
type suspension struct {
	with  api.Key // the Fleet or Cluster that it is suspended with; zero: it is suspended itself
	by    string  // for messages: "by an operator"
	since time.Time
}

// suspension returns the suspension of an object. If the object is not suspended, suspension returns nil.
func (f Facts) suspension() *suspension {
	s := &suspension{since: cmp.Or(f.Resource.SuspendedAt, f.Resource.Created)} // an older hub noted no time
	switch {
	case f.Resource.Suspended:
		s.by = "by " + cmp.Or(identity.NameOf(f.Resource.SuspendedBy), "an operator")
	case f.With != nil: // before spec.suspend, which a suspended Fleet sets in its roots
		return f.With
	case f.Resource.Object.Suspended():
		s.by = "by spec.suspend"
	default:
		return nil
	}
	return s
}

// text returns the message about a suspension: its cause, its start, and the revisions that wait for its end.
func (s *suspension) text(f Facts) string {
	text := fmt.Sprintf("Suspended %s since %s", s.by, wording.Time(s.since))
	if f.role() == api.ClusterRole {
		text += ", " + f.repairs()
	}
	if len(f.Waiting) > 0 {
		text += ", " + strings.Join(f.Waiting, ", ") + " waits"
	}
	return text
}

// now returns text, with why the suspension is not in force yet, if it is not.
func (s *suspension) now(f Facts) (text string, inForce bool) {
	ok, why := f.inForce()
	return strings.TrimSuffix(s.text(f)+"; "+why, "; "), ok
}

// repairs says whether drift is repaired on a suspended Cluster.
func (f Facts) repairs() string {
	ok, _ := f.inForce()
	switch {
	case !f.stopsRepair():
		return "drift is repaired"
	case !ok:
		return "its spoke may go on repairing drift until it has received that"
	}
	return "drift is not repaired"
}

// inForce reports whether the suspension is in force on the hub, and on the spokes that would otherwise continue. If it
// is not, why names the hub or the spoke that has not received it yet.
func (f Facts) inForce() (ok bool, why string) {
	switch key, role := f.Resource.Key, f.role(); {
	case role == api.RenderableRole && key.Cluster != "" && f.Entry != nil:
		return f.heard(key.Cluster, f.Entry.Suspended)
	case role == api.ClusterRole && (f.Condition == nil || !f.Condition.Frozen):
		return false, "the hub has not processed it yet"
	case role == api.ClusterRole && f.stopsRepair():
		return f.heard(key.Name, true)
	case role == api.FleetRole:
		for _, m := range f.Members {
			for _, c := range m.Covered {
				if c.role() != api.RenderableRole {
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

// heard reports whether the spoke of a cluster has the newest plan. If the spoke never registered, heard returns true,
// because there is no spoke to suspend.
func (f Facts) heard(cluster string, planned bool) (ok bool, why string) {
	switch {
	case !registered(f.Spoke):
		return true, ""
	case !planned:
		return false, "the hub has not processed it yet"
	case f.Bundle != nil && !f.Bundle.ChangedAt.Before(f.PlannedAt) && acked(f.Spoke, f.Bundle, bundle.Received):
		return true, ""
	case !f.Spoke.Connected:
		return false, fmt.Sprintf("the spoke of cluster %s has not received it: it has been offline since %s", cluster,
			offlineSince(f.Spoke))
	}
	return false, fmt.Sprintf("the spoke of cluster %s has not received it yet", cluster)
}

// with sets the Fleet or Cluster that a renderable object is suspended with, unless the object itself is suspended.
func (r *Reader) with(f *Facts) error {
	if f.Entry == nil || !f.Entry.Suspended || f.Resource.Suspended {
		return nil
	}
	above, err := r.SuspendedAbove(f.Resource)
	if f.Resource.Object.Suspended() && !IsSuspendedRoot(f.Resource, above) {
		return err
	}
	for _, row := range above {
		if row.Key.Role() == api.FleetRole || (Facts{Resource: row}).stopsRepair() {
			f.With = &suspension{with: row.Key, by: "with " + row.Key.String(), since: row.SuspendedAt}
			break
		}
	}
	return err
}

// SuspendedAbove returns the Cluster and the Fleet of a renderable object of a cluster, if they are suspended. The
// spoke of a suspended Cluster repairs drift, unless the Cluster stops repairs.
func (r *Reader) SuspendedAbove(row store.Resource) (above []store.Resource, err error) {
	if row.Key.Role() != api.RenderableRole || row.Key.Cluster == "" {
		return nil, nil
	}
	cluster, err := get(r, store.Resources, api.ClusterKey(row.Key.Cluster).Path())
	if err != nil {
		return nil, err
	}
	fleet, err := r.Fleet(row)
	for _, row := range []*store.Resource{cluster, fleet} {
		if row != nil && row.IsSuspended() {
			above = append(above, *row)
		}
	}
	return above, err
}

// IsSuspendedRoot reports whether an object is the root of a suspended Fleet, which sets spec.suspend in it. above is
// what SuspendedAbove returns.
func IsSuspendedRoot(row store.Resource, above []store.Resource) bool {
	giver := row.GivenBy()
	return giver != nil && giver.Role() == api.FleetRole &&
		slices.ContainsFunc(above, func(a store.Resource) bool { return a.Key == *giver })
}

// Fleet returns the Fleet that an object comes from, through any number of owners. If there is none, or the Fleet does
// not exist any more, Fleet returns nil.
func (r *Reader) Fleet(row store.Resource) (fleet *store.Resource, err error) {
	key, ok := api.FleetAbove(row.Key, func(key api.Key) *api.Key {
		if key == row.Key {
			return row.GivenBy()
		}
		owner, failed := get(r, store.Resources, key.Path())
		if err = cmp.Or(err, failed); err != nil || owner == nil {
			return nil
		}
		return owner.GivenBy()
	})
	if err != nil || !ok {
		return nil, err
	}
	return get(r, store.Resources, key.Path())
}

// Source returns the source that an object names. If there is none that the object may use, or the object names none,
// Source returns nil.
func (r *Reader) Source(row store.Resource) (*store.Resource, error) {
	source, ok, err := row.FindSource(r.resource)
	if err != nil || !ok {
		return nil, err
	}
	return &source, nil
}

// resource returns the row of an object. If the row does not exist, resource returns false.
func (r *Reader) resource(key api.Key) (store.Resource, bool, error) {
	row, err := get(r, store.Resources, key.Path())
	if err != nil || row == nil {
		return store.Resource{}, false, err
	}
	return *row, true, nil
}

// waiting sets the fetched revisions that wait for the end of the object's suspension.
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
		if newest != nil && newest.Revision != object.Entry.Revision {
			n, err := r.artifactsSince(source, f.suspension().since)
			if err != nil {
				return err
			}
			f.Waiting = append(f.Waiting, newest.Revision+" of "+source.String()+behindBy(n))
		}
	}
	slices.Sort(f.Waiting)
	f.Waiting = slices.Compact(f.Waiting)
	return nil
}

// newest returns the last artifact of the source of a renderable object, and the key of the source. If there is no such
// artifact, newest returns nil.
func (r *Reader) newest(f Facts) (a *artifact.Artifact, source api.Key, err error) {
	row, err := r.Source(f.Resource)
	if err != nil || row == nil {
		return nil, api.Key{}, err
	}
	s := Facts{Resource: *row}
	if err := r.fetched(&s); err != nil || s.Fetched == nil {
		return nil, row.Key, err
	}
	return s.Fetched.Artifact, row.Key, nil
}

// suspendedMembers returns the names of the suspended clusters of a Fleet. If there are none, it returns "".
func (f Facts) suspendedMembers() string {
	var names []string
	for _, m := range f.Members {
		if m.suspension() != nil {
			names = append(names, m.Resource.Key.Name)
		}
	}
	return wording.List(names, len(names), 3)
}

// withSuspension adds the suspension of a Cluster or Fleet, or of its clusters, to the message of its verdict.
func (f Facts) withSuspension(v verdict) verdict {
	if s := f.suspension(); s != nil {
		v.message = strings.TrimSuffix(s.text(f)+"; "+v.message, "; ")
	}
	if names := f.suspendedMembers(); names != "" {
		v.message += "; suspended: " + names
	}
	return v
}
