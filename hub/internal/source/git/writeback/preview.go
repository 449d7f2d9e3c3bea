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
	"github.com/navefleet/nave/hub/internal/source/git"
	"github.com/navefleet/nave/shared/telemetry"
)

const (
	maxDiff          = 4 << 20 // bytes, of all commits
	maxPreviewed     = 1000    // problems
	maxPreviewedText = 1000    // bytes of one
)

// preview returns the artifact of a run that ended before its push.
func (j *job) preview(ctx context.Context, run *attempt) (artifact.Artifact, error) {
	p := source.Preview{Checkout: run.Checkout}
	for _, lack := range run.Lacks {
		p.Problems = append(p.Problems, telemetry.Printable(lack, maxPreviewedText))
	}
	for _, problem := range run.Problems[:min(len(run.Problems), maxPreviewed)] {
		p.Problems = append(p.Problems, telemetry.Printable(problem, maxPreviewedText))
	}
	if more := len(run.Problems) - maxPreviewed; more > 0 {
		p.Problems = append(p.Problems, fmt.Sprintf("and %d more", more))
	}
	for _, err := range j.previewErrors(run) {
		text := source.ConcealText(err.Error(), j.Secrets)
		p.Problems = append(p.Problems, telemetry.Printable(text, maxPreviewedText))
	}
	p.Unpushed = run.whyUnpushed()
	room := maxDiff
	for _, pushed := range run.Pushes {
		diff := diffOf(pushed.files, room)
		room -= len(diff)
		p.Commits = append(p.Commits, source.PreviewedCommit{Targets: pushed.Targets, Message: pushed.Message, Diff: diff})
	}
	text, err := json.Marshal(p)
	if err != nil {
		return artifact.Artifact{}, err
	}
	r := j.Request
	r.Last = nil
	id := j.CacheID("preview of " + j.Object.Key.Path()) // apart from what runs pushed
	return r.PutFiles(ctx, id, run.Checkout, map[string][]byte{source.PreviewFile: text})
}

// noteUnpushed notes which of some references stay, because they have got the changes before.
func (a *attempt) noteUnpushed(targets []string, moves []git.Target) {
	for _, t := range targets {
		switch branch, isBranch := strings.CutPrefix(t, branches); {
		case slices.ContainsFunc(moves, func(m git.Target) bool { return m.Reference == t }):
		case isBranch:
			a.unpushed = append(a.unpushed, fmt.Sprintf("branch %s has the changes already", branch))
		default:
			a.unpushed = append(a.unpushed, fmt.Sprintf("the same changes were pushed to %s before", t))
		}
	}
}

// whyUnpushed returns why a run would push nothing, or not all of its changes.
func (a *attempt) whyUnpushed() []string {
	all := a.unpushed
	for _, r := range a.PullRequests {
		if r.State == isDeclined {
			all = append(all, r.String())
		}
	}
	if len(all)+len(a.Pushes) == 0 && a.failed == nil && a.held == nil {
		all = append(all, "no file would change")
	}
	return all
}

// previewErrors returns why a run would fail after its pushes.
func (j *job) previewErrors(run *attempt) (all []error) {
	if run.failed != nil {
		all = append(all, run.failed)
	}
	if j.review != nil && j.review.err != nil {
		all = append(all, fmt.Errorf("pull requests: %w", j.review.away(run.held)))
	}
	return all
}

// diffOf returns the unified diff of files, without the values of Secrets. It ends with a remark if it is over the
// limit.
func diffOf(files []changedFile, limit int) string {
	var b strings.Builder
	for i, f := range files {
		before, after := image.HideSecrets(f.old, f.content)
		diff := udiff.Unified(shown("a/"+f.path), shown("b/"+f.path), before, after)
		if b.Len()+len(diff) > limit {
			fmt.Fprintf(&b, "the diff of %d more files is too long\n", len(files)-i)
			break
		}
		b.WriteString(diff)
	}
	return b.String()
}
