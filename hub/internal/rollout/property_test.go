package rollout

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
)

// TestNext_random plays random histories and holds what is promised of each decision:
//
//   - no cluster begins while as many are under way as may be, before the stages before its own are finished, while the
//     rollout failed or is suspended, or outside of the windows
//   - a cluster is done only when it is connected and has been healthy at the target for long enough
//   - when nothing more happens, every rollout ends, or says what it waits for
func TestNext_random(t *testing.T) {
	for seed := range uint64(400) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := &history{Rand: rand.New(rand.NewPCG(seed, 7)), world: newWorld(t, randomSpec(seed))}
			h.check = h.holds
			for i := range 6 {
				h.plan(fmt.Sprintf("c%d@%d", i, h.IntN(len(h.spec.Stages)+1)), "0")
			}
			h.decide()
			for range 60 {
				h.disturb()
				h.run(time.Duration(h.IntN(600)) * time.Second)
			}
			h.quiet()
			if t.Failed() {
				t.Logf("spec: %+v", h.spec)
			}
		})
	}
}

// randomSpec returns one of some strategies.
func randomSpec(seed uint64) string {
	specs := []string{
		"{}",
		staged,
		`{stages: [{name: one, maxConcurrency: 1, minSuccessTime: 2m, progressDeadline: 5m, maxFailures: 1}]}`,
		`{onFailure: Rollback, stages: [{name: a, maxConcurrency: 50%, maxFailures: 50%},
  {name: b, maxConcurrency: 1, beforeStage: [{type: Approval}, {type: TimedWait, waitTime: 3m}]}]}`,
		`{unreachable: {policy: Wait}, stages: [{name: a, afterStage: [{type: Approval}]}, {name: b, minSuccessTime: 5m}]}`,
		`{unreachable: {after: 1m}, windows: [{kind: Deny, schedule: "*/30 * * * *", duration: 10m}],
  stages: [{name: a, minSuccessTime: 1m, maxConcurrency: 2, progressDeadline: 3m}]}`,
	}
	return specs[seed%uint64(len(specs))]
}

// history is a world in which random things happen.
type history struct {
	*rand.Rand
	*world
	contents int
}

// disturb does one random thing.
func (h *history) disturb() {
	m := h.members[h.IntN(len(h.members))]
	switch h.IntN(15) {
	case 0, 1, 2: // a commit for all
		h.commit(func(*Member) bool { return true })
	case 3: // for some
		h.commit(func(*Member) bool { return h.IntN(2) == 0 })
	case 4, 5:
		if m.Connected = !m.Connected; !m.Connected {
			m.Seen = h.now
		}
	case 6: // it restarts
		h.since[m.Cluster] = h.now
	case 7: // its labels change
		m.Stage = h.IntN(len(h.spec.Stages) + 1)
	case 8: // it leaves
		if h.members[0] != m && h.members[1] != m { // two stay
			m.Planned = digest("")
		}
	case 9: // one joins
		if content := h.content(); len(h.members) < 9 {
			h.member(fmt.Sprintf("n%d", h.IntN(100))).Planned = digest(content)
		}
	case 10: // the hub restarts
		h.now = h.now.Add(time.Duration(h.IntN(7200)) * time.Second)
		h.up = h.now
	case 11:
		m.Excluded = map[bool]string{true: "it is pinned"}[m.Excluded == ""]
	case 12:
		h.operate(m)
	case 14: // it takes a while until decisions are carried out
		h.slow = !h.slow
	case 13: // the clock is set back
		h.now = h.now.Add(-time.Duration(h.IntN(600)) * time.Second)
	}
}

func (h *history) content() string { return fmt.Sprint(h.contents) }

// commit gives new content, which is bad sometimes, to some clusters.
func (h *history) commit(to func(*Member) bool) {
	h.contents++
	if h.IntN(3) == 0 {
		h.breaks(h.content())
	}
	for _, m := range h.members {
		if !m.Planned.IsZero() && to(m) {
			m.Planned = digest(h.content())
		}
	}
}

// operate is a decision of an operator, which may change nothing.
func (h *history) operate(m *Member) {
	switch h.IntN(8) {
	case 0, 1, 2:
		_, _ = h.r.Approve(h.spec, "", "ann", h.now)
	case 3:
		_ = h.r.Suspend(!h.r.Suspended)
	case 4:
		_ = h.r.RollBack()
	case 5:
		_ = h.r.Release()
	case 6:
		_ = h.r.Retry(m.Stage, &m.Was, h.now)
	case 7:
		_ = h.r.Skip(&m.Was, "ann", h.now)
	}
}

// holds checks one decision.
func (h *history) holds(before []Member, d Decision) {
	h.Helper()
	open, _ := h.spec.Open(h.now)
	stages := h.spec.AllStages()
	underWay, total, began := make([]int, len(stages)), make([]int, len(stages)), make([]bool, len(stages))
	for i, m := range before {
		p := d.Progress[i]
		if p.State != ClusterLeaving {
			total[m.Stage]++
		}
		if p.State == ClusterUnderWay {
			underWay[m.Stage]++
		}
		isCarried := d.Rollout.Number != h.r.Number && m.Was.Target == p.Target && !m.Was.Offered.IsZero()
		if p.State == ClusterUnderWay && m.Was.State != ClusterUnderWay && !isCarried {
			began[m.Stage] = true
			h.mayBegin(m, d, open)
		}
		if p.State == ClusterDone && m.Was.State == ClusterUnderWay {
			h.isDone(m, p, stages[m.Stage])
		}
	}
	for i, s := range stages {
		if began[i] && underWay[i] > s.Concurrency(total[i]) {
			h.t.Errorf("stage %s: %d under way, of which %d may", s.Name, underWay[i], s.Concurrency(total[i]))
		}
	}
	if !d.Rollout.Phase.Ended() && d.Wake.IsZero() && d.Rollout.Message == "" {
		h.t.Errorf("rollout %d is %s and says nothing", d.Rollout.Number, d.Rollout.Phase)
	}
}

// mayBegin fails if a cluster must not begin now.
func (h *history) mayBegin(m Member, d Decision, open bool) {
	r := d.Rollout
	if !open || r.Suspended || r.Order != "" || r.Phase == Failed || !m.Connected || m.Excluded != "" {
		h.t.Errorf("%s begins: open %t, %+v", m.Cluster, open, r)
	}
	for i := range m.Stage {
		if st := r.Stages[i]; st.Finished.IsZero() {
			h.t.Errorf("%s begins before stage %s is finished", m.Cluster, st.Name)
		}
	}
}

// isDone fails if a cluster is not done.
func (h *history) isDone(m Member, p Progress, s api.RolloutStage) {
	healthy := m.Health.State == Healthy && m.Released == p.Target && m.Connected
	if !healthy || h.now.Sub(h.since[m.Cluster]) < s.MinSuccessTime.Duration {
		h.t.Errorf("%s is done: %+v", m.Cluster, m)
	}
}

// quiet ends all disturbances, and wants each rollout to end.
func (h *history) quiet() {
	for _, m := range h.members {
		m.Connected, m.Excluded = true, ""
	}
	h.slow = false
	_ = h.r.Suspend(false)
	for range 30 {
		h.run(3 * time.Hour)
		_, _ = h.r.Approve(h.spec, "", "ann", h.now)
	}
	if !h.r.Phase.Ended() && h.r.Phase != Failed {
		h.t.Errorf("rollout %d is %s for ever: %s", h.r.Number, h.r.Phase, h.r.Message)
	}
	for _, m := range h.members {
		isHeld := strings.Contains(h.r.Message, "failed on")
		if h.r.Phase == Succeeded && !isHeld && (m.Was.State == ClusterWaiting || m.Was.State == ClusterUnderWay) {
			h.t.Errorf("%s is %s, although the rollout has succeeded", m.Cluster, m.Was.State)
		}
	}
}

func (h *history) Helper() { h.t.(interface{ Helper() }).Helper() }
