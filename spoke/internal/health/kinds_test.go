package health

import (
	"testing"

	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// TestKinds checks the table of docs/health.md.
func TestKinds(t *testing.T) {
	const (
		job       = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: a, generation: 1}\n"
		daemonSet = "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: a, generation: 1}\n"
		stateful  = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: a, generation: 1}\n"
		pod       = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"
		release   = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: a, generation: 2}\n"
		helmRepo  = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name: a, generation: 1}\n"
		widget    = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: a, generation: 1}\n"
	)
	for _, c := range []struct {
		name, yaml string
		want       health.Status
		reason     string
	}{
		{"job_not_started", job, health.InProgress, "JobNotComplete"},
		{"job_running", job + "status: {startTime: '2026-01-01T00:00:00Z', active: 1}", health.InProgress, "JobNotComplete"},
		{"job_suspended", job + "spec: {suspend: true}", health.InProgress, "JobSuspended"},
		{"job_complete", job + "status: {succeeded: 1, conditions: [{type: SuccessCriteriaMet, status: 'True'}, " +
			"{type: Complete, status: 'True'}]}", health.Current, ""},
		{"job_failing", job + "status: {conditions: [{type: FailureTarget, status: 'True'}]}", health.InProgress,
			"JobNotComplete"},
		{"job_failed", job + "status: {conditions: [{type: Failed, status: 'True', reason: BackoffLimitExceeded, " +
			"message: Job has reached the specified backoff limit}]}", health.Failed, "BackoffLimitExceeded"},
		{"job_not_failed", job + "status: {conditions: [{type: Failed, status: 'False'}]}", health.InProgress,
			"JobNotComplete"},

		{"daemonset_not_seen", daemonSet + "spec: {updateStrategy: {type: OnDelete}}", health.InProgress,
			"NoObservedGeneration"},
		{"daemonset_updating", daemonSet + "status: {observedGeneration: 1, desiredNumberScheduled: 3, " +
			"currentNumberScheduled: 3, updatedNumberScheduled: 1, numberAvailable: 3, numberReady: 3}", health.InProgress,
			"LessUpdated"},
		{"daemonset_on_delete", daemonSet + "spec: {updateStrategy: {type: OnDelete}}\nstatus: {observedGeneration: 1, " +
			"desiredNumberScheduled: 3, currentNumberScheduled: 3, updatedNumberScheduled: 1, numberAvailable: 3, " +
			"numberReady: 3}", health.Current, ""},
		{"daemonset_on_delete_unready", daemonSet + "spec: {updateStrategy: {type: OnDelete}}\nstatus: " +
			"{observedGeneration: 1, desiredNumberScheduled: 3, currentNumberScheduled: 3, numberAvailable: 2, " +
			"numberReady: 2}", health.InProgress, "LessAvailable"},
		{"daemonset_no_node", daemonSet + "status: {observedGeneration: 1, desiredNumberScheduled: 0}", health.Current, ""},

		{"statefulset_on_delete_new", stateful + "spec: {replicas: 3, updateStrategy: {type: OnDelete}}", health.InProgress,
			"LessReplicas"},
		{"statefulset_on_delete", stateful + "spec: {replicas: 3, updateStrategy: {type: OnDelete}}\nstatus: {replicas: 3, " +
			"readyReplicas: 3, currentReplicas: 2, updatedReplicas: 1, currentRevision: a-1, updateRevision: a-2}",
			health.Current, ""},
		{"statefulset_on_delete_default", stateful + "spec: {updateStrategy: {type: OnDelete}}\nstatus: {replicas: 1}",
			health.InProgress, "LessReady"},
		{"statefulset_partition_rolling", stateful + "spec: {replicas: 3, updateStrategy: {rollingUpdate: " +
			"{partition: 1}}}\nstatus: {replicas: 3, readyReplicas: 3, updatedReplicas: 1}", health.InProgress,
			"PartitionRollout"},
		{"statefulset_partition", stateful + "spec: {replicas: 3, updateStrategy: {rollingUpdate: {partition: 1}}}\n" +
			"status: {replicas: 3, readyReplicas: 3, currentReplicas: 1, updatedReplicas: 2, currentRevision: a-1, " +
			"updateRevision: a-2}", health.Current, ""},

		{"pod_running", pod + "status: {phase: Running, conditions: [{type: Ready, status: 'True'}]}", health.Current, ""},
		{"pod_succeeded", pod + "status: {phase: Succeeded}", health.Current, ""},
		{"pod_failed", pod + "status: {phase: Failed, reason: Evicted, message: low on memory}", health.Failed, "Evicted"},

		{"flux_not_seen", release, health.InProgress, "NotReconciled"},
		{"flux_generation_not_seen", release + "status: {observedGeneration: 1, conditions: [{type: Ready, " +
			"status: 'True'}]}", health.InProgress, "LatestGenerationNotObserved"},
		{"flux_not_ready", release + "status: {observedGeneration: 2, conditions: [{type: Ready, status: 'False', " +
			"reason: InstallFailed}]}", health.InProgress, "InstallFailed"},
		{"flux_stalled", release + "status: {observedGeneration: 2, conditions: [{type: Stalled, status: 'True', " +
			"reason: RetriesExceeded}]}", health.Failed, "RetriesExceeded"},
		{"flux_ready", release + "status: {observedGeneration: 2, conditions: [{type: Ready, status: 'True'}]}",
			health.Current, ""},
		{"flux_index", helmRepo, health.InProgress, "NotReconciled"},
		{"flux_oci_registry", helmRepo + "spec: {type: oci}", health.Current, ""},
		{"flux_provider", "apiVersion: notification.toolkit.fluxcd.io/v1beta3\nkind: Provider\nmetadata: {name: a}",
			health.Current, ""},

		{"custom_no_status", widget, health.Current, ""},
		{"custom_empty_status", widget + "status: {}", health.Current, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := assess(parse(t, c.yaml)); got.Status != c.want || got.Reason != c.reason {
				t.Errorf("%+v, want %s %s", got, c.want, c.reason)
			}
		})
	}
}

// TestJudge_expired keeps the health of a Job that is done while Kubernetes deletes it.
func TestJudge_expired(t *testing.T) {
	const done = "status: {conditions: [{type: Complete, status: 'True'}]}"
	for _, c := range []struct {
		name, yaml string
		want       health.Status
	}{
		{"done", "apiVersion: batch/v1\nkind: Job\nspec: {ttlSecondsAfterFinished: 0}\n" + done, health.Current},
		{"failed", "apiVersion: batch/v1\nkind: Job\nspec: {ttlSecondsAfterFinished: 0}\nstatus: {conditions: " +
			"[{type: Failed, status: 'True'}]}", health.Failed},
		{"at_work", "apiVersion: batch/v1\nkind: Job\nspec: {ttlSecondsAfterFinished: 0}", health.Terminating},
		{"without_ttl", "apiVersion: batch/v1\nkind: Job\n" + done, health.Terminating},
		{"other_kind", "apiVersion: example.com/v1\nkind: Job\nspec: {ttlSecondsAfterFinished: 0}\n" + done,
			health.Terminating},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := parse(t, c.yaml+"\nmetadata: {name: a, deletionTimestamp: '2026-01-01T00:00:00Z'}")
			if got := Judge(kube.Live{Deleting: true, Object: o}); got.Status != c.want {
				t.Errorf("%+v, want %s", got, c.want)
			}
		})
	}
}
