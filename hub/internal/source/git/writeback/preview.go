package writeback

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	udiff "github.com/aymanbagabas/go-udiff"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/image"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/shared/telemetry"
)

const (
	maxDiff          = 4 << 20 // bytes
	maxPreviewed     = 1000    // problems
	maxPreviewedText = 1000    // bytes of one
)

// preview returns the artifact of a run that ended before its push.
func (j *job) preview(ctx context.Context, run Run) (artifact.Artifact, error) {
	p := source.Preview{Checkout: run.Checkout, Diff: run.diff}
	for _, problem := range run.Problems[:min(len(run.Problems), maxPreviewed)] {
		p.Problems = append(p.Problems, telemetry.Printable(problem, maxPreviewedText))
	}
	if more := len(run.Problems) - maxPreviewed; more > 0 {
		p.Problems = append(p.Problems, fmt.Sprintf("and %d more", more))
	}
	var messages []string
	for _, pushed := range run.Pushes {
		p.Targets = append(p.Targets, pushed.Targets...)
		if !slices.Contains(messages, pushed.Message) {
			messages = append(messages, pushed.Message)
		}
	}
	p.Message = strings.Join(messages, "\n\n")
	text, err := json.Marshal(p)
	if err != nil {
		return artifact.Artifact{}, err
	}
	r := j.Request
	r.Last = nil
	id := j.CacheID("preview of " + j.Object.Key.Path()) // apart from what runs pushed
	return r.PutFiles(ctx, id, run.Checkout, map[string][]byte{source.PreviewFile: text})
}

// diffOf returns the unified diff of files, without the values of Secrets. It ends with a remark if it is too long.
func diffOf(files []changedFile) string {
	var b strings.Builder
	for i, f := range files {
		before, after := image.HideSecrets(f.old, f.content)
		diff := udiff.Unified("a/"+f.path, "b/"+f.path, before, after)
		if b.Len()+len(diff) > maxDiff {
			fmt.Fprintf(&b, "the diff of %d more files is too long\n", len(files)-i)
			break
		}
		b.WriteString(diff)
	}
	return b.String()
}
