package writeback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	autov1 "github.com/fluxcd/image-automation-controller/api/v1"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/forge"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
)

const (
	runFile     = "run" // in the artifact
	shortID     = 7     // digits of a commit in a message
	maxShown    = 5     // problems in the message of the automation
	maxProblems = 20    // problems in the status
	maxProblem  = 200   // bytes of one
	maxPolicies = 20    // of a push
	maxStatus   = 7 << 10
)

// Run is what one run found and did. The artifact of an automation has the last one that pushed something.
type Run struct {
	Checkout string       `json:"checkout"`           // the revision that was changed
	Pushes   []Push       `json:"pushes,omitempty"`   // none: nothing had to be pushed
	Changes  []FileChange `json:"changes,omitempty"`  // that were pushed
	Problems []string     `json:"problems,omitempty"` // markers that are not carried out
	Lacks    []string     `json:"lacks,omitempty"`    // what is not there, without which nothing is changed
	Awaits   []string     `json:"awaits,omitempty"`   // references with changes that the checkout lacks, of earlier runs

	PullRequests []PullRequest `json:"pullRequests,omitempty"`
	Warnings     []string      `json:"warnings,omitempty"` // about them
}

// Push is a commit that a run has pushed.
type Push struct {
	Commit  string `json:"commit"`
	Changes string `json:"changes,omitempty"` // digestOf them; empty: the checkout has had them since
	// Policies are the names of up to maxPolicies ImagePolicies whose images are in the commit.
	Policies []string  `json:"policies,omitempty"`
	Targets  []string  `json:"targets"` // the references that became the commit
	Time     time.Time `json:"time"`
	Message  string    `json:"message"` // of the commit

	files []changedFile // nil: of an earlier run
}

// FileChange is a value in a file that got another one.
type FileChange struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Old    string `json:"old"`
	New    string `json:"new"`
	Setter string `json:"setter"`
}

// reference returns the reference by which the GitRepository may get the commit: of those that became the commit the
// branch that it reads, else one that is no branch, because a server may move any branch to that, else the first one.
func (p Push) reference(read string) string {
	if p.took(branches + read) {
		return branches + read
	}
	isReview := func(name string) bool { return !strings.HasPrefix(name, branches) }
	return p.Targets[max(0, slices.IndexFunc(p.Targets, isReview))]
}

// took reports whether a reference became the commit.
func (p Push) took(reference string) bool { return slices.Contains(p.Targets, reference) }

func changesOf(files []changedFile) (all []FileChange) {
	for _, f := range files {
		for _, c := range f.changes {
			all = append(all, FileChange{f.path, c.Line, c.Old, c.New, c.Setter})
		}
	}
	return all
}

// policiesOf returns the names of the policies that changed files.
func policiesOf(files []changedFile) (names []string) {
	for _, c := range changesOf(files) {
		names = append(names, strings.Split(c.Setter+":", ":")[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// digestOf identifies the changes of files, wherever in the files they are.
func digestOf(files []changedFile) string {
	changes := changesOf(files)
	for i := range changes {
		changes[i].Line = 0
	}
	text, _ := json.Marshal(changes) // strings: marshalling them cannot fail
	return manifest.DigestOf(text).String()
}

// status are the fields of the status that only an automation has. LastPush, PullRequests and Problems are not Flux's.
type status struct {
	LastPushCommit         string                  `json:"lastPushCommit,omitempty"`
	LastPushTime           *time.Time              `json:"lastPushTime,omitempty"`
	ObservedSourceRevision string                  `json:"observedSourceRevision,omitempty"`
	ObservedPolicies       autov1.ObservedPolicies `json:"observedPolicies,omitempty"`
	LastPush               *Push                   `json:"lastPush,omitempty"`
	PullRequests           []PullRequest           `json:"pullRequests,omitempty"`
	Problems               []string                `json:"problems,omitempty"`
}

// statusOf returns the status of an earlier run; zero: it is not known.
func statusOf(last *artifact.Artifact) (s status) {
	if last == nil || json.Unmarshal([]byte(last.Status), &s) != nil {
		return status{}
	}
	return s
}

// lastPush returns what was pushed last; zero: it is not known.
func (s status) lastPush() Push {
	if s.LastPush == nil {
		return Push{}
	}
	return *s.LastPush
}

// changed reports whether a run has changed what others see.
func (r Run) changed() bool {
	return len(r.Pushes) > 0 || slices.ContainsFunc(r.PullRequests, func(p PullRequest) bool {
		return p.Action != "" && p.Action != forge.Kept
	})
}

// unfinished returns the error of a run that failed after it had changed something. Of requests that the run did not
// come to, the status has what was known before.
func (j *job) unfinished(ctx context.Context, run Run, failed error) error {
	for _, r := range j.before.PullRequests {
		if !slices.ContainsFunc(run.PullRequests, func(now PullRequest) bool { return now.URL == r.URL }) {
			run.PullRequests = append(run.PullRequests, r)
		}
	}
	a, err := j.artifact(ctx, run)
	if err != nil {
		return errors.Join(failed, err)
	}
	return &artifact.Unfinished{Artifact: a, Cause: failed}
}

// revisionOf returns the name of a commit as a GitRepository has it.
func revisionOf(label, commit string) string {
	if label == "" {
		return "sha1:" + commit
	}
	return label + "@sha1:" + commit
}

// artifact returns the artifact of a run. One that changed nothing that others see keeps the last artifact. One that
// pushed nothing keeps the revision.
func (j *job) artifact(ctx context.Context, run Run) (a artifact.Artifact, err error) {
	revision := run.Checkout
	if j.Last != nil {
		revision = j.Last.Revision
	}
	if last, ok := run.lastPush(); ok {
		revision = revisionOf(strings.TrimPrefix(last.reference(j.plan.read), branches), last.Commit)
	}
	if j.Last != nil && !run.changed() {
		a = *j.Last
	} else {
		for _, p := range run.Pushes {
			run.Changes = append(run.Changes, changesOf(p.files)...)
		}
		text, err := json.Marshal(run)
		if err != nil {
			return a, err
		}
		files := map[string][]byte{runFile: text}
		if a, err = j.PutFiles(ctx, j.CacheID(j.Object.Key.Path()), revision, files); err != nil {
			return a, err
		}
	}
	a.Summary, a.Notice = run.summary(), run.notice()
	a.Status, err = j.statusText(run)
	return a, err
}

// lastPush returns the last push of a run; false if there was none.
func (r Run) lastPush() (Push, bool) {
	if len(r.Pushes) == 0 {
		return Push{}, false
	}
	return r.Pushes[len(r.Pushes)-1], true
}

// statusText returns the fields of the status, as far as a row of the store has room for them. First it leaves out the
// images, which the policies have, then the policies of the last push, and then the last problems and the last pull
// requests.
func (j *job) statusText(run Run) (string, error) {
	s := j.status(run)
	for {
		text, err := json.Marshal(s)
		switch {
		case err != nil || len(text) <= maxStatus:
			return string(text), err
		case s.ObservedPolicies != nil:
			s.ObservedPolicies = nil
		case s.LastPush != nil && s.LastPush.Policies != nil:
			s.LastPush.Policies = nil
		case len(s.Problems) > 0:
			s.Problems = s.Problems[:len(s.Problems)-1]
		case len(s.PullRequests) > 0:
			s.PullRequests = s.PullRequests[:len(s.PullRequests)-1]
		default:
			return "", fmt.Errorf("%w: the status of the automation would have %d bytes, the limit is %d: give the branches "+
				"shorter names", source.ErrRequest, len(text), maxStatus)
		}
	}
}

// status returns the fields of the status after a run.
func (j *job) status(run Run) status {
	s := status{ObservedSourceRevision: run.Checkout, ObservedPolicies: autov1.ObservedPolicies{}}
	problems := slices.Concat(run.Lacks, run.Problems)
	for _, p := range problems[:min(len(problems), maxProblems)] {
		s.Problems = append(s.Problems, telemetry.Printable(p, maxProblem))
	}
	last := j.last
	if now, ok := run.lastPush(); ok {
		last = now
	}
	for _, r := range run.PullRequests {
		if r.State != isClosed {
			s.PullRequests = append(s.PullRequests, r)
		}
	}
	if last.Commit != "" {
		last.Message = telemetry.Printable(last.Message, maxProblem)
		s.LastPush, s.LastPushCommit, s.LastPushTime = &last, last.Commit, &last.Time
	}
	for name, p := range j.policies.ByName {
		if p.Image.Name != "" {
			s.ObservedPolicies[name] = autov1.ImageRef{Name: p.Image.Name, Tag: p.Image.Tag, Digest: p.Image.Digest}
		}
	}
	return s
}

// summary returns the message of an automation after a run, in Flux's words.
func (r Run) summary() string {
	var parts []string
	if len(r.Pushes) > 0 {
		parts = append(parts, r.pushed())
	} else if len(r.Awaits) > 0 {
		parts = append(parts, fmt.Sprintf("nothing to push: %s has the changes, which are not merged yet", named(r.Awaits)))
	} else if r.isSettled() {
		parts = append(parts, "repository up-to-date")
	} else {
		parts = append(parts, "nothing to push")
	}
	for _, p := range r.PullRequests {
		parts = append(parts, p.String())
	}
	return strings.Join(parts, "; ")
}

// isSettled reports whether nothing is left to be merged.
func (r Run) isSettled() bool {
	return !slices.ContainsFunc(r.PullRequests, func(p PullRequest) bool { return p.State != isClosed })
}

// pushed says what was pushed.
func (r Run) pushed() string {
	var all []string
	for _, p := range r.Pushes {
		message := strings.TrimSpace(p.Message)
		if r.PullRequests != nil {
			message, _, _ = strings.Cut(message, "\n") // the request has the rest
		}
		all = append(all, fmt.Sprintf("pushed commit '%s' to %s: %s", p.Commit[:shortID], named(p.Targets), message))
	}
	return strings.Join(all, "; ")
}

// named returns the names of references for a message.
func named(references []string) string {
	var names []string
	for _, name := range references {
		if branch, ok := strings.CutPrefix(name, branches); ok {
			names = append(names, fmt.Sprintf("branch '%s'", branch))
		} else {
			names = append(names, fmt.Sprintf("'%s'", name))
		}
	}
	return strings.Join(names, " and ")
}

// String says what is with the request.
func (p PullRequest) String() string {
	switch {
	case p.State == isDeclined:
		return fmt.Sprintf("pull request %s was closed without a merge: its changes are not proposed again", p.URL)
	case p.Action == forge.Kept:
		return fmt.Sprintf("pull request %s is open", p.URL)
	}
	return fmt.Sprintf("%s pull request %s", p.Action, p.URL)
}

// notice returns what the message of the automation has beside the summary.
func (r Run) notice() string {
	parts := slices.Concat(r.Warnings, r.Lacks)
	if left := notice(r.Problems); left != "" {
		parts = append(parts, left)
	}
	return strings.Join(parts, "; ")
}

// notice returns what the message of the automation says of problems.
func notice(problems []string) string {
	if len(problems) == 0 {
		return ""
	}
	text := fmt.Sprintf("%d markers are not carried out: ", len(problems))
	if len(problems) == 1 {
		text = "1 marker is not carried out: "
	}
	text += strings.Join(problems[:min(len(problems), maxShown)], "; ")
	if more := len(problems) - maxShown; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}
