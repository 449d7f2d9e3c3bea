package agent

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	sharedhealth "github.com/navefleet/nave/shared/health"
)

// noteHealthExpressions gives the health expressions of a bundle to the Assessor. If the expressions for an object
// changed, its health becomes Unknown, and the watcher looks at the object again.
func (a *Agent) noteHealthExpressions(apps applications) {
	if a.Health == nil {
		return
	}
	for name, kinds := range a.Health.Replace(apps) {
		for id := range a.owned(name).Items {
			gk := id.GroupKind()
			if slices.Contains(kinds, gk) || slices.Contains(kinds, schema.GroupKind{Group: gk.Group}) {
				a.Index.SetHealth(id, "", sharedhealth.Unknown, "", "", time.Now())
				a.Index.Doubt(id)
			}
		}
	}
}
