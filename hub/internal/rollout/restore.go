package rollout

import "fmt"

// restore gives the clusters that took up the target what they had before, the last stage first.
func (s *step) restore() {
	for stage := len(s.stages) - 1; stage >= 0; stage-- {
		if left := s.restoreStage(stage); left > 0 {
			s.to(RollingBack, fmt.Sprintf("stage %s: %d to get back what they had before", s.stages[stage].Name, left))
			return
		}
	}
	s.to(RolledBack, "clusters have what they had before, until the content changes or the rollout is released")
}

// restoreStage returns how many connected clusters of a stage are still to get back what they had. One that is not
// connected gets it when it comes back, and takes no place.
func (s *step) restoreStage(stage int) (left int) {
	total, busy := 0, 0
	var next []int
	for i, m := range s.Members {
		p := &s.all[i]
		if m.Stage != stage || p.State == ClusterLeaving {
			continue
		}
		total++
		switch {
		case p.State == ClusterRestored || p.Offered.IsZero():
		case p.State != ClusterRestoring:
			next = append(next, i)
		case m.Connected && !s.isRestored(m, p):
			busy++
		}
	}
	for _, i := range next {
		m, p := s.Members[i], &s.all[i]
		switch {
		case p.Previous.IsZero():
			p.State, p.Message = ClusterRestored, "it had nothing before, and keeps what it has"
		case !m.Connected:
			p.give(ClusterRestoring, s.Now)
		case busy < s.stages[stage].Concurrency(total):
			p.give(ClusterRestoring, s.Now)
			s.at(s.Now.Add(s.stages[stage].Deadline()))
			busy++
		default:
			left++
		}
	}
	return left + busy
}

// isRestored notes that a cluster has what it had before. It takes a place no longer than its deadline.
func (s *step) isRestored(m Member, p *Progress) bool {
	limit := p.Offered.Add(s.stages[m.Stage].Deadline())
	switch {
	case m.Restored && m.Received && m.Health.State == Healthy:
		p.State, p.Message = ClusterRestored, ""
	case !s.Now.Before(limit):
		p.State, p.Message = ClusterRestored, joined("it is not healthy with what it had before", m.Health.Message)
	default:
		s.at(limit)
		return false
	}
	return true
}
