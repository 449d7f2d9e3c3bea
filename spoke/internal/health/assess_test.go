package health

import (
	"testing"

	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/kube"
)

func parse(t *testing.T, yaml string) *manifest.Object {
	t.Helper()
	objects, err := manifest.Parse([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	return objects[0]
}

func TestAssess(t *testing.T) {
	for _, c := range []struct {
		name, yaml string
		want       health.Status
	}{
		{"deployment_rolling_out", "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, generation: 2}, spec: " +
			"{replicas: 1}, status: {observedGeneration: 1}}", health.InProgress},
		{"deployment_gave_up", "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, generation: 1}, spec: " +
			"{replicas: 1}, status: {observedGeneration: 1, conditions: [{type: Progressing, status: 'False', reason: " +
			"ProgressDeadlineExceeded}]}}", health.Failed},
		{"job_failed", "{apiVersion: batch/v1, kind: Job, metadata: {name: a}, status: {conditions: [{type: Failed, " +
			"status: 'True'}]}}", health.Failed},
		{"custom_no_status", "{apiVersion: example.com/v1, kind: Widget, metadata: {name: a}}", health.Current},
		{"custom_not_ready", "{apiVersion: example.com/v1, kind: Widget, metadata: {name: a}, status: " +
			"{conditions: [{type: Ready, status: 'False', message: later}]}}", health.InProgress},
		{"custom_stalled", "{apiVersion: example.com/v1, kind: Widget, metadata: {name: a}, status: " +
			"{conditions: [{type: Stalled, status: 'True', message: stuck}]}}", health.Failed},
		{"conditions_without_fields", "{apiVersion: example.com/v1, kind: Widget, metadata: {name: a}, status: " +
			"{conditions: [Ready]}}", health.Unknown},
		{"condition_of_numbers", "{apiVersion: example.com/v1, kind: Widget, metadata: {name: a}, status: " +
			"{conditions: [{type: Ready, status: 1}]}}", health.Unknown},
		{"status_of_another_shape", "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, status: {conditions: 1}}",
			health.Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := assess(parse(t, c.yaml))
			if got.Status != c.want {
				t.Errorf("%+v, want %s", got, c.want)
			}
			if got.Status == health.Current && got.Message != "" {
				t.Errorf("noise: %q", got.Message)
			}
		})
	}
}

func TestJudge_metadata(t *testing.T) {
	if r := Judge(kube.Live{}); r.Status != health.Current {
		t.Errorf("%+v", r)
	}
	if r := Judge(kube.Live{Deleting: true, Finalizers: []string{"a/b"}}); r.Status != health.Terminating ||
		r.Message == "" {
		t.Errorf("%+v", r)
	}
}
