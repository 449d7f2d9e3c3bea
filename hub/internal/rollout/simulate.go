package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/manifest"
)

// Simulated is a made-up cluster.
type Simulated struct {
	Name   string
	Labels map[string]string
	// Takes is how long it takes from the offer until the content is healthy or fails.
	Takes time.Duration
	Fails bool          // the new content fails for good
	Away  time.Duration // it is not connected from the beginning until then; negative: it never comes back
}

// Simulation is what Simulate plays.
type Simulation struct {
	Spec     *api.RolloutSpec
	Clusters []Simulated // sorted by name
	Start    time.Time
	// Approves is how long an approval takes; negative: nobody approves.
	Approves time.Duration
}

// Line is what happens at a time of a simulation.
type Line struct {
	At   time.Time
	Text string
}

// maxSteps bounds a simulation.
const maxSteps = 100_000

// Simulate plays one change of all clusters and returns what happens, in order, and the rollout as it is at the end:
// when nothing more happens without an operator.
func Simulate(c Simulation) (lines []Line, end Rollout) {
	p := &play{Simulation: c, now: c.Start, old: manifest.DigestOf([]byte("old")), new: manifest.DigestOf([]byte("new"))}
	for _, s := range c.Clusters {
		stage := c.Spec.Stage(api.ClusterLabels(s.Name, s.Labels))
		p.members = append(p.members, Member{Cluster: s.Name, Stage: stage, Released: p.old, Planned: p.new,
			Health: Health{State: Healthy}, Received: true, Seen: c.Start})
	}
	p.settleBefore()
	for range maxSteps {
		if !p.step() {
			break
		}
	}
	return p.lines, p.rollout
}

// play is a simulation under way.
type play struct {
	Simulation
	now      time.Time
	old, new manifest.Digest
	members  []Member
	rollout  Rollout
	asked    time.Time // since when an approval is waited for; zero: none is
	lines    []Line
}

// settleBefore makes the old content what the clusters have had so far.
func (p *play) settleBefore() {
	for i := range p.members {
		p.members[i].Was = Progress{State: ClusterDone, Target: p.old}
	}
}

// step decides once, and goes to the next time at which something happens. If nothing does, step returns false.
func (p *play) step() bool {
	p.connect()
	before := p.rollout
	d := Next(Input{Spec: p.Spec, Was: p.rollout, Members: p.members, Now: p.now})
	p.rollout = d.Rollout
	p.tell(before, d)
	next := d.Wake
	for i := range p.members {
		p.members[i].Was = d.Progress[i]
		p.carryOut(&p.members[i])
		p.soonest(&next, p.nextOf(p.members[i], p.Clusters[i]))
	}
	if again := p.approve(&next); again {
		return true
	}
	p.now = next
	return !next.IsZero()
}

// soonest makes next the sooner one of two times, of which zero is never.
func (p *play) soonest(next *time.Time, t time.Time) {
	if t.After(p.now) && (next.IsZero() || t.Before(*next)) {
		*next = t
	}
}

// connect says which clusters are connected, and how their content is.
func (p *play) connect() {
	for i := range p.members {
		m, s := &p.members[i], p.Clusters[i]
		m.Connected = s.Away >= 0 && !p.now.Before(p.Start.Add(s.Away))
		if m.Was.Offered.IsZero() {
			continue
		}
		switch ends := m.Was.Offered.Add(s.Takes); {
		case p.now.Before(ends):
			m.Health = Health{State: InProgress}
		case s.Fails && m.Released == p.new:
			m.Health = Health{State: FailedForGood, Since: ends, Message: "made up to fail"}
		default:
			m.Health = Health{State: Healthy, Since: ends}
		}
	}
}

// carryOut makes a decision what the cluster has.
func (p *play) carryOut(m *Member) {
	switch m.Was.State {
	case ClusterUnderWay:
		m.Released = m.Was.Target
	case ClusterRestoring:
		m.Released, m.Restored = p.old, true
	}
}

// nextOf returns when something happens to a cluster next.
func (p *play) nextOf(m Member, s Simulated) (next time.Time) {
	p.soonest(&next, p.Start.Add(s.Away))
	if m.Was.State == ClusterUnderWay || m.Was.State == ClusterRestoring {
		p.soonest(&next, m.Was.Offered.Add(s.Takes))
	}
	return next
}

// approve approves what has waited long enough, and reports whether it did.
func (p *play) approve(next *time.Time) bool {
	waiting := p.rollout
	waiting.Stages = slices.Clone(waiting.Stages)
	place, err := waiting.Approve(p.Spec, "", "simulated", p.now)
	switch {
	case err != nil:
		p.asked = time.Time{}
		return false
	case p.Approves < 0:
		return false
	case p.asked.IsZero():
		p.asked = p.now
	}
	if due := p.asked.Add(p.Approves); p.now.Before(due) {
		p.soonest(next, due)
		return false
	}
	p.rollout, p.asked = waiting, time.Time{}
	p.say("approved %s", place)
	return true
}

func (p *play) say(format string, arguments ...any) {
	p.lines = append(p.lines, Line{At: p.now, Text: fmt.Sprintf(format, arguments...)})
}

// tell notes what a decision changed: what ended comes before what begins.
func (p *play) tell(before Rollout, d Decision) {
	p.tellClusters(d, func(s State) bool { return s != ClusterUnderWay })
	for i, st := range d.Rollout.Stages {
		if i < len(before.Stages) && before.Stages[i].Finished.IsZero() && !st.Finished.IsZero() && !st.Begun.IsZero() {
			p.say("stage %s is finished", st.Name)
		}
	}
	for i, st := range d.Rollout.Stages {
		was := Stage{}
		if i < len(before.Stages) && before.Number == d.Rollout.Number {
			was = before.Stages[i]
		}
		if was.Begun.IsZero() && !st.Begun.IsZero() {
			p.say("stage %s begins", st.Name)
		}
	}
	p.tellClusters(d, func(s State) bool { return s == ClusterUnderWay })
	if before.Phase != d.Rollout.Phase || d.Rollout.Phase == Waiting && before.Message != d.Rollout.Message {
		p.say("%s", strings.TrimSuffix(fmt.Sprintf("%s: %s", d.Rollout.Phase, d.Rollout.Message), ": "))
	}
}

// tellClusters notes the clusters that came to some of the states, those of one state and message together.
func (p *play) tellClusters(d Decision, is func(State) bool) {
	type change struct {
		state   State
		message string
	}
	names := map[change][]string{}
	var order []change
	for i, now := range d.Progress {
		c := change{now.State, now.Message}
		if now.State == p.members[i].Was.State || now.State == ClusterWaiting || !is(now.State) {
			continue
		}
		if names[c] == nil {
			order = append(order, c)
		}
		names[c] = append(names[c], p.members[i].Cluster)
	}
	slices.SortStableFunc(order, func(a, b change) int { return cmp.Compare(a.state, b.state) })
	for _, c := range order {
		p.say("%s", strings.TrimSuffix(fmt.Sprintf("%s: %s: %s", strings.Join(names[c], ", "), c.state, c.message), ": "))
	}
}
