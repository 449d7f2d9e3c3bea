package status

import (
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
)

// problem is something about a Cluster or Fleet itself that no object below it explains.
type problem struct {
	verdict
	session bool // of the Cluster and its spoke
}

// isWish reports whether a reason is of what an operator wants, and not of a failure.
func isWish(reason string) bool { return reason == condition.Suspended || reason == condition.Pinned }

// problems returns the problems of a Cluster or Fleet.
func (c *causes) problems(f Facts) []problem {
	key := f.Resource.Key
	if list, known := c.own[key]; known {
		return list
	}
	c.own[key] = nil // ends the recursion over below
	v := c.verdict(f)
	list := f.wishes(v)
	switch role := f.role(); {
	case f.Damaged != nil:
		list = append(list, problem{verdict: v})
	case role == api.ClusterRole:
		list = append(list, f.clusterProblems()...)
	case role == api.FleetRole:
		list = append(list, c.fleetProblems(f)...)
	}
	c.own[key] = list
	explains := func(p problem) bool { return !isWish(p.reason) || p.reason == v.reason }
	isFailure := func(at cause) bool { return !c.isWanted(at) }
	if v.ready != condition.True && !slices.ContainsFunc(list, explains) && !slices.ContainsFunc(c.below(f), isFailure) {
		list = append(list, problem{verdict: v})
		c.own[key] = list
	}
	return list
}

// wishes returns the suspension and the pin of a Cluster or Fleet.
func (f Facts) wishes(v verdict) (list []problem) {
	if s := f.suspension(); s != nil {
		message, _ := s.now(f)
		if v.ready == condition.True && v.message != "" {
			message += "; " + v.message
		}
		list = append(list, problem{verdict: pending(condition.Suspended, message, s.since)})
	}
	if f.Pin != nil && f.role() == api.ClusterRole {
		list = append(list, problem{verdict: pending(condition.Pinned, f.pinText(), f.Pin.PinnedAt)})
	}
	return list
}

// clusterProblems returns what is wrong with a Cluster and its spoke.
func (f Facts) clusterProblems() (list []problem) {
	if own := f.sessionVerdict(); own.ready != condition.True {
		list = append(list, problem{own, true})
	}
	if hub := f.hubVerdict(); hub.ready == condition.False && !isAboutObjects(hub) {
		list = append(list, problem{verdict: hub})
	}
	if registered(f.Spoke) && f.Spoke.Connected && f.Spoke.Unreported > 0 {
		list = append(list, problem{verdict: f.unreportedVerdict()})
	}
	if upgrade := f.upgradeVerdict(); upgrade.ready != condition.True {
		list = append(list, problem{verdict: upgrade})
	}
	return list
}

// fleetProblems returns what is wrong with a Fleet, and with its members as far as no Cluster or object explains it.
func (c *causes) fleetProblems(f Facts) []problem {
	v := c.verdict(f)
	if hub := f.hubVerdict(); hub.ready != condition.True || len(f.Members) == 0 {
		return []problem{{verdict: v}}
	}
	if own, ok := f.rolloutVerdict(); ok {
		return []problem{{verdict: own}}
	}
	for _, m := range f.Members {
		if own := m.memberVerdict(); own.ready != condition.True && !c.isExplained(m) {
			v.ready, v.reason, v.since = own.ready, own.reason, own.since
			v.message = m.Resource.Key.Name + ": " + own.message
			return []problem{{verdict: v}}
		}
	}
	return nil
}

// isExplained reports whether a cause explains why a member of a Fleet is not ready.
func (c *causes) isExplained(m Facts) bool {
	for _, object := range m.Covered {
		if _, ok := c.unready(object.Resource.Key); ok {
			return true
		}
	}
	return len(c.ofMember(m.Resource.Key)) > 0
}

// explanation returns the explanation of a problem.
func (p problem) explanation(w *World, f Facts) *adminv1.Explanation {
	return &adminv1.Explanation{Object: KeyMessage(f.Resource.Key), Since: timestamppb.New(p.since), Reason: p.reason,
		Message: p.message, Advice: w.adviceOf(f, p.verdict)}
}
