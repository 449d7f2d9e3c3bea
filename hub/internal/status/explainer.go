package status

import (
	"cmp"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
)

// explainer collects the explanations for a key.
type explainer struct {
	world     *World
	key       api.Key
	causes    *causes
	all       []*entry
	explained map[cause][]*entry
}

// entry is an explanation with its rank.
type entry struct {
	*adminv1.Explanation
	rank int // failures, Clusters and Fleets that quote them, waits and warnings, what operators want
}

// compare orders entries by their rank, and those of one rank by their age.
func (e *entry) compare(other *entry) int {
	return cmp.Or(cmp.Compare(e.rank, other.rank), e.Since.AsTime().Compare(other.Since.AsTime()),
		KeyOf(e.Object).Compare(KeyOf(other.Object)), strings.Compare(e.Reason, other.Reason),
		strings.Compare(e.Message, other.Message))
}

// rankOf returns the rank of an explanation of an object with a verdict.
func rankOf(e *adminv1.Explanation, v verdict) int {
	switch {
	case isWish(e.Reason):
		return 3
	case v.ready == condition.Unknown, e.Reason == api.ImageUpdateIncomplete:
		return 2
	}
	return 0
}

// explain adds the causes that explain the state of an object, and what none of them explains.
func (x *explainer) explain(f Facts) {
	own := cause{key: f.Resource.Key}
	isAsked := x.key.Kind != "" && x.key.Name != "" && f.named(x.key)
	list := x.causes.of(f)
	if isAsked && !f.rollsUp() && len(list) > 0 {
		list = []cause{own}
	}
	for _, at := range list {
		x.add(at)
	}
	if f.rollsUp() && isAsked {
		x.addQuoting(f)
	}
	if f.role() != api.RenderableRole {
		if f.isPinned() && len(list) > 0 && list[0] != own {
			e := f.explainPin(verdict{})
			x.all = append(x.all, &entry{e, rankOf(e, verdict{})})
		}
		return
	}
	if len(list) > 0 && list[0] != own {
		x.addBeside(f, list[0])
	}
	x.addAbsent(f)
}

// add adds the explanations of a cause once.
func (x *explainer) add(at cause) {
	f, known := x.world.facts[at.key]
	if _, done := x.explained[at]; done || !known {
		return
	}
	x.explained[at] = nil
	if f.rollsUp() {
		for _, p := range x.causes.problems(f) {
			if p.reason == at.reason {
				x.put(at, p.explanation(x.world, f), p.verdict)
			}
		}
		return
	}
	v := x.causes.verdict(f)
	main, objects := x.world.explain(f, v)
	for _, e := range main {
		x.put(at, e, v)
	}
	for _, e := range objects {
		x.all = append(x.all, &entry{e, rankOf(e, v)})
	}
}

// put adds an explanation of a cause.
func (x *explainer) put(at cause, e *adminv1.Explanation, v verdict) {
	added := &entry{e, rankOf(e, v)}
	x.all = append(x.all, added)
	x.explained[at] = append(x.explained[at], added)
}

// addBeside adds what the cause of an application does not explain: objects that are not healthy, its suspension and
// its pin.
func (x *explainer) addBeside(f Facts, at cause) {
	v := x.causes.verdict(f)
	_, objects := x.world.explain(f, v)
	if s := f.suspension(); s != nil && at.reason != condition.Suspended {
		objects = append(objects, f.explainSuspension(s, verdict{}))
	}
	if f.isPinned() {
		objects = append(objects, f.explainPin(v))
	}
	for _, e := range objects {
		x.all = append(x.all, &entry{e, rankOf(e, verdict{})})
	}
}

// addAbsent adds the Cluster of an application if its spoke has no session: what is known about the application is as
// old as the last report.
func (x *explainer) addAbsent(f Facts) {
	cluster, ok := x.world.facts[api.ClusterKey(f.Resource.Key.Cluster)]
	if !ok || f.Resource.Key.Cluster == "" {
		return
	}
	at, ok := x.causes.absent(cluster)
	if direct, derived := x.causes.direct(f); ok && (!derived || direct != at) {
		x.add(at)
	}
}

// addQuoting adds the verdict about a Cluster or Fleet that is named and that is not ready because of others.
func (x *explainer) addQuoting(f Facts) {
	v := x.causes.verdict(f)
	own := x.causes.problems(f)
	if v.ready == condition.True || slices.ContainsFunc(own, func(p problem) bool { return p.reason == v.reason }) {
		return
	}
	e := problem{verdict: v}.explanation(x.world, f)
	added := &entry{e, rankOf(e, v)}
	listed := map[api.Key]bool{}
	for at := range x.explained {
		listed[at.key] = true
	}
	if f.shortenCovered(e, listed) && added.rank == 0 {
		added.rank = 1
	}
	x.all = append(x.all, added)
}

// addAffected adds to each explanation the objects that it affects. If one of them has failed for that, the advice is
// not to wait.
func (x *explainer) addAffected() {
	for _, f := range x.world.facts {
		key := f.Resource.Key
		for _, at := range x.causes.of(f) {
			for _, e := range x.explained[at] {
				v := x.causes.verdict(f)
				if at.key == key || v.ready == condition.True {
					continue
				}
				e.Affects = append(e.Affects, KeyMessage(key))
				if v.ready == condition.False && v.reason != condition.DependencyNotReady && !f.rollsUp() {
					e.Advice, e.InVain = notWaiting(e.Advice), true
				}
			}
		}
	}
	for _, e := range x.all {
		slices.SortFunc(e.Affects, func(a, b *adminv1.ObjectKey) int { return KeyOf(a).Compare(KeyOf(b)) })
	}
}
