package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/api"
)

// forward goes through the stages, and lets clusters begin.
func (s *step) forward() {
	finished, over := false, s.overBudget()
	for again := true; again; { // a stage whose last clusters are skipped may be finished
		s.why = ""
		finished = s.r.Phase.Ended() || s.advance()
		again = s.offer(over)
	}
	if s.r.Phase.Ended() {
		if s.r.Phase == Succeeded { // clusters that come later can still fail, and then the others wait
			s.to(Succeeded, joined(s.outcome(), over))
		}
		return
	}
	underWay := slices.ContainsFunc(s.all, func(p Progress) bool { return p.State == ClusterUnderWay })
	switch {
	case over != "":
		s.to(Failed, over)
	case finished:
		s.to(Succeeded, s.outcome())
	case s.r.Suspended || s.Spec.Suspend || s.Suspended != "":
		s.to(Suspended, cmp.Or(s.Suspended, "no cluster begins until it is resumed"))
	case underWay:
		s.to(Progressing, joined(s.underWay(), s.why))
	case s.why != "":
		s.to(Waiting, s.why)
	default:
		s.to(Progressing, "")
	}
}

// joined returns the parts that are not empty, as one text.
func joined(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), "; ")
}

// underWay says which stages have clusters under way.
func (s *step) underWay() string {
	var parts []string
	s.count()
	for _, st := range s.r.Stages {
		if c := st.Counts; c.UnderWay > 0 {
			parts = append(parts, fmt.Sprintf("stage %s: %d of %d done, %d under way", st.Name, c.Done, c.Clusters, c.UnderWay))
		}
	}
	return joined(parts...)
}

// outcome says which clusters do not have the content, although all stages are finished.
func (s *step) outcome() string {
	var failed, skipped int
	for _, p := range s.all {
		switch p.State {
		case ClusterFailed:
			failed++
		case ClusterSkipped, ClusterLeftOut:
			skipped++
		}
	}
	var parts []string
	if failed > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", failed))
	}
	if skipped > 0 {
		parts = append(parts, fmt.Sprintf("%d skipped", skipped))
	}
	return joined(parts...)
}

// advance begins, settles and finishes stages in order, until one has something to wait for. If all are finished,
// advance returns true.
func (s *step) advance() bool {
	since := s.r.Began
	for stage := range s.stages {
		st := &s.r.Stages[stage]
		if !st.Finished.IsZero() {
			since = st.Finished
			continue
		}
		if !s.advanceStage(stage, st, since) {
			return false
		}
		st.Finished = s.Now
		if !st.Settled.IsZero() {
			since = s.Now
		}
	}
	return true
}

// advanceStage reports whether a stage is finished. since is when the one before it was.
func (s *step) advanceStage(stage int, st *Stage, since time.Time) bool {
	members, waiting, unsettled := 0, false, false
	s.members(stage, func(_ int, p *Progress) {
		members++
		waiting = waiting || p.State == ClusterWaiting
		unsettled = unsettled || p.State == ClusterWaiting || p.State == ClusterUnderWay
	})
	failed, allowed := s.failures(stage)
	switch spec := s.stages[stage]; {
	case members == 0:
		return true
	case st.Begun.IsZero() && waiting && !s.areDone(spec.BeforeStage, since, st.Before, "before stage "+st.Name):
		return false
	case unsettled || failed > allowed:
		st.Begun, st.Settled = cmp.Or(st.Begun, s.Now), time.Time{}
		return false
	default:
		st.Begun, st.Settled = cmp.Or(st.Begun, s.Now), cmp.Or(st.Settled, s.Now)
		return s.areDone(spec.AfterStage, st.Settled, st.After, "after stage "+st.Name)
	}
}

// areDone reports whether the tasks at a place are done. Times count from since.
func (s *step) areDone(tasks []api.RolloutTask, since time.Time, a Approval, place string) bool {
	var waits []string
	for _, t := range tasks {
		switch ends := since.Add(t.WaitTime.Duration); {
		case t.Type == api.ApprovalTask && a.At.IsZero():
			waits = append(waits, "it waits for an approval "+place)
		case t.Type == api.TimedWaitTask && s.Now.Before(ends):
			s.at(ends)
			waits = append(waits, fmt.Sprintf("it waits %s until %s", place, ends.UTC().Format(time.RFC3339)))
		}
	}
	s.why = joined(append([]string{s.why}, waits...)...)
	return len(waits) == 0
}

// offer lets clusters begin that have their turn: those of the stage that has begun, and those that come later to a
// stage that is finished. If clusters were skipped, offer returns true.
func (s *step) offer(over string) (skipped bool) {
	open := over == "" && !s.r.Suspended && !s.Spec.Suspend && s.Suspended == ""
	if open && slices.ContainsFunc(s.all, func(p Progress) bool { return p.State == ClusterWaiting }) {
		open = s.isOpen()
	}
	for stage := range s.stages {
		if st := s.r.Stages[stage]; !st.Begun.IsZero() || !st.Finished.IsZero() {
			skipped = s.offerStage(stage, !st.Finished.IsZero(), open) || skipped
		}
	}
	return skipped
}

// isOpen reports whether the windows let clusters begin.
func (s *step) isOpen() bool {
	open, next := s.Spec.Open(s.Now)
	if open {
		return true
	}
	s.at(next)
	closed := "no window is open"
	if !next.IsZero() {
		closed += " before " + next.UTC().Format(time.RFC3339)
	}
	s.why = joined(s.why, closed)
	return false
}

// offerStage lets clusters of a stage begin, while it has room for them. Those that are not healthy already come last.
func (s *step) offerStage(stage int, finished, open bool) (skipped bool) {
	total, busy := 0, 0
	var next []int
	for i, m := range s.Members {
		p := s.all[i]
		if m.Stage != stage || p.State == ClusterLeaving {
			continue
		}
		total++
		if p.State == ClusterUnderWay {
			busy++
		}
		if p.State == ClusterWaiting && (finished || !p.Joined) {
			next = append(next, i)
		}
	}
	slices.SortStableFunc(next, func(a, b int) int {
		return cmp.Compare(s.Members[a].comesLast(), s.Members[b].comesLast())
	})
	for _, i := range next {
		switch m := s.Members[i]; {
		case !m.Connected:
			skipped = s.miss(m, &s.all[i]) || skipped
		case open && busy < s.stages[stage].Concurrency(total):
			s.begins(m, &s.all[i])
			busy++
		}
	}
	return skipped
}

// comesLast returns 1 for a cluster that is not healthy before its turn, and 0 for others.
func (m Member) comesLast() int {
	if m.Released.IsZero() || m.Health.State == Healthy {
		return 0
	}
	return 1
}

// give lets a cluster have other content from now on: nothing is known of its health yet.
func (p *Progress) give(state State, now time.Time) {
	p.State, p.Message, p.Offered = state, "", now
	p.Healthy, p.Reported, p.Failing = time.Time{}, time.Time{}, time.Time{}
}

// begins lets a cluster take up the target.
func (s *step) begins(m Member, p *Progress) {
	if p.Previous.IsZero() && m.Released != p.Target {
		p.Previous = m.Released
	}
	p.give(ClusterUnderWay, s.Now)
	s.at(s.Now.Add(s.stages[m.Stage].Deadline()))
}

// miss skips a cluster that has had no session for long enough and returns true, or says that it is waited for. One
// that never had any is not waited for.
func (s *step) miss(m Member, p *Progress) (skipped bool) {
	after, skips := s.Spec.Unreachable.Skips(s.stages[m.Stage])
	seen := s.counted(m.Seen)
	switch {
	case m.Seen.IsZero():
		p.State, p.Message = ClusterSkipped, "it has never been connected"
	case skips && !s.Now.Before(seen.Add(after)):
		p.State, p.Message = ClusterSkipped, "it is offline since "+m.Seen.UTC().Format(time.RFC3339)
	case skips:
		s.at(seen.Add(after))
		fallthrough
	default:
		s.why = joined(s.why, fmt.Sprintf("it waits for cluster %s, which is offline since %s", m.Cluster,
			m.Seen.UTC().Format(time.RFC3339)))
	}
	return p.State == ClusterSkipped
}
