package status

import (
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/wording"
)

// sourceDetails are the fields of Flux's GitRepositoryStatus.
func (f Facts) sourceDetails(c *conditions, status fields) {
	if o := f.Condition; o != nil && o.Ready == condition.False {
		c.set(condition.FetchFailed, condition.True, o.Reason, o.Message, o.Since)
	}
	if f.Fetched == nil || f.Fetched.Artifact == nil {
		return
	}
	a := f.Fetched.Artifact
	status["artifact"] = map[string]any{
		"revision": a.Revision, "digest": a.Digest.String(), "lastUpdateTime": wording.Time(a.FetchedAt),
	}
	c.set(condition.ArtifactInStorage, condition.True, condition.Succeeded, "Stored artifact for revision "+a.Revision,
		a.FetchedAt)
}
