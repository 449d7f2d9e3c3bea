package status

import (
	"maps"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
)

// shorten reports whether an explanation about f follows from the failure of another object. If that object is listed
// too, shorten replaces its quoted message by its reason, so that a cause is told once.
func (w *World) shorten(f Facts, e *adminv1.Explanation, listed func(Facts) bool) (derived bool) {
	if f.rollsUp() {
		return f.shortenCovered(e, listed)
	}
	if e.Reason != condition.DependencyNotReady {
		return e.Reason == condition.BundleTooLarge // the Cluster is listed first
	}
	chain, _ := w.chain(f)
	if len(chain) == 0 {
		return true
	}
	last := chain[len(chain)-1]
	v := last.verdict()
	if v.message != "" && v.ready == condition.False && listed(last) {
		e.Message = strings.Replace(e.Message, because(v), "failed ("+v.reason+")", 1)
	}
	return len(chain) > 1 || v.ready != condition.True // if it is True, the readyExpr of f itself is the cause
}

// shortenCovered is shorten for a Cluster or Fleet, which quotes the worst object that it covers.
func (f Facts) shortenCovered(e *adminv1.Explanation, listed func(Facts) bool) (derived bool) {
	for _, object := range f.below() {
		v := object.verdict()
		if v.message == "" || v.ready != condition.False || !listed(object) {
			continue
		}
		quoted := object.finding("").text
		if before, after, ok := strings.Cut(e.Message, quoted); ok {
			e.Message = before + ": " + v.reason + after
			e.Advice = fixNamed
			return true
		}
	}
	for _, m := range f.Members { // what is wrong with the cluster itself
		v := m.memberVerdict()
		before, after, ok := strings.Cut(e.Message, m.Resource.Key.Name+": "+v.message)
		if ok && v.message != "" && v.ready == condition.False && listed(m) {
			e.Message = before + m.Resource.Key.Name + ": " + v.reason + after
			e.Advice = fixNamed
			return true
		}
	}
	return false
}

// repeated returns the listed object whose verdict the explanation of a Cluster or Fleet repeats. If the explanation
// tells anything else, such as a suspension, repeated returns false.
func (f Facts) repeated(e *adminv1.Explanation, listed func(Facts) bool) (cause api.Key, ok bool) {
	if !f.rollsUp() || f.suspension() != nil {
		return api.Key{}, false
	}
	for _, object := range append(f.below(), f.Members...) {
		v, name := object.verdictBelow(), nameBelow(object)
		if v.ready != condition.True && v.reason == e.Reason && listed(object) && strings.Contains(e.Message, name+": ") {
			return object.Resource.Key, true
		}
	}
	return api.Key{}, false
}

// dropRepeated returns the explanations without those that repeat another one, which tells a failure or a wait.
func dropRepeated(all []*adminv1.Explanation, repeats map[*adminv1.Explanation]api.Key) []*adminv1.Explanation {
	causes := map[api.Key]bool{}
	for _, e := range all {
		_, isRepeat := repeats[e]
		if !isRepeat && !isWanted(e) {
			causes[KeyOf(e.Object)] = true
		}
	}
	return slices.DeleteFunc(all, func(e *adminv1.Explanation) bool {
		cause, ok := repeats[e]
		return ok && causes[cause]
	})
}

// verdictBelow returns the verdict about an object as a Cluster or Fleet covers it.
func (f Facts) verdictBelow() verdict {
	if f.role() == api.ClusterRole {
		return f.memberVerdict()
	}
	return f.verdict()
}

// nameBelow returns the name of an object as the message of a Cluster or Fleet has it.
func nameBelow(f Facts) string {
	if f.role() == api.ClusterRole {
		return f.Resource.Key.Name
	}
	return f.Resource.Key.Local()
}

// fixNamed is the advice about a Cluster or Fleet whose cause has an explanation of its own.
const fixNamed = "Fix the named object, which is listed too"

// below returns the objects that the verdict about a Cluster or Fleet covers.
func (f Facts) below() []Facts {
	list := slices.Clone(f.Covered)
	for _, member := range f.Members {
		list = append(list, member.Covered...)
	}
	return slices.AppendSeq(list, maps.Values(f.Sources))
}
