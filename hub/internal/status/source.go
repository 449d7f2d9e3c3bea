package status

import (
	"slices"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/wording"
)

// sourceDetails sets the fields of Flux's GitRepositoryStatus.
func (f Facts) sourceDetails(c *conditions, status fields) {
	if o := f.Condition; o != nil && o.Ready == condition.False {
		if slices.Contains(unverified, o.Reason) {
			c.set(condition.SourceVerified, condition.False, o.Reason, o.Message, o.Since)
		} else {
			c.set(condition.FetchFailed, condition.True, o.Reason, o.Message, o.Since)
		}
	}
	if f.Fetched == nil || f.Fetched.Artifact == nil {
		return
	}
	a := f.Fetched.Artifact
	described := fields{
		"revision": a.Revision, "digest": a.Digest.String(), "lastUpdateTime": wording.Time(a.FetchedAt),
	}
	if a.Origin != (artifact.Origin{}) {
		metadata := fields{}
		metadata.set(artifact.RevisionAnnotation, a.Origin.Revision)
		metadata.set(artifact.SourceAnnotation, a.Origin.Source)
		described["metadata"] = map[string]any(metadata)
	}
	status["artifact"] = map[string]any(described)
	c.set(condition.ArtifactInStorage, condition.True, condition.Succeeded, "Stored artifact for revision "+a.Revision,
		a.FetchedAt)
	if v := a.Verification; v.Mode != "" {
		status["sourceVerificationMode"] = v.Mode
		if o := f.Condition; o == nil || !slices.Contains(unverified, o.Reason) {
			c.set(condition.SourceVerified, condition.True, condition.Succeeded, v.Message, a.FetchedAt)
		}
	}
}

// unverified are the reasons of a source whose signatures were not accepted. The source keeps its previous artifact.
var unverified = []string{condition.VerificationError, condition.InvalidCommitSignature, condition.InvalidTagSignature}
