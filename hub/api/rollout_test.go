package api_test

import (
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/api"
)

func TestAdmit_rollout(t *testing.T) {
	fleet := func(rollout string) string {
		return "{apiVersion: fleet.nave.io/v1alpha1, kind: Fleet, metadata: {name: a}, spec: {clusterSelector: {}, " +
			"rollout: " + rollout + ", template: {metadata: {name: a}, spec: {interval: 1m, prune: true, " +
			"sourceRef: {kind: GitRepository, name: a}}}}}"
	}
	for _, good := range []string{
		"{}",
		"{stages: [{name: canary, clusterSelector: {matchLabels: {ring: canary}}, maxConcurrency: 1, maxFailures: 0, " +
			"minSuccessTime: 10m, progressDeadline: 15m, beforeStage: [{type: Approval}], " +
			"afterStage: [{type: TimedWait, waitTime: 1h}, {type: Approval}]}, {name: prod, maxConcurrency: 25%}], " +
			"unreachable: {policy: Skip, after: 30m}, onFailure: Rollback, suspend: false, revisionHistoryLimit: 10, windows: " +
			"[{kind: Allow, schedule: '0 9 * * 1-4', duration: 8h, timeZone: Europe/Berlin}]}",
	} {
		admit(t, fleet(good), api.Hub)
	}
	for _, bad := range []struct{ rollout, field, why string }{
		{"{stages: [{name: a}, {name: a}]}", "spec.rollout.stages[1].name", "Duplicate"},
		{"{stages: [{name: rest}]}", "spec.rollout.stages[0].name", "Duplicate"},
		{"{stages: [{name: A}]}", "spec.rollout.stages[0].name", "lower case"},
		{"{stages: [{name: a, clusterSelector: {matchExpressions: [{key: a, operator: Like}]}}]}",
			"spec.rollout.stages[0].clusterSelector", "Like"},
		{"{stages: [{name: a, maxConcurrency: 0}]}", "spec.rollout.stages[0].maxConcurrency", "from 1"},
		{"{stages: [{name: a, maxConcurrency: 101%}]}", "spec.rollout.stages[0].maxConcurrency", "100%"},
		{"{stages: [{name: a, maxFailures: -1}]}", "spec.rollout.stages[0].maxFailures", "from 0"},
		{"{stages: [{name: a, maxFailures: '2'}]}", "spec.rollout.stages[0].maxFailures", "from 0"},
		{"{stages: [{name: a, minSuccessTime: -1m}]}", "spec.rollout.stages[0].minSuccessTime", "duration"},
		{"{stages: [{name: a, progressDeadline: 0s}]}", "spec.rollout.stages[0].progressDeadline", "duration"},
		{"{stages: [{name: a, beforeStage: [{type: Wait}]}]}", "spec.rollout.stages[0].beforeStage[0].type", "TimedWait"},
		{"{stages: [{name: a, beforeStage: [{}]}]}", "spec.rollout.stages[0].beforeStage[0].type", "Approval or TimedWait"},
		{"{stages: [{name: a, afterStage: [{type: TimedWait}]}]}", "spec.rollout.stages[0].afterStage[0].waitTime", "1s"},
		{"{stages: [{name: a, afterStage: [{type: Approval, waitTime: 1h}]}]}",
			"spec.rollout.stages[0].afterStage[0].waitTime", "TimedWait only"},
		{"{stages: [{name: a, afterStage: [{type: Approval}, {type: Approval}]}]}",
			"spec.rollout.stages[0].afterStage[1]", "one approval"},
		{"{unreachable: {policy: Ignore}}", "spec.rollout.unreachable.policy", "Skip"},
		{"{unreachable: {policy: Wait, after: 1m}}", "spec.rollout.unreachable.after", "Skip only"},
		{"{onFailure: Abort}", "spec.rollout.onFailure", "Rollback"},
		{"{revisionHistoryLimit: -1}", "spec.rollout.revisionHistoryLimit", "100"},
		{"{windows: [{schedule: '* * * * *', duration: 1h}]}", "spec.rollout.windows[0].kind", "Allow or Deny"},
		{"{windows: [{kind: Allow, duration: 1h}]}", "spec.rollout.windows[0].schedule", "0 9"},
		{"{windows: [{kind: Allow, schedule: '@daily', duration: 1h}]}", "spec.rollout.windows[0].schedule", "five fields"},
		{"{windows: [{kind: Allow, schedule: '61 * * * *', duration: 1h}]}", "spec.rollout.windows[0].schedule", "61"},
		{"{windows: [{kind: Allow, schedule: '* * * * *'}]}", "spec.rollout.windows[0].duration", "1s"},
		{"{windows: [{kind: Allow, schedule: '* * * * *', duration: 1h, timeZone: Berlin}]}",
			"spec.rollout.windows[0].timeZone", "Europe/Berlin"},
		{"{stage: []}", "spec.rollout.stage", "unknown field"},
	} {
		t.Run(bad.rollout, func(t *testing.T) { refuse(t, fleet(bad.rollout), api.Hub, "Fleet a", bad.field, bad.why) })
	}
}

func TestRolloutSpec_Open(t *testing.T) {
	workdays := "{kind: Allow, schedule: '0 9 * * 1-5', duration: 8h, timeZone: Europe/Berlin}"
	freeze := "{kind: Deny, schedule: '0 0 24 12 *', duration: 72h}"
	for _, c := range []struct{ windows, at, next string }{ // without next: open
		{"", "2026-11-27T03:00:00Z", ""},
		{workdays, "2026-11-27T08:00:00Z", ""}, // 9 o'clock in Berlin
		{workdays, "2026-11-27T15:59:59Z", ""},
		{workdays, "2026-11-27T16:00:00Z", "2026-11-30T08:00:00Z"}, // over the weekend
		{workdays, "2026-07-01T07:00:00Z", ""},                     // summer time
		{freeze, "2026-12-23T23:59:59Z", ""},
		{freeze, "2026-12-25T12:00:00Z", "2026-12-27T00:00:00Z"},
		{workdays + ", " + freeze, "2026-12-24T10:00:00Z", "2026-12-28T08:00:00Z"},
		{"{kind: Deny, schedule: '* * * * *', duration: 1h}", "2026-12-24T10:00:00Z", "never"},
	} {
		var spec api.RolloutSpec
		if err := yaml.Unmarshal([]byte("windows: ["+c.windows+"]"), &spec); err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		open, next := spec.Open(at)
		got := ""
		if !open {
			got = "never"
			if !next.IsZero() {
				got = next.UTC().Format(time.RFC3339)
			}
		}
		if got != c.next {
			t.Errorf("%s at %s: next %q, want %q", c.windows, c.at, got, c.next)
		}
	}
}
