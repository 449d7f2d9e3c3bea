package monitoring

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/template"
	"go.yaml.in/yaml/v2"
)

// alert is one alert of a PrometheusRule.
type alert struct {
	Alert       string
	Expr        string
	For         string
	Annotations map[string]string
}

// alerts returns the alerts of the hub and of the spoke by name.
func alerts(t *testing.T) map[string]alert {
	t.Helper()
	all := map[string]alert{}
	for _, side := range []string{"hub", "spoke"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "monitoring", side, "rules.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var rule struct {
			Spec struct{ Groups []struct{ Rules []alert } }
		}
		if err := yaml.Unmarshal(text, &rule); err != nil {
			t.Fatalf("%s: %v", side, err)
		}
		for _, group := range rule.Spec.Groups {
			for _, a := range group.Rules {
				all[a.Alert] = a
			}
		}
	}
	return all
}

// cases have series for each alert. Series are values at each minute from 0, in the notation of Prometheus' tests: 1x60
// is 1 at 61 minutes.
var cases = map[string]struct {
	at     string // when the alert is evaluated
	series string
	fires  []string // the label that tells the series apart, of those for which the alert fires
}{
	"NaveHubAbsent":    {"20m", "other 1x60", []string{""}},
	"NaveMetricsStale": {"30m", "nave_resource_metrics_timestamp_seconds 60x60", []string{""}},
	"NaveHubCertificateExpires": {"2h", `nave_certificate_expiration_timestamp_seconds{certificate="server",name="s"} 90000x200
		nave_certificate_expiration_timestamp_seconds{certificate="authority",name="a"} 90000000x200
		nave_certificate_expiration_timestamp_seconds{certificate="operator",name="o"} 90000x200`, []string{"s"}},
	"NaveOperatorCertificateExpires": {"2h", `nave_certificate_expiration_timestamp_seconds{certificate="operator",name="o"} 90000x200
		nave_certificate_expiration_timestamp_seconds{certificate="operator",name="p"} 90000000x200`, []string{"o"}},
	"NaveJoinTokenRefused": {"30m", `nave_registrations_refused_total{cause="expired"} 0x20 1x20
		nave_registrations_refused_total{cause="used"} 3x60`, []string{"expired"}},
	"NaveClusterDisconnected": {"20m", `nave_cluster_connected{cluster="east"} 0x60
		nave_cluster_connected{cluster="west"} 1x60
		nave_cluster_connected{cluster="back"} 0x10 1x50`, []string{"east"}},
	"NaveClusterNotReady": {"20m", `nave_resource_ready{kind="Cluster",name="east",cluster="east"} 0x60
		nave_resource_ready{kind="Cluster",name="west",cluster="west"} -1x60
		nave_resource_ready{kind="Fleet",name="f"} 0x60`, []string{"east"}},
	"NaveClusterLagging": {"3h", `nave_cluster_lagging_since_timestamp_seconds{cluster="east"} 60x200
		nave_cluster_lagging_since_timestamp_seconds{cluster="west"} 10000x200`, []string{"east"}},
	"NaveClusterCertificateExpires": {"2h", `nave_cluster_certificate_expiration_timestamp_seconds{cluster="east"} 900000x200
		nave_cluster_certificate_expiration_timestamp_seconds{cluster="west"} 9000000x200`, []string{"east"}},
	"NaveClusterBundleExpires": {"2h", `nave_cluster_bundle_expiration_timestamp_seconds{cluster="east"} 500000x200
		nave_cluster_bundle_expiration_timestamp_seconds{cluster="west"} 900000x200`, []string{"east"}},
	"NaveFleetNotReady": {"20m", `nave_resource_ready{kind="Fleet",name="f"} 0x60
		nave_resource_ready{kind="Fleet",name="g"} 1x60`, []string{"f"}},
	"NaveResourceNotReady": {"20m", `nave_resource_ready{kind="Kustomization",namespace="n",name="apps",cluster="east"} 0x60
		nave_resource_ready{kind="Kustomization",namespace="n",name="slow",cluster="east"} -1x60
		nave_resource_ready{kind="Cluster",name="east",cluster="east"} 0x60`, []string{"apps"}},
	"NaveResourceProgressing": {"2h", `nave_resource_ready{kind="Kustomization",namespace="n",name="apps",cluster="east"} 0x200
		nave_resource_ready{kind="Kustomization",namespace="n",name="slow",cluster="east"} -1x200
		nave_resource_ready{kind="Kustomization",namespace="n",name="unheard",cluster="away"} -1x200
		nave_resource_ready{kind="Kustomization",namespace="n",name="hub",cluster=""} -1x200
		nave_cluster_connected{cluster="east"} 1x200
		nave_cluster_connected{cluster="away"} 0x200`, []string{"hub", "slow"}},
	"NaveSourceFailing": {"20m", `nave_source_consecutive_failures{kind="GitRepository",name="a"} 5x60
		nave_source_consecutive_failures{kind="GitRepository",name="b"} 1x60`, []string{"a"}},
	"NaveSourceStale": {"2h", `nave_source_last_success_timestamp_seconds{kind="GitRepository",name="a"} 60x200
		nave_source_interval_seconds{kind="GitRepository",name="a"} 600x200
		nave_source_last_success_timestamp_seconds{kind="GitRepository",name="b"} 60x200
		nave_source_interval_seconds{kind="GitRepository",name="b"} 86400x200`, []string{"a"}},
	"NaveBuildFailing": {"20m", `nave_unready_resources{kind="Kustomization",reason="BuildFailed"} 2x60
		nave_unready_resources{kind="HelmRelease",reason="Progressing"} 2x60`, []string{"Kustomization"}},
	"NaveRemovalHeld": {"10m", `nave_held_removals{cluster="east"} 1x60`, []string{"east"}},
	"NaveSuspended": {"25h", `nave_resource_info{kind="Kustomization",namespace="n",name="apps",suspended="true",reason="a"} 1x700 _x2000
		nave_resource_info{kind="Kustomization",namespace="n",name="apps",suspended="true",reason="b"} _x700 1x2000
		nave_resource_info{kind="Kustomization",namespace="n",name="web",suspended="false"} 1x2000`, []string{"apps"}},
	"NaveSpokeAbsent":       {"20m", "other 1x60", []string{""}},
	"NaveSpokeDisconnected": {"20m", `nave_spoke_connected{cluster="east"} 0x60`, []string{"east"}},
	"NaveSpokeApplicationNotReady": {"20m", `nave_spoke_application_ready{cluster="east",kind="Kustomization",name="apps"} 0x60
		nave_spoke_application_ready{cluster="east",kind="Kustomization",name="web"} 1x60`, []string{"apps"}},
	"NaveSpokeDriftRepeats": {"2h", `nave_spoke_drift_repaired_total{cluster="east"} 0+1x200
		nave_spoke_drift_repaired_total{cluster="west"} 0x30 1x170`, []string{"east"}},
	"NaveSpokeBundleExpires": {"2h", `nave_spoke_bundle_expiration_timestamp_seconds{cluster="east"} 500000x200
		nave_spoke_bundle_expiration_timestamp_seconds{cluster="new"} 0x200`, []string{"east"}},
	"NaveSpokeCertificateExpires": {"2h", `nave_spoke_certificate_expiration_timestamp_seconds{cluster="east"} 900000x200
		nave_spoke_certificate_expiration_timestamp_seconds{cluster="new"} 0x200`, []string{"east"}},
}

// TestAlerts evaluates each alert against series for which it must fire, and others for which it must not.
func TestAlerts(t *testing.T) {
	all := alerts(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			c, ok := cases[name]
			if !ok {
				t.Fatal("there is no case of this alert")
			}
			store := promqltest.LoadedStorage(t, "load 1m\n\t"+c.series+"\n")
			at, err := model.ParseDuration(c.at)
			if err != nil {
				t.Fatal(err)
			}
			fires := firing(t, store, all[name], time.Unix(0, 0).Add(time.Duration(at)))
			if got := slices.Sorted(maps.Keys(fires)); !slices.Equal(got, c.fires) {
				t.Errorf("it fires for %q, want %q", got, c.fires)
			}
		})
	}
	for name := range cases {
		if _, ok := all[name]; !ok {
			t.Errorf("there is no alert %s", name)
		}
	}
}

// firing returns for what an alert fires: the expression has had the series for as long as the alert asks for.
func firing(t *testing.T, store storage.Queryable, a alert, at time.Time) map[string]bool {
	t.Helper()
	wait, err := model.ParseDuration(a.For)
	if err != nil {
		t.Fatal(err)
	}
	fires := map[string]bool{}
	for i, s := range query(t, store, a.Expr, at) {
		if i == 0 {
			expand(t, a, s)
		}
		fires[nameOf(s)] = true
	}
	for before := at; !before.Before(at.Add(-time.Duration(wait))); before = before.Add(-time.Minute) {
		then := map[string]bool{}
		for _, s := range query(t, store, a.Expr, before) {
			then[nameOf(s)] = true
		}
		maps.DeleteFunc(fires, func(name string, _ bool) bool { return !then[name] })
	}
	return fires
}

// nameOf returns the label that tells the series of a case apart.
func nameOf(s promql.Sample) string {
	for _, label := range []string{"name", "cluster", "cause", "kind"} {
		if value := s.Metric.Get(label); value != "" {
			return value
		}
	}
	return ""
}

var engine = promql.NewEngine(promql.EngineOpts{MaxSamples: 1 << 20, Timeout: time.Minute, LookbackDelta: 5 * time.Minute})

func query(t *testing.T, store storage.Queryable, expr string, at time.Time) promql.Vector {
	t.Helper()
	q, err := engine.NewInstantQuery(t.Context(), store, nil, expr, at)
	if err != nil {
		t.Fatal(err)
	}
	vector, err := q.Exec(t.Context()).Vector()
	if err != nil {
		t.Fatal(err)
	}
	vector = slices.Clone(vector)
	q.Close()
	return vector
}

// expand expands the annotations of an alert for a sample.
func expand(t *testing.T, a alert, s promql.Sample) {
	t.Helper()
	data := template.AlertTemplateData(s.Metric.Map(), nil, "", s)
	for name, text := range a.Annotations {
		const before = "{{$labels := .Labels}}{{$value := .Value}}"
		got, err := template.NewTemplateExpander(context.Background(), before+text, a.Alert, data, model.Time(0), nil, nil,
			nil).Expand()
		if err != nil || strings.Contains(got, "<no value>") || strings.TrimSpace(got) == "" {
			t.Errorf("%s of %s is %q, %v", name, a.Alert, got, err)
		}
	}
}
