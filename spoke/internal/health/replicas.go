package health

import (
	"fmt"
	"math"
	"slices"

	words "github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
)

// first returns the first report that is not nil; Current if there is none.
func first(reports ...*Report) Report {
	for _, r := range reports {
		if r != nil {
			return *r
		}
	}
	return Report{Status: health.Current}
}

// when returns InProgress if a condition holds, and nil otherwise.
func when(holds bool, reason, format string, values ...any) *Report {
	if !holds {
		return nil
	}
	return &Report{Status: health.InProgress, Reason: reason, Message: fmt.Sprintf(format, values...)}
}

// fewer returns InProgress if fewer Pods than wanted are in a state.
func fewer(reason, state string, are, wanted int64) *Report {
	return when(are < wanted, reason, "%s: %d/%d", state, are, wanted)
}

// more returns InProgress if there are more Pods than wanted.
func more(are, wanted int64) *Report {
	return when(are > wanted, "ExtraPods", "Pending termination: %d", are-wanted)
}

// replicas returns how many Pods an object wants: one if it does not say.
func replicas(o *manifest.Object) int64 {
	if n, set := whole(o, "spec", "replicas"); set {
		return n
	}
	return 1
}

func assessDeployment(o *manifest.Object, conditions []condition) Report {
	deadline, limited := whole(o, "spec", "progressDeadlineSeconds")
	progressed := !limited || deadline == math.MaxInt32 // without a deadline there is no condition Progressing
	available := false
	for _, c := range conditions {
		switch {
		case c.Type == words.Progressing && c.Reason == "ProgressDeadlineExceeded":
			return Report{Status: health.Failed, Reason: c.Reason, Message: "Progress deadline exceeded"}
		case c.Status != words.True:
		case c.Type == words.Progressing:
			progressed = progressed || c.Reason == "NewReplicaSetAvailable"
		case c.Type == "Available":
			available = true
		}
	}
	wanted, updated := replicas(o), number(o, "status", "updatedReplicas")
	return first(
		fewer("LessReplicas", "Replicas", number(o, "status", "replicas"), wanted),
		fewer("LessUpdated", "Updated", updated, wanted),
		more(number(o, "status", "replicas"), wanted),
		fewer("LessAvailable", "Available", number(o, "status", "availableReplicas"), updated),
		fewer("LessReady", words.Ready, number(o, "status", "readyReplicas"), wanted),
		when(!progressed, "ReplicaSetNotAvailable", "ReplicaSet not Available"),
		when(!available, "DeploymentNotAvailable", "Deployment not Available"),
	)
}

func assessReplicaSet(o *manifest.Object, conditions []condition) Report {
	failing := slices.ContainsFunc(conditions, func(c condition) bool {
		return c.Type == "ReplicaFailure" && c.Status == words.True
	})
	wanted := replicas(o)
	return first(
		when(failing, "ReplicaFailure", "Replica Failure condition. Check Pods"),
		fewer("LessLabelled", "Labelled", number(o, "status", "fullyLabeledReplicas"), wanted),
		fewer("LessAvailable", "Available", number(o, "status", "availableReplicas"), wanted),
		fewer("LessReady", words.Ready, number(o, "status", "readyReplicas"), wanted),
		more(number(o, "status", "replicas"), wanted),
	)
}

// assessStatefulSet judges a StatefulSet with updateStrategy OnDelete as one whose partition covers all its Pods: they
// must be ready, with any revision. kstatus calls such a set Current before it has any Pod.
func assessStatefulSet(o *manifest.Object, _ []condition) Report {
	wanted := replicas(o)
	partition, partitioned := whole(o, "spec", "updateStrategy", "rollingUpdate", "partition")
	if onDelete(o) {
		partition, partitioned = wanted, true
	}
	scheduled := []*Report{
		fewer("LessReplicas", "Replicas", number(o, "status", "replicas"), wanted),
		fewer("LessReady", words.Ready, number(o, "status", "readyReplicas"), wanted),
		more(number(o, "status", "replicas"), wanted),
	}
	if partitioned {
		return first(append(scheduled,
			fewer("PartitionRollout", "updated", number(o, "status", "updatedReplicas"), wanted-partition))...)
	}
	return first(append(scheduled,
		fewer("LessCurrent", "current", number(o, "status", "currentReplicas"), wanted),
		when(text(o, "status", "currentRevision") != text(o, "status", "updateRevision"), "RevisionMismatch",
			"Waiting for updated revision to match current"))...)
}

// assessDaemonSet judges a DaemonSet with updateStrategy OnDelete by its ready Pods of any revision,
// because it does not replace them itself.
func assessDaemonSet(o *manifest.Object, _ []condition) Report {
	_, generated := whole(o, "metadata", "generation")
	_, seen := whole(o, "status", "observedGeneration")
	wanted, counted := whole(o, "status", "desiredNumberScheduled")
	updated := number(o, "status", "updatedNumberScheduled")
	if onDelete(o) {
		updated = wanted
	}
	return first(
		when(!generated, "NoGeneration", "DaemonSet metadata.generation not found"),
		when(!seen, "NoObservedGeneration", "DaemonSet status.observedGeneration not found"),
		when(!counted, "NoDesiredNumber", "Missing .status.desiredNumberScheduled"),
		fewer("LessCurrent", "Current", number(o, "status", "currentNumberScheduled"), wanted),
		fewer("LessUpdated", "Updated", updated, wanted),
		fewer("LessAvailable", "Available", number(o, "status", "numberAvailable"), wanted),
		fewer("LessReady", words.Ready, number(o, "status", "numberReady"), wanted),
	)
}

// onDelete reports whether somebody must delete the Pods of a set to have them updated.
func onDelete(o *manifest.Object) bool {
	return text(o, "spec", "updateStrategy", "type") == "OnDelete"
}
