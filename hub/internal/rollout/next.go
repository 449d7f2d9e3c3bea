package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/navefleet/nave/hub/api"
)

// patience is how long content must fail without a break before its cluster has failed, unless it failed for good. What
// an API server refuses may be taken a moment later.
const patience = 30 * time.Second

// Next decides how the rollout of a Fleet goes on, or begins the next one.
func Next(in Input) Decision {
	s := &step{Input: in, stages: in.Spec.AllStages(), r: in.Was, all: make([]Progress, len(in.Members))}
	s.alignStages()
	s.begin()
	for i, m := range s.Members {
		s.all[i] = s.judge(m, s.all[i])
	}
	if in.Spec.OnFailure == api.RollbackOnFailure && s.isRunning() && s.overBudget() != "" {
		s.r.Order = Rollback
	}
	switch s.r.Order {
	case Rollback:
		s.restore()
	case Abort:
		s.to(Aborted, "an operator ended it; clusters keep what they have")
	default:
		s.forward()
	}
	s.letGo()
	for i := range s.all {
		if s.all[i].State != s.Members[i].Was.State || s.all[i].Rollout != s.Members[i].Was.Rollout {
			s.all[i].Since = s.Now
		}
	}
	s.count()
	return Decision{Rollout: s.r, Progress: s.all, Superseded: s.superseded, Wake: s.wake}
}

// step is one decision under way.
type step struct {
	Input
	stages     []api.RolloutStage
	r          Rollout
	all        []Progress // of each member
	superseded *Rollout
	wake       time.Time
	why        string // no cluster begins, or no stage; empty: nothing is in the way
}

// at asks for a decision at a time.
func (s *step) at(t time.Time) {
	if t.After(s.Now) && (s.wake.IsZero() || t.Before(s.wake)) {
		s.wake = t
	}
}

// isRunning reports whether the rollout goes forward and has not ended.
func (s *step) isRunning() bool { return s.r.Order == "" && !s.r.Phase.Ended() }

// to notes what the rollout does.
func (s *step) to(p Phase, message string) {
	if s.r.Phase != p {
		s.r.Phase, s.r.Since = p, s.Now
		s.r.Ended = time.Time{}
		if p.Ended() {
			s.r.Ended = s.Now
		}
	}
	s.r.Message = message
}

// alignStages gives each stage of the Fleet its state, by name. A stage that is new is finished if the rollout has
// succeeded.
func (s *step) alignStages() {
	known := map[string]Stage{}
	for _, st := range s.r.Stages {
		st.Begun, st.Settled, st.Finished = s.past(st.Begun), s.past(st.Settled), s.past(st.Finished)
		known[st.Name] = st
	}
	s.r.Stages = nil
	for _, spec := range s.stages {
		st, ok := known[spec.Name]
		if st.Name = spec.Name; !ok && (s.r.Phase == Succeeded || s.r.Number == 0) {
			st.Begun, st.Settled, st.Finished = s.Now, s.Now, s.Now
		}
		s.r.Stages = append(s.r.Stages, st)
	}
}

// past returns a time that is not in the future: a clock that was set back prolongs nothing.
func (s *step) past(t time.Time) time.Time {
	if t.After(s.Now) {
		return s.Now
	}
	return t
}

// counted returns from when a deadline counts that began at a time: not while no hub ran.
func (s *step) counted(began time.Time) time.Time {
	if s.Up.After(began) && !s.Up.After(s.Now) {
		return s.Up
	}
	return began
}

// isKnown reports whether a member has been part of this rollout.
func (s *step) isKnown(m Member) bool {
	return m.Was.Rollout == s.r.Number && m.Was.State != "" && m.Was.State != ClusterLeaving
}

// isRetargeted reports whether the content of a cluster changed since the rollout began.
func (s *step) isRetargeted(m Member) bool {
	return s.isKnown(m) && !m.leaves() && m.Excluded == "" && m.Planned != m.Was.Target
}

func (m Member) leaves() bool { return m.Planned.IsZero() }

// begin begins the next rollout if the content of clusters changed, and notes the members that came, left or are back.
func (s *step) begin() {
	switch retargeted := slices.ContainsFunc(s.Members, s.isRetargeted); {
	case s.r.Order == Restart, retargeted && !s.absorbs(), s.isFirst():
		s.beginNext()
	default:
		for i, m := range s.Members {
			s.all[i] = s.carryOn(m)
		}
	}
}

// isFirst reports whether the first rollout of the Fleet begins: nothing was decided yet, and clusters have other
// content than is planned, or none of them has any.
func (s *step) isFirst() bool {
	if s.r.Number > 0 || slices.ContainsFunc(s.Members, s.isKnown) {
		return false
	}
	has := func(m Member) bool { return !m.Released.IsZero() }
	first := !slices.ContainsFunc(s.Members, has)
	return slices.ContainsFunc(s.Members, func(m Member) bool {
		return !m.leaves() && m.Excluded == "" && m.Planned != m.Released && (first || has(m))
	})
}

// absorbs reports whether a change is still part of this rollout, because nobody has seen another: no cluster that took
// it up is concerned, nobody approved anything, and the first stage is not settled. The plans of a large fleet do not
// change all at once.
func (s *step) absorbs() bool {
	return s.isEarly() &&
		!slices.ContainsFunc(s.Members, func(m Member) bool { return s.isRetargeted(m) && !m.Was.Offered.IsZero() })
}

// isEarly reports whether nobody approved anything, and no stage is settled.
func (s *step) isEarly() bool {
	if !s.isRunning() {
		return false
	}
	for i, st := range s.r.Stages {
		isEmpty := !slices.ContainsFunc(s.Members, func(m Member) bool { return m.Stage == i && s.isKnown(m) })
		if !st.Before.At.IsZero() || !st.After.At.IsZero() || !st.Settled.IsZero() && !isEmpty {
			return false
		}
	}
	return true
}

// beginNext begins the next rollout, with the plans of all members.
func (s *step) beginNext() {
	if !s.r.Phase.Ended() {
		old := s.r
		old.Phase, old.Since, old.Ended = Superseded, s.Now, s.Now
		old.Message = fmt.Sprintf("by rollout %d", old.Number+1)
		s.superseded = &old
	}
	s.r = Rollout{Number: s.r.Number + 1, Phase: Progressing, Since: s.Now, Began: s.Now, Suspended: s.r.Suspended}
	for i, m := range s.Members {
		s.all[i] = s.enter(m)
	}
	for _, spec := range s.stages {
		s.r.Stages = append(s.r.Stages, Stage{Name: spec.Name})
	}
}

// enter returns the progress of a member at the beginning of a rollout. A cluster that is under way to the same content
// stays so, with a new deadline.
func (s *step) enter(m Member) Progress {
	was := m.Was
	p := Progress{Rollout: s.r.Number, Target: m.Planned, State: ClusterWaiting}
	unproven := !was.Offered.IsZero() && was.State != ClusterDone && was.State != ClusterRestored
	if unproven {
		p.Previous = was.Previous
	}
	switch {
	case m.leaves():
		p.State = ClusterLeaving
	case m.Excluded != "":
		p.State, p.Message = ClusterSkipped, m.Excluded
	case m.Planned != m.Released:
	case unproven && was.Target == m.Planned:
		p.State, p.Offered = ClusterUnderWay, s.Now
	default: // nothing changes
		p.State = ClusterDone
	}
	return p
}

// carryOn returns the progress of a member before anything about it is decided.
func (s *step) carryOn(m Member) Progress {
	p := m.Was
	p.Rollout = s.r.Number
	p.Offered, p.Healthy, p.Failing = s.past(p.Offered), s.past(p.Healthy), s.past(p.Failing)
	switch {
	case m.leaves() && p.State == ClusterLeaving:
	case m.leaves():
		return Progress{Rollout: p.Rollout, State: ClusterLeaving}
	case !s.isKnown(m) && m.Planned == m.Released:
		return Progress{Rollout: p.Rollout, State: ClusterDone, Target: m.Planned, Joined: !s.isEarly()}
	case !s.isKnown(m):
		return Progress{Rollout: p.Rollout, State: ClusterWaiting, Target: m.Planned, Joined: !s.isEarly()}
	case m.isExcluded(p):
		p.State, p.Target, p.Message, p.Offered = ClusterSkipped, m.Planned, m.Excluded, time.Time{}
	case p.State == ClusterSkipped && m.Excluded == "" && m.Connected:
		p.State, p.Message = ClusterWaiting, ""
		if m.Released != p.Target {
			p.Offered = time.Time{}
		}
	}
	if s.isRetargeted(m) { // and absorbed
		p.Target = m.Planned
		if p.State == ClusterDone || p.State == ClusterWaiting {
			p.State = ClusterWaiting
			if m.Planned == m.Released {
				p.State = ClusterDone
			}
		}
	}
	return p
}

// isExcluded reports whether a cluster that takes up no content now is skipped: it does not run the target.
func (m Member) isExcluded(p Progress) bool {
	switch p.State {
	case ClusterLeftOut, ClusterRestoring, ClusterRestored:
		return false
	}
	return m.Excluded != "" && (m.Planned != p.Target || m.Released != p.Target || p.State == ClusterWaiting)
}

// judge returns whether a cluster that has the target is done or has failed.
func (s *step) judge(m Member, p Progress) Progress {
	if p.State != ClusterUnderWay && (p.State != ClusterDone || p.Offered.IsZero() || !s.isRunning()) {
		return p
	}
	p = s.observe(m, p)
	spec := s.stages[m.Stage]
	soaked := p.Healthy.Add(spec.MinSuccessTime.Duration)
	switch {
	case !p.Failing.IsZero() && (m.Health.State == FailedForGood || s.Now.Sub(p.Failing) >= patience):
		p.State, p.Message = ClusterFailed, cmp.Or(m.Health.Message, "its content failed")
	case p.State == ClusterDone:
	case !p.Healthy.IsZero() && m.Connected && !s.Now.Before(soaked):
		p.State, p.Message = ClusterDone, ""
	case !p.Healthy.IsZero() && m.Connected:
		s.at(soaked)
	default:
		p = s.late(m, p, spec)
	}
	if !p.Failing.IsZero() {
		s.at(p.Failing.Add(patience))
	}
	return p
}

// observe notes since when a cluster is healthy or failing at the target. While it is not connected, nobody sees it.
func (s *step) observe(m Member, p Progress) Progress {
	if !m.Connected {
		return p
	}
	health := InProgress
	if m.Released == p.Target && m.Received {
		health = m.Health.State
	}
	if health != Healthy {
		p.Healthy = time.Time{}
	} else if p.Healthy.IsZero() || !p.Reported.Equal(m.Health.Since) {
		p.Healthy, p.Reported = s.Now, m.Health.Since
	}
	if health < Failing {
		p.Failing = time.Time{}
	} else if p.Failing.IsZero() {
		p.Failing = s.Now
	}
	return p
}

// late returns the progress of a cluster that is not healthy: it has failed when its deadline has passed, or is skipped
// if the change cannot be the cause. A cluster that has been healthy may take its time to succeed once more.
func (s *step) late(m Member, p Progress, spec api.RolloutStage) Progress {
	began := s.counted(p.Offered)
	limit := spec.Deadline()
	if !p.Reported.IsZero() {
		limit += spec.MinSuccessTime.Duration
	}
	if s.Now.Before(began.Add(limit)) {
		s.at(began.Add(limit))
		return p
	}
	switch {
	case m.Excluded != "":
		p.State, p.Message = ClusterSkipped, m.Excluded
	case !m.Connected && !m.Received && s.Spec.Unreachable.Policy != api.WaitForUnreachable:
		p.State, p.Message = ClusterSkipped, "it went offline before it got the change"
	case !m.Connected && !m.Received:
	case !m.Connected:
		p.State, p.Message = ClusterFailed, fmt.Sprintf("it went offline with the change, and is not back after %s", limit)
	default:
		p.State = ClusterFailed
		p.Message = fmt.Sprintf("it is not healthy after %s", limit)
		if m.Health.Message != "" {
			p.Message += ": " + m.Health.Message
		}
	}
	return p
}

// members calls fn for each member of a stage that is part of the rollout, not those that joined or leave.
func (s *step) members(stage int, fn func(i int, p *Progress)) {
	for i, m := range s.Members {
		if p := &s.all[i]; m.Stage == stage && !p.Joined && p.State != ClusterLeaving {
			fn(i, p)
		}
	}
}

// failures returns how many members of a stage have failed, and how many may.
func (s *step) failures(stage int) (failed, allowed int) {
	n := 0
	s.members(stage, func(_ int, p *Progress) {
		n++
		if p.State == ClusterFailed {
			failed++
		}
	})
	return failed, s.stages[stage].Failures(n)
}

// overBudget says which stage has more failures than it may; empty: none has.
func (s *step) overBudget() string {
	for stage, spec := range s.stages {
		failed, allowed := s.failures(stage)
		if failed <= allowed {
			continue
		}
		message := ""
		s.members(stage, func(i int, p *Progress) {
			if p.State == ClusterFailed && message == "" {
				message = fmt.Sprintf("%s: %s", s.Members[i].Cluster, p.Message)
			}
		})
		if failed > 1 {
			message = fmt.Sprintf("%d clusters, of which %d may: %s", failed, allowed, message)
		}
		return fmt.Sprintf("stage %s failed on %s", spec.Name, message)
	}
	return ""
}

// count counts the clusters of each stage.
func (s *step) count() {
	for i := range s.r.Stages {
		s.r.Stages[i].Counts = Counts{}
	}
	for i, m := range s.Members {
		c := &s.r.Stages[m.Stage].Counts
		switch s.all[i].State {
		case ClusterLeaving:
			continue
		case ClusterDone, ClusterRestored:
			c.Done++
		case ClusterFailed:
			c.Failed++
		case ClusterUnderWay, ClusterRestoring:
			c.UnderWay++
		case ClusterSkipped, ClusterLeftOut:
			c.Skipped++
		case ClusterWaiting:
			c.Waiting++
		}
		c.Clusters++
	}
}

// letGo lets clusters that the Fleet does not select any more give up its content: after all stages, and those of the
// last stage first.
func (s *step) letGo() {
	if !s.r.Phase.Ended() {
		return
	}
	last := -1
	for i, m := range s.Members {
		if s.all[i].State == ClusterLeaving && !m.Released.IsZero() {
			last = max(last, m.Stage)
		}
	}
	for i, m := range s.Members {
		if p := &s.all[i]; p.State == ClusterLeaving && m.Stage == last && p.Offered.IsZero() {
			p.Offered = s.Now
		}
	}
}
