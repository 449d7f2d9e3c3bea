package health

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/spoke/internal/kube"
)

var apps = bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}

func expressions(list ...bundle.HealthExpressions) map[bundle.ApplicationName]*bundle.Application {
	return map[bundle.ApplicationName]*bundle.Application{apps: {Name: apps, HealthExpressions: list}}
}

func TestAssessor_order(t *testing.T) {
	rules := bundle.HealthExpressions{Group: "example.com", Kind: "Claim", InProgress: "status.phase == 'Waiting'",
		Failed: "status.phase in ['Waiting', 'Broken']", Current: "status.phase in ['Broken', 'Up']"}
	for _, c := range []struct {
		name, status string
		rules        bundle.HealthExpressions
		want         health.Status
		reason       string
	}{
		{"in_progress_first", "{phase: Waiting}", rules, health.InProgress, "ExpressionHolds"},
		{"then_failed", "{phase: Broken}", rules, health.Failed, "ExpressionHolds"},
		{"then_current", "{phase: Up}", rules, health.Current, ""},
		{"none", "{phase: Other}", rules, health.InProgress, "ExpressionDoesNotHold"},
		{"generation_before_all", "{phase: Up, observedGeneration: 1}", rules, health.InProgress,
			"LatestGenerationNotObserved"},
		{"generation_seen", "{phase: Up, observedGeneration: 2}", rules, health.Current, ""},
		{"missing_field", "{}", rules, health.InProgress, "ExpressionError"},
		{"no_bool", "{phase: Up}", bundle.HealthExpressions{Group: "example.com", Kind: "Claim", Current: "status.phase"},
			health.InProgress, "ExpressionError"},
		{"of_a_newer_hub", "{phase: Up}", bundle.HealthExpressions{Group: "example.com", Kind: "Claim",
			Current: "newer(status)"}, health.InProgress, "ExpressionError"},
		{"of_the_group", "{phase: Up}", bundle.HealthExpressions{Group: "example.com", Current: "false"}, health.InProgress,
			"ExpressionDoesNotHold"},
		{"of_another_kind", "{phase: Up}", bundle.HealthExpressions{Group: "example.com", Kind: "Other", Current: "false"},
			health.Current, ""},
		{"instead_of_conditions", "{phase: Up, conditions: [{type: Ready, status: 'False'}]}", rules, health.Current, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			custom := NewAssessor(nil)
			custom.Replace(expressions(c.rules))
			o := parse(t, "{apiVersion: example.com/v1, kind: Claim, metadata: {name: a, generation: 2}, status: "+c.status+"}")
			live := kube.Live{ID: kube.Identify(o), Object: o}
			if got := custom.Judge(apps, live); got.Status != c.want || got.Reason != c.reason {
				t.Errorf("%+v, want %s %s", got, c.want, c.reason)
			}
			live.Deleting = true
			if got := custom.Judge(apps, live); got.Status != health.Terminating {
				t.Errorf("while it is deleted: %+v", got)
			}
		})
	}
}

func TestAssessor_error_names_the_field(t *testing.T) {
	custom := NewAssessor(nil)
	custom.Replace(expressions(bundle.HealthExpressions{Group: "example.com", Kind: "Claim", Failed: "status.a.b == 1",
		Current: "true"}))
	o := parse(t, "{apiVersion: example.com/v1, kind: Claim, metadata: {name: a}}")
	got := custom.Judge(apps, kube.Live{ID: kube.Identify(o), Object: o})
	if !strings.Contains(got.Message, "healthCheckExprs, failed: ") || !strings.Contains(got.Message, "status") {
		t.Errorf("%q", got.Message)
	}
}

// TestAssessor_error_without_values tells of a value that is not a key only where it was computed.
func TestAssessor_error_without_values(t *testing.T) {
	custom := NewAssessor(nil)
	custom.Replace(expressions(bundle.HealthExpressions{Group: "apps", Kind: "Deployment",
		Current: "metadata.annotations[spec.template.spec.containers[0].env[0].value.reverse()] == 'x'"}))
	o := parse(t, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, annotations: {a: b}}, "+
		"spec: {template: {spec: {containers: [{name: a, env: [{name: P, value: correct-horse}]}]}}}}")
	got := custom.Judge(apps, kube.Live{ID: kube.Identify(o), Object: o})
	want := "healthCheckExprs, current: line 1, column 21: no such key or index: it is not told, because it is computed"
	if got.Reason != "ExpressionError" || got.Message != want {
		t.Errorf("%+v, want %q", got, want)
	}
}

// TestAssessor_kind_before_group uses the expressions of a kind before those of its group.
func TestAssessor_kind_before_group(t *testing.T) {
	custom := NewAssessor(nil)
	custom.Replace(expressions(bundle.HealthExpressions{Group: "example.com", Current: "false"},
		bundle.HealthExpressions{Group: "example.com", Kind: "Claim", Current: "true"}))
	o := parse(t, "{apiVersion: example.com/v1, kind: Claim, metadata: {name: a}}")
	if got := custom.Judge(apps, kube.Live{ID: kube.Identify(o), Object: o}); got.Status != health.Current {
		t.Errorf("%+v", got)
	}
	other := bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "other"}
	gk := schema.GroupKind{Group: "example.com", Kind: "Any"}
	if !custom.Covers(apps, gk) || custom.Covers(other, gk) || (*Assessor)(nil).Covers(apps, gk) {
		t.Error("expressions are about the wrong application")
	}
}

func TestAssessor_Replace(t *testing.T) {
	claim := bundle.HealthExpressions{Group: "example.com", Kind: "Claim", Current: "true"}
	other := bundle.HealthExpressions{Group: "example.com", Kind: "Claim", Current: "false"}
	custom := NewAssessor(nil)
	for _, c := range []struct {
		name string
		list []bundle.HealthExpressions
		want int
	}{
		{"new", []bundle.HealthExpressions{claim}, 1},
		{"same", []bundle.HealthExpressions{claim}, 0},
		{"changed", []bundle.HealthExpressions{other}, 2},
		{"gone", nil, 1},
		{"none", nil, 0},
	} {
		if got := custom.Replace(expressions(c.list...))[apps]; len(got) != c.want {
			t.Errorf("%s: %v to judge again, want %d", c.name, got, c.want)
		}
	}
}

func TestAssessor_claim(t *testing.T) {
	assessor := NewAssessor(func(class string) string {
		return map[string]string{"late": "WaitForFirstConsumer", "early": "Immediate"}[class]
	})
	for _, c := range []struct {
		name, class, phase, node string
		want                     health.Status
	}{
		{"no_consumer", "late", "Pending", "", health.Current},
		{"consumer", "late", "Pending", "node-1", health.InProgress},
		{"immediate", "early", "Pending", "", health.InProgress},
		{"unknown_class", "none", "Pending", "", health.InProgress},
		{"no_class", "", "Pending", "", health.InProgress},
		{"lost", "late", "Lost", "", health.InProgress},
		{"bound", "early", "Bound", "", health.Current},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := parse(t, "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a, annotations: "+
				"{volume.kubernetes.io/selected-node: '"+c.node+"'}}, spec: {storageClassName: '"+c.class+"'}, status: {phase: "+
				c.phase+"}}")
			if got := assessor.Judge(apps, kube.Live{ID: kube.Identify(o), Object: o}); got.Status != c.want {
				t.Errorf("%+v, want %s", got, c.want)
			}
		})
	}
}
