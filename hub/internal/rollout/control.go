package rollout

import (
	"errors"
	"fmt"
	"time"

	"github.com/navefleet/nave/hub/api"
)

// ErrNothing is why a decision of an operator changes nothing, to be told apart with errors.Is.
var ErrNothing = errors.New("nothing to change")

// nothing returns an ErrNothing with a cause.
func nothing(format string, arguments ...any) error {
	return fmt.Errorf("%w: %s", ErrNothing, fmt.Sprintf(format, arguments...))
}

// isActive returns an ErrNothing if the rollout has ended.
func (r *Rollout) isActive() error {
	switch {
	case r.Number == 0:
		return nothing("the Fleet had no rollout yet")
	case r.Phase.Ended():
		return nothing("rollout %d has ended: it is %s", r.Number, r.Phase)
	}
	return nil
}

// Approve approves what waits for an approval: before or after the named stage, or wherever the rollout waits.
func (r *Rollout) Approve(spec *api.RolloutSpec, stage, by string, now time.Time) (string, error) {
	if err := r.isActive(); err != nil {
		return "", err
	}
	for i, s := range spec.AllStages() {
		if i >= len(r.Stages) || r.Stages[i].Name != s.Name {
			return "", nothing("the stages of the Fleet have just changed: look at the rollout again")
		}
		st := &r.Stages[i]
		if !st.Finished.IsZero() {
			continue
		}
		place, a, tasks := "before stage "+s.Name, &st.Before, s.BeforeStage
		if !st.Settled.IsZero() {
			place, a, tasks = "after stage "+s.Name, &st.After, s.AfterStage
		} else if !st.Begun.IsZero() {
			tasks = nil
		}
		if stage != "" && stage != s.Name || !asksApproval(tasks) || !a.At.IsZero() {
			break // only this stage can wait
		}
		*a = Approval{At: now, By: by}
		return place, nil
	}
	if stage != "" {
		return "", nothing("rollout %d does not wait for an approval of stage %s", r.Number, stage)
	}
	return "", nothing("rollout %d waits for no approval", r.Number)
}

func asksApproval(tasks []api.RolloutTask) bool {
	for _, t := range tasks {
		if t.Type == api.ApprovalTask {
			return true
		}
	}
	return false
}

// Suspend lets no more clusters begin, in this rollout and those after it, or lets them begin again.
func (r *Rollout) Suspend(suspend bool) error {
	switch {
	case suspend && r.Suspended:
		return nothing("rollouts of the Fleet are suspended already")
	case !suspend && !r.Suspended:
		return nothing("no operator has suspended rollouts of the Fleet")
	}
	r.Suspended = suspend
	return nil
}

// Abort ends the rollout. Clusters keep what they have.
func (r *Rollout) Abort() error {
	if err := r.isActive(); err != nil {
		return err
	}
	r.Order = Abort
	return nil
}

// RollBack gives all clusters that took up the target what they had before. A rollout that has succeeded or was aborted
// can be rolled back, too.
func (r *Rollout) RollBack() error {
	switch {
	case r.Number == 0:
		return r.isActive()
	case r.Order == Rollback:
		return nothing("rollout %d is %s", r.Number, r.Phase)
	}
	r.Order = Rollback
	return nil
}

// Release begins the next rollout, with the content that a rollback or an abort holds.
func (r *Rollout) Release() error {
	if r.Number == 0 {
		return r.isActive()
	}
	if r.Order != Rollback && r.Order != Abort {
		return nothing("rollout %d is not held: it is %s", r.Number, r.Phase)
	}
	r.Order = Restart
	return nil
}

// Retry gives a cluster that has failed or was left out another turn, with a new deadline. While a rollback or an abort
// holds the rollout, no cluster gets one.
func (r *Rollout) Retry(stage int, p *Progress, now time.Time) error {
	if r.Order == Rollback || r.Order == Abort {
		return nothing("rollout %d is held: release it first", r.Number)
	}
	switch p.State {
	case ClusterFailed:
		p.give(ClusterUnderWay, now)
		p.Since = now
	case ClusterLeftOut:
		p.State, p.Message, p.Since = ClusterWaiting, "", now
	default:
		return nothing("the cluster is %s", p.State)
	}
	if !r.Phase.Ended() && stage < len(r.Stages) && !p.Joined {
		r.Stages[stage].Settled, r.Stages[stage].Finished = time.Time{}, time.Time{}
	}
	return nil
}

// Skip leaves a cluster out until the next rollout. What it has taken up stays.
func (r *Rollout) Skip(p *Progress, by string, now time.Time) error {
	switch p.State {
	case ClusterWaiting, ClusterUnderWay, ClusterFailed, ClusterSkipped:
		p.State, p.Message, p.Since = ClusterLeftOut, "left out by "+by, now
		return nil
	}
	return nothing("the cluster is %s", p.State)
}
