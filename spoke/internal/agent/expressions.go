package agent

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	sharedhealth "github.com/navefleet/nave/shared/health"
)

// noteHealthExpressions takes the health expressions of a bundle. What was known of the objects that new expressions
// are about does not count any more: they are looked at again, before anybody waits for them.
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
