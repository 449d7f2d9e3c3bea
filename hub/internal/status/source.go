package status

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/wording"
)

// sourceDetails sets the fields of Flux's GitRepositoryStatus.
func (f Facts) sourceDetails(c *conditions, status fields) {
	if o := f.Condition; o != nil && o.Ready == condition.False {
		if isUnverified(o.Reason) {
			c.set(condition.SourceVerified, condition.False, o.Reason, o.Message, o.Since)
		} else {
			c.set(condition.FetchFailed, condition.True, o.Reason, o.Message, o.Since)
		}
	}
	f.tagDetails(c, status)
	if f.Fetched == nil || f.Fetched.Artifact == nil {
		return
	}
	a := f.Fetched.Artifact
	described := fields{
		"revision": a.Revision, "digest": a.Digest.String(), "lastUpdateTime": wording.Time(a.FetchedAt),
	}
	if metadata := metadataOf(a); len(metadata) > 0 {
		described["metadata"] = map[string]any(metadata)
	}
	status["artifact"] = map[string]any(described)
	f.kindDetails(a, status)
	if earlier := f.Fetched.Earlier; len(earlier) > 0 {
		status["earlierRevisions"] = earlierRevisions(earlier)
	}
	c.set(condition.ArtifactInStorage, condition.True, condition.Succeeded, "Stored artifact for revision "+a.Revision,
		a.FetchedAt)
	if v := a.Verification; v.Mode != "" {
		status["sourceVerificationMode"] = v.Mode
		if o := f.Condition; o == nil || !isUnverified(o.Reason) {
			c.set(condition.SourceVerified, condition.True, condition.Succeeded, v.Message, a.FetchedAt)
		}
	}
}

// kindDetails sets the fields that only the kind of a source has: those that its fetcher noted in the artifact, and the
// time of the last fetch without an error.
func (f Facts) kindDetails(a *artifact.Artifact, status fields) {
	own := map[string]any{}
	if json.Unmarshal([]byte(a.Status), &own) != nil {
		return // the artifact has none
	}
	if view, err := f.Resource.Object.Source(); err == nil && view.TimeField != nil && !f.Fetched.SucceededAt.IsZero() {
		// A fetcher that notes a text in place of an object gets no time.
		_ = unstructured.SetNestedField(own, wording.Time(f.Fetched.SucceededAt), view.TimeField...)
	}
	for name, value := range own {
		if _, taken := status[name]; !taken {
			status[name] = value
		}
	}
}

// earlierRevisions returns the commits of earlier revisions, the newest first.
func earlierRevisions(list []store.EarlierRevision) []any {
	all := make([]any, len(list))
	for i, e := range list {
		all[i] = map[string]any{"revision": e.Revision, "metadata": map[string]any(commitOf(e.Commit))}
	}
	return all
}

// metadataOf returns what is known about the making of an artifact.
func metadataOf(a *artifact.Artifact) fields {
	metadata := commitOf(a.Commit)
	metadata.set(artifact.RevisionAnnotation, a.Origin.Revision)
	metadata.set(artifact.SourceAnnotation, a.Origin.Source)
	return metadata
}

// commitOf returns what is known about a commit.
func commitOf(c artifact.Commit) fields {
	commit := fields{}
	commit.set("commit.author", c.Author)
	commit.set("commit.subject", c.Subject)
	if !c.Time.IsZero() {
		commit.set("commit.time", wording.Time(c.Time))
	}
	return commit
}

// isUnverified reports whether a reason says that the signatures of a source were not accepted. The source keeps its
// previous artifact.
func isUnverified(reason string) bool {
	own, _ := api.FindReason(reason)
	return own.Unverified || reason == condition.VerificationError
}
