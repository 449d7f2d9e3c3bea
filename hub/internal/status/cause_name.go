package status

import (
	"strings"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
)

// causeOf returns the name of a cause, which is the same on all clusters and for all texts: the object and the reason
// and, if the explanation is about an object of an application, that object, which is in its Cause. Clusters that have
// the same reason are one cause, and so are applications that need the same remote base, which failed.
func causeOf(e *adminv1.Explanation, bases map[api.Key]string) string {
	key := KeyOf(e.Object)
	name := key.In("").String()
	isBase := e.Reason == condition.ArtifactFailed || e.Reason == condition.SourceNotReady
	switch base := bases[key]; {
	case key.Role() == api.ClusterRole:
		name = key.Kind
	case key.Cluster == "":
		name += " of the hub"
	case isBase && base != "":
		name = base
	}
	return strings.Join([]string{name, e.Reason, e.Cause}, "\n")
}

// failedBases returns what identifies the remote base that failed, by the renderable that needs it.
func (w *World) failedBases() map[api.Key]string {
	bases := map[api.Key]string{}
	for key, f := range w.facts {
		owner := f.Resource.GivenBy()
		if !key.Derived() || owner == nil || f.Resource.Object == nil ||
			f.verdict().ready != condition.False {
			continue
		}
		view, err := f.Resource.Object.Source()
		if err != nil {
			continue
		}
		if id := view.FetchKey(false); bases[*owner] == "" || id < bases[*owner] { // the first, if there are several
			bases[*owner] = id
		}
	}
	return bases
}
