package status

import (
	"fmt"
	"strings"

	"github.com/navefleet/nave/hub/internal/rollout"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/wording"
)

// ofRollouts is every rollout of a Fleet.
func ofRollouts(fleet string) Dependency { return Dependency{store.Rollouts.Name(), fleet + "/"} }

// rollout returns the newest rollout of a Fleet; nil: there was none, or it cannot be read.
func (r *Reader) rollout(fleet string) (*store.Rollout, error) {
	r.reads.add(ofRollouts(fleet))
	if row, known := r.rollouts[fleet]; known {
		return row, nil
	}
	row, ok, err := store.LatestRollout(r.tx, fleet)
	if err != nil {
		return nil, err
	}
	r.rollouts[fleet] = nil
	if ok && row.Number > 0 {
		r.rollouts[fleet] = &row
	}
	return r.rollouts[fleet], nil
}

// turn adds the turn of a planned application's cluster in the rollout of its Fleet.
func (r *Reader) turn(f *Facts) (err error) {
	if f.Entry == nil || f.Entry.Fleet == "" {
		return nil
	}
	f.Turn, err = get(r, store.Turns, store.TurnKey(f.Resource.Key.Cluster, f.Entry.Fleet))
	if err != nil || f.Turn == nil {
		return err
	}
	f.Rollout, err = r.rollout(f.Entry.Fleet)
	return err
}

// isHeld reports whether a rollout keeps the planned content of an application from its cluster. One that is skipped
// because it is offline waits for its spoke.
func (f Facts) isHeld() bool {
	if f.Turn == nil || f.Rollout == nil || f.Pin != nil {
		return false
	}
	switch f.Turn.State {
	case rollout.ClusterRestoring, rollout.ClusterRestored:
		return len(f.Turn.Before) > 0
	case rollout.ClusterSkipped:
		return f.Turn.Offered.IsZero() && f.Spoke != nil && f.Spoke.Connected
	case rollout.ClusterWaiting, rollout.ClusterLeftOut:
		return f.Turn.Offered.IsZero()
	}
	return false
}

// heldReason returns the reason of an application that a rollout holds: what the rollout does, or, after it has
// succeeded, that the cluster comes later.
func (f Facts) heldReason() string {
	if f.Rollout.Phase == rollout.Succeeded {
		return condition.RolloutWaiting
	}
	return f.Rollout.Phase.Reason()
}

// heldTurnVerdict returns the verdict about an application that a rollout holds. If what the cluster has is not ready,
// the verdict is about that.
func (f Facts) heldTurnVerdict(hub verdict) verdict {
	text := fmt.Sprintf("Revision %s waits for its turn in %s", f.Entry.Revision, f.rolloutText())
	switch f.Turn.State {
	case rollout.ClusterSkipped, rollout.ClusterLeftOut:
		text = fmt.Sprintf("Revision %s was not given to this cluster: %s; %s", f.Entry.Revision, f.Turn.Message,
			f.rolloutText())
	case rollout.ClusterRestoring, rollout.ClusterRestored:
		text = fmt.Sprintf("Revision %s was taken back: %s", f.Entry.Revision, f.rolloutText())
	}
	if f.Report != nil {
		if v := f.spokeVerdict(); v.ready == condition.False {
			v.message += ". " + text
			return v
		}
		if f.Report.AppliedRevision != "" {
			text += ". The cluster keeps " + f.Report.AppliedRevision
		}
	}
	return pending(f.heldReason(), text, later(hub.since, f.Turn.Since))
}

// rolloutText names the rollout and says what it does.
func (f Facts) rolloutText() string {
	fleet := f.Resource.Key.Name
	if f.Entry != nil {
		fleet = f.Entry.Fleet
	}
	text := fmt.Sprintf("rollout %d of Fleet %s: %s: %s", f.Rollout.Number, fleet, f.Rollout.Phase, f.Rollout.Message)
	return strings.TrimSuffix(text, ": ")
}

// rolloutVerdict returns the verdict about the newest rollout of a Fleet. If it has succeeded, or there was none,
// rolloutVerdict returns false.
func (f Facts) rolloutVerdict() (verdict, bool) {
	switch {
	case f.Rollout == nil || f.Rollout.Phase == rollout.Succeeded:
		return verdict{}, false
	case f.Rollout.Phase == rollout.Failed || f.Rollout.Phase == rollout.RollingBack ||
		f.Rollout.Phase == rollout.RolledBack:
		return failing(f.Rollout.Phase.Reason(), f.rolloutText(), f.Rollout.Since), true
	}
	return pending(f.Rollout.Phase.Reason(), f.rolloutText(), f.Rollout.Since), true
}

// withRollout returns the verdict about a Fleet, which is not ready while a rollout is under way, and failing if it
// failed or was rolled back.
func (f Facts) withRollout(v verdict) verdict {
	own, ok := f.rolloutVerdict()
	if !ok || v.ready == condition.False && own.ready != condition.False {
		return v
	}
	own.message += "; " + v.message
	return own
}

// setRollout sets the fields of a Fleet about its newest rollout.
func (f Facts) setRollout(status fields) {
	r := f.Rollout
	if r == nil {
		return
	}
	set := fields{"number": r.Number, "phase": string(r.Phase), "since": wording.Time(r.Since)}
	set.set("revision", r.Revision)
	set.set("message", r.Message)
	var stages []any
	for _, st := range r.Stages {
		if st.Counts.Clusters == 0 {
			continue
		}
		stages = append(stages, map[string]any{"name": st.Name, "clusters": st.Counts.Clusters, "done": st.Counts.Done,
			"underWay": st.Counts.UnderWay, "waiting": st.Counts.Waiting, "failed": st.Counts.Failed,
			"skipped": st.Counts.Skipped})
	}
	if stages != nil {
		set["stages"] = stages
	}
	status["rollout"] = map[string]any(set)
}
