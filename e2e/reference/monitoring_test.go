package reference

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/e2e/kubetest"
)

// alert is one alert of deploy/monitoring.
type alert struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

// monitoring returns the path of a file of deploy/monitoring and its text.
func monitoring(t *testing.T, name ...string) (path string, text []byte) {
	t.Helper()
	checkout, err := kubetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(append([]string{checkout, "deploy", "monitoring"}, name...)...)
	if text, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return path, text
}

// alerts returns the alerts of a file.
func alerts(t *testing.T, name ...string) (all []alert) {
	t.Helper()
	path, text := monitoring(t, name...)
	var rule struct {
		Spec struct {
			Groups []struct{ Rules []alert }
		}
	}
	if err := yaml.Unmarshal(text, &rule); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for _, group := range rule.Spec.Groups {
		all = append(all, group.Rules...)
	}
	return all
}

// TestAlerts: each alert says what happened, and leads to a paragraph of docs/metrics.md about it.
func TestAlerts(t *testing.T) {
	checkout, err := kubetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile(filepath.Join(checkout, "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	list := append(alerts(t, "hub", "rules.yaml"), alerts(t, "spoke", "rules.yaml")...)
	if len(list) < 20 {
		t.Fatalf("only %d alerts are found", len(list))
	}
	for _, a := range list {
		want := "https://github.com/navefleet/nave/blob/main/docs/metrics.md#" + strings.ToLower(a.Alert)
		if a.Annotations["runbook_url"] != want || !strings.Contains(string(document), "\n### "+a.Alert+"\n") {
			t.Errorf("%s leads to %q, want %s and a heading there", a.Alert, a.Annotations["runbook_url"], want)
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" || a.For == "" ||
			!slices.Contains([]string{"info", "warning", "critical"}, a.Labels["severity"]) {
			t.Errorf("%s lacks a summary, a description, a duration or a severity: %+v", a.Alert, a)
		}
	}
	for _, heading := range regexp.MustCompile(`(?m)^### (Nave\w+)$`).FindAllSubmatch(document, -1) {
		if !slices.ContainsFunc(list, func(a alert) bool { return a.Alert == string(heading[1]) }) {
			t.Errorf("docs/metrics.md has %s, which is no alert", heading[1])
		}
	}
}

// TestMonitoring_metrics: alerts and dashboard use metrics that the daemons export.
func TestMonitoring_metrics(t *testing.T) {
	var texts []string
	for _, a := range append(alerts(t, "hub", "rules.yaml"), alerts(t, "spoke", "rules.yaml")...) {
		texts = append(texts, a.Expr)
	}
	path, text := monitoring(t, "hub", "dashboard.json")
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for _, panel := range dashboard.Panels {
		if panel.Title == "" || len(panel.Targets) == 0 {
			t.Errorf("%s: a panel has no title or shows nothing: %+v", path, panel)
		}
		for _, target := range panel.Targets {
			texts = append(texts, target.Expr)
		}
	}
	defined := definedMetrics(t)
	for _, expression := range texts {
		names := regexp.MustCompile(`nave_\w+`).FindAllString(expression, -1)
		if len(names) == 0 {
			t.Errorf("%s is about no metric of Nave", expression)
		}
		for _, name := range names {
			histogram := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
			if !slices.Contains(defined, name) && !slices.Contains(defined, histogram) {
				t.Errorf("%s: nothing exports %s", expression, name)
			}
		}
	}
}

// TestMonitoring_pods: Prometheus finds the Pods of the hub and of the spoke.
func TestMonitoring_pods(t *testing.T) {
	for side, file := range map[string]string{"hub": "hub.yaml", "spoke": "deployment.yaml"} {
		path, text := monitoring(t, side, "podmonitor.yaml")
		var monitor struct {
			Spec struct {
				Selector            struct{ MatchLabels map[string]string }
				PodMetricsEndpoints []struct{ Port string }
			}
		}
		if err := yaml.Unmarshal(text, &monitor); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if len(monitor.Spec.Selector.MatchLabels) == 0 || len(monitor.Spec.PodMetricsEndpoints) == 0 {
			t.Errorf("%s selects all Pods, or scrapes nothing", path)
		}
		_, pods := monitoring(t, "..", side, file)
		for key, value := range monitor.Spec.Selector.MatchLabels {
			if !strings.Contains(string(pods), "      labels: {"+key+": "+value+"}") {
				t.Errorf("%s selects %s: %s, which no Pod of deploy/%s has", path, key, value, side)
			}
		}
		for _, endpoint := range monitor.Spec.PodMetricsEndpoints {
			if !strings.Contains(string(pods), "{name: "+endpoint.Port+", containerPort:") {
				t.Errorf("%s names port %s, which no Pod of deploy/%s has", path, endpoint.Port, side)
			}
		}
	}
}
