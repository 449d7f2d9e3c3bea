// Package rollout decides which clusters of a Fleet may take up a change now, and which spokes another image. Its
// functions are functions of values: they read no clock and no store.
//
// A change of what a Fleet gives to its clusters moves through the stages of the Fleet (api.RolloutSpec):
//
//   - The target of a cluster is the digest of its content. A rollout begins when a plan gives a cluster another one.
//     Plans that change while it runs begin the next rollout, at the first stage.
//   - A cluster is done when it has been healthy at its target for the stage's minSuccessTime, without a break. What it
//     reported about older content never counts. It has failed when its content failed, or the deadline passed. One
//     that was done and fails while the rollout runs has failed, too.
//   - Under way are the clusters that have the target and are neither done nor failed. No cluster begins while as many
//     are as may be. That is computed from the rows, so a restart of the hub changes nothing.
//   - When more clusters of a stage failed than may, no cluster of the Fleet begins any more.
//   - A cluster without a session is not failed. It is skipped, or waited for, and gets its turn when it comes back.
//   - A cluster that joins while a rollout runs gets its turn when its stage is finished, as one that was skipped does.
//     A cluster that leaves gives up its content after all stages, the last stage first.
package rollout

import (
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// Phase is what a rollout does now.
type Phase string

// The phases. A rollout in one of the last four has ended.
const (
	Progressing Phase = condition.Progressing // clusters are under way, or come next
	Waiting     Phase = "Waiting"             // for a time, an approval, a window or clusters that are not connected
	Suspended   Phase = condition.Suspended   // no cluster begins
	Failed      Phase = "Failed"              // too many clusters failed: no cluster begins
	RollingBack Phase = "RollingBack"
	RolledBack  Phase = "RolledBack" // and stays so until the content changes, or an operator releases it
	Aborted     Phase = "Aborted"    // clusters keep what they have until the content changes, or an operator releases it
	Succeeded   Phase = condition.Succeeded
	Superseded  Phase = "Superseded" // by the next rollout
)

// Ended reports whether a rollout in this phase lets no more clusters of its stages begin.
func (p Phase) Ended() bool {
	return p == RolledBack || p == Aborted || p == Succeeded || p == Superseded || p == ""
}

// Reason returns the reason of conditions and events about a rollout in this phase.
func (p Phase) Reason() string { return "Rollout" + string(p) }

// Rollout is a change on its way through a Fleet, as it was decided last.
type Rollout struct {
	Number  uint64    `json:"number"` // among those of the Fleet; 0: there was none yet
	Phase   Phase     `json:"phase,omitempty"`
	Message string    `json:"message,omitempty"`
	Since   time.Time `json:"since,omitzero"` // of Phase
	Began   time.Time `json:"began,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	Stages  []Stage   `json:"stages,omitempty"` // in order, those without clusters, too
	// Order is what an operator, or spec.onFailure, decided about the rollout; empty: it goes forward.
	Order Order `json:"order,omitempty"`
	// Suspended: an operator lets no cluster begin.
	Suspended bool `json:"suspended,omitempty"`
}

// Order is a decision about a whole rollout.
type Order string

// The orders.
const (
	Rollback Order = "Rollback" // give all clusters that have the target what they had before
	Abort    Order = "Abort"    // let no more clusters begin
	Restart  Order = "Restart"  // begin the next rollout, with the same content
)

// Stage is a stage of a rollout.
type Stage struct {
	Name     string    `json:"name"`
	Begun    time.Time `json:"begun,omitzero"`    // zero: the tasks before it are not done
	Settled  time.Time `json:"settled,omitzero"`  // zero: some of its clusters are not
	Finished time.Time `json:"finished,omitzero"` // zero: the tasks after it are not done
	Before   Approval  `json:"before,omitzero"`
	After    Approval  `json:"after,omitzero"`
	Counts   Counts    `json:"counts"`
}

// Approval is an operator's for the tasks before or after a stage.
type Approval struct {
	At time.Time `json:"at,omitzero"` // zero: there is none
	By string    `json:"by,omitempty"`
}

// Counts counts the clusters of a stage, those that joined later, too.
type Counts struct {
	Clusters int `json:"clusters"`
	Waiting  int `json:"waiting,omitempty"`
	UnderWay int `json:"underWay,omitempty"`
	Done     int `json:"done,omitempty"`
	Failed   int `json:"failed,omitempty"`
	Skipped  int `json:"skipped,omitempty"`
}

// State is how far a cluster has come with a rollout.
type State string

// The states of a cluster.
const (
	ClusterWaiting   State = "Waiting"
	ClusterUnderWay  State = "UnderWay"
	ClusterDone      State = "Done"
	ClusterFailed    State = "Failed"
	ClusterSkipped   State = "Skipped" // it is not reachable, or pinned; it is caught up later
	ClusterLeftOut   State = "LeftOut" // by an operator, until the next rollout
	ClusterRestoring State = "Restoring"
	ClusterRestored  State = "Restored"
	ClusterLeaving   State = "Leaving" // the Fleet gives it nothing any more
)

// Progress is how far a cluster has come with a rollout, as it was decided last.
type Progress struct {
	Rollout uint64          `json:"rollout"` // its number
	Target  manifest.Digest `json:"target,omitzero"`
	State   State           `json:"state"`
	Message string          `json:"message,omitempty"`
	Since   time.Time       `json:"since,omitzero"` // of State
	// Offered is when the target was let through; zero: it was not. The cluster has its last content until then.
	Offered time.Time `json:"offered,omitzero"`
	// Previous is the content that a rollback restores: the last that was done before Offered; zero: there was none.
	Previous manifest.Digest `json:"previous,omitzero"`
	// Healthy is since when the hub has seen the cluster healthy without a break; zero: it is not. Reported is the time at
	// which the spoke said that this began, by its own clock: another one means that there was a break.
	Healthy  time.Time `json:"healthy,omitzero"`
	Reported time.Time `json:"reported,omitzero"`
	Failing  time.Time `json:"failing,omitzero"` // since when the hub has seen it fail; zero: it does not
	Joined   bool      `json:"joined,omitempty"` // after the rollout began
}

// Member is a cluster of a Fleet, with the facts about it.
type Member struct {
	Cluster string
	Stage   int // index into the stages of the Fleet
	// Released and Planned are digests over the content that the Fleet gives to the cluster, in the last release and in
	// the plan. Zero: there is no content. They do not depend on controls that take effect at once, such as a suspension.
	Released, Planned manifest.Digest
	Restored          bool   // the release has the content of Was.Previous
	Health            Health // of what is released
	Connected         bool
	Seen              time.Time // if not connected: when it was; zero: never
	Received          bool      // the spoke has the bundle of the last release
	// Excluded says why the cluster takes up no content now: it is pinned or suspended. Empty: it does.
	Excluded string
	Was      Progress
}

// Health is how the content of a cluster is, as its spoke says of this very content.
type Health struct {
	State   HealthState
	Since   time.Time // by the clock of the spoke
	Message string    // of failures: the object and its condition
}

// HealthState is the state of a Health.
type HealthState int

// The states of content. Content that failed for good is not tried again by the spoke without a cause.
const (
	InProgress HealthState = iota
	Healthy
	Failing // it may still heal
	FailedForGood
)

// Input holds the facts that Next decides from.
type Input struct {
	Spec    *api.RolloutSpec
	Was     Rollout
	Members []Member // every cluster of the Fleet, waiting or not, sorted by name
	// Suspended says why no cluster may begin, although the rollout is not suspended; empty: it may.
	Suspended string
	Up, Now   time.Time // since when the hub runs: time in which no hub ran passes no deadline
}

// Decision is the result of Next.
type Decision struct {
	Rollout    Rollout
	Progress   []Progress // of each member
	Superseded *Rollout   // the rollout that the next one took the place of; nil: none
	Wake       time.Time  // when to decide again although no fact changed; zero: never
}
