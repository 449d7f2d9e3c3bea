package status

import (
	"maps"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
)

// shortenCovered replaces the message that a Cluster or Fleet quotes of the worst object that it covers by the reason,
// if that object is listed, too, so that a cause is explained once. If it does, it returns true.
func (f Facts) shortenCovered(e *adminv1.Explanation, listed map[api.Key]bool) (ok bool) {
	for _, object := range f.below() {
		v := object.verdict()
		if v.message == "" || v.ready != condition.False || !listed[object.Resource.Key] {
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
		if ok && v.message != "" && v.ready == condition.False && listed[m.Resource.Key] {
			e.Message = before + m.Resource.Key.Name + ": " + v.reason + after
			e.Advice = fixNamed
			return true
		}
	}
	return false
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
