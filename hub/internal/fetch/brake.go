package fetch

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/shared/telemetry"
)

// maxAnswers is how many commits of others a source answers with a push at once, in one interval.
const maxAnswers = 3

// brake keeps two sources that push different values to one branch from answering each other without end.
type brake struct {
	until    time.Time // until when a commit that another source has pushed is no reason to run: this one has pushed
	answers  bool      // the source runs because of a commit of others
	answered int       // pushes that answered such commits, since until was over the last time
	held     string    // the revision that waits; empty: none does
}

// notice says which revision waits until the next run; empty if none does.
func (b brake) notice(next time.Time) string {
	if b.held == "" {
		return ""
	}
	return fmt.Sprintf("revision '%s' waits until %s UTC, so that automations do not answer each other's commits: "+
		"reconcile to run now", telemetry.Printable(b.held, maxNotice), next.UTC().Format(time.TimeOnly))
}

// hasPushed fetches the first input of a source, to which the source has pushed. first: the source had no artifact, so
// it has one now whether or not it pushed. Whoever pushes only to another branch than the input reads, as for pull
// requests, answers nobody with that, and is to know at once when the branch is merged.
func (l *Loop) hasPushed(s *scheduled, first bool) {
	in := l.sources[s.inputs[0]]
	isPush := !first || in != nil && !isSameRevision(s.row.Artifact, in.row.Artifact)
	if isPush && (in == nil || mayReach(s.row.Artifact, in.row.Artifact)) {
		s.brake.pushed(time.Now(), s.interval())
	}
	if in != nil {
		in.hurry()
	}
}

// pushed notes a push to the branch that the source reads.
func (b *brake) pushed(now time.Time, interval time.Duration) {
	if !b.until.After(now) {
		b.answered = 0
	}
	if b.until = now.Add(interval); b.answers {
		b.answered++
	}
}

// wakeForInput makes a source due after a fetch of an input. A source that has pushed does not run for its own commit.
// With the commit of another source that pushes it waits for its interval, and so it does after many answers to
// commits of others: they may be somebody else's automation.
func (l *Loop) wakeForInput(ctx context.Context, s *scheduled) error {
	now, in := time.Now(), l.sources[s.inputs[0]]
	switch {
	case s.running:
		s.inputRan = true
		return nil
	case s.waiting || !s.brake.until.After(now):
	case in == nil || in.row.Artifact == nil || isSameCommit(s.row.Artifact, in.row.Artifact):
		s.wakeBy(s.brake.until)
		return nil
	case s.brake.answered >= maxAnswers || l.hasWritten(in.row.Artifact):
		s.wakeBy(s.brake.until)
		s.brake.held = in.row.Artifact.Revision
		return l.write(ctx, s, s.row)
	default:
		s.brake.answers = true
	}
	s.wakeBy(now)
	return nil
}

// wakeAfterRun makes a source due because of what changed while it was running.
func (l *Loop) wakeAfterRun(ctx context.Context, s *scheduled) error {
	woken, inputRan := s.woken, s.inputRan
	s.woken, s.inputRan = time.Time{}, false
	if !woken.IsZero() {
		s.wakeBy(woken)
	}
	if inputRan {
		return l.wakeForInput(ctx, s)
	}
	return nil
}

// hasWritten reports whether a source that pushes has pushed the commit of an artifact last.
func (l *Loop) hasWritten(a *artifact.Artifact) bool {
	for _, s := range l.sources {
		if s.view.Writes && isSameCommit(s.row.Artifact, a) {
			return true
		}
	}
	return false
}

// isSameRevision reports whether two artifacts have the same revision, or do not exist.
func isSameRevision(a, b *artifact.Artifact) bool {
	return a == b || a != nil && b != nil && a.Revision == b.Revision
}

// isSameCommit reports whether two artifacts exist and are of one commit, whatever names their branch has.
func isSameCommit(a, b *artifact.Artifact) bool {
	commit := func(of *artifact.Artifact) string { return of.Revision[strings.LastIndex(of.Revision, "@")+1:] }
	return a != nil && b != nil && commit(a) == commit(b)
}

// mayReach reports whether a push, whose artifact is given, may become a revision of the source that an artifact is of:
// it went to the branch that the source reads, or to none that is known. A server may move any branch to what is pushed
// to refs/for/main.
func mayReach(pushed, read *artifact.Artifact) bool {
	if pushed == nil || read == nil {
		return true
	}
	to, _, isKnown := strings.Cut(strings.TrimPrefix(pushed.Revision, "refs/heads/"), "@")
	of, _, isBranch := strings.Cut(strings.TrimPrefix(read.Revision, "refs/heads/"), "@")
	return !isKnown || !isBranch || to == of || strings.HasPrefix(to, "refs/")
}
