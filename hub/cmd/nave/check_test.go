package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/version"
)

// TestCheck checks a hub whose clusters no spoke has joined.
func TestCheck(t *testing.T) {
	out, code := exitOf(t.Context(), waitHub(t), "check")
	for _, want := range []string{
		"► checking the client and the hub\n✔ nave ", "✔ the certificate of context ", " serves\n► checking the clusters\n",
		"✗ 4 of 4 clusters not connected: east (The spoke has not registered yet), lab (",
		"✔ 4 clusters without a spoke of another version than the hub\n",
		"Kustomization flux-system/circle (DependencyCycle)",
		"► nave explain says why, since when, and what to do\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("without %q", want)
		}
	}
	if code != 1 || t.Failed() {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// checkedHub has clusters with these statuses, and explains what is not as it should be.
type checkedHub struct {
	adminv1.UnimplementedAdminServiceServer
	version      string
	statuses     []string
	explanations []*adminv1.Explanation
}

func (h checkedHub) GetVersion(context.Context, *adminv1.GetVersionRequest) (*adminv1.GetVersionResponse, error) {
	return &adminv1.GetVersionResponse{Version: h.version}, nil
}

func (h checkedHub) List(context.Context, *adminv1.ListRequest) (*adminv1.ListResponse, error) {
	answer := &adminv1.ListResponse{}
	for i, status := range h.statuses {
		answer.Objects = append(answer.Objects, &adminv1.Object{Key: &adminv1.ObjectKey{Kind: "Cluster",
			Name: string(rune('a' + i))}, Json: fmt.Appendf(nil, `{"status":{%s}}`, status)})
	}
	return answer, nil
}

func (h checkedHub) Explain(context.Context, *adminv1.ExplainRequest) (*adminv1.ExplainResponse, error) {
	return &adminv1.ExplainResponse{Explanations: h.explanations}, nil
}

// explained is an explanation of a Kustomization that is so since some minutes.
func explained(reason string, minutes int) *adminv1.Explanation {
	since := time.Now().Add(-time.Duration(minutes) * time.Minute)
	return &adminv1.Explanation{Reason: reason, Since: timestamppb.New(since), Object: &adminv1.ObjectKey{
		Cluster: "a", Kind: "Kustomization", Namespace: "flux-system", Name: "app"}}
}

// affecting returns an explanation that affects an object.
func affecting(e *adminv1.Explanation, k *adminv1.ObjectKey) *adminv1.Explanation {
	return &adminv1.Explanation{Reason: e.Reason, Since: e.Since, Object: e.Object, Affects: []*adminv1.ObjectKey{k}}
}

// TestCheck_findings ends with 1 if anything is wrong, and with 0 if there are warnings only.
func TestCheck_findings(t *testing.T) {
	const online = `"conditions":[{"type":"Connected","status":"True"}],"version":"v2 (0123abc, go1.26.8)"`
	build, _ := version.Build()
	app := &adminv1.ObjectKey{Cluster: "a", Kind: "Kustomization", Namespace: "flux-system", Name: "later"}
	fleet := &adminv1.ObjectKey{Kind: "Fleet", Name: "all"}
	away := &adminv1.Explanation{Reason: "Offline", Object: &adminv1.ObjectKey{Kind: "Cluster", Name: "a"}}
	for _, c := range []struct {
		name string
		hub  checkedHub
		code int
		want []string
	}{
		{"well", checkedHub{version: build, statuses: []string{`"conditions":[{"type":"Connected","status":"True"}]`}}, 0,
			[]string{"✔ 1 cluster connected\n", "✔ all objects are ready\n"}},
		{"no_clusters", checkedHub{version: build}, 0, []string{"⚠ the hub has no clusters", "✔ all objects are ready\n"}},
		{"other_versions", checkedHub{version: "v3", statuses: []string{online, online}}, 0, []string{
			"⚠ nave is " + build + " and the hub is v3",
			"⚠ 2 of 2 clusters with a spoke of another version than the hub (v3): a v2, b v2\n"}},
		{"certificate", checkedHub{version: "v2", statuses: []string{online,
			online + `,"certificateExpires":"2046-01-02T03:04:05Z","certificateExpiring":true`}}, 1, []string{
			"✗ 1 of 2 clusters with a certificate that ends and was not renewed: b at 2046-01-02T03:04:05Z\n"}},
		{"certificate_ended", checkedHub{version: "v2", statuses: []string{online +
			`,"certificateExpires":"2006-01-02T03:04:05Z"`}}, 1, []string{"✗ 1 of 1 cluster with a certificate"}},
		{"held", checkedHub{version: "v2", statuses: []string{online}, explanations: []*adminv1.Explanation{
			explained("RemovalHeld", 1), explained("Suspended", 1)}}, 1, []string{"✗ 1 object held until an operator does " +
			"something: Kustomization flux-system/app on a (RemovalHeld)\n", "⚠ 1 object suspended or pinned"}},
		{"paused", checkedHub{version: "v2", statuses: []string{online}, explanations: []*adminv1.Explanation{
			explained("Pinned", 1)}}, 0, []string{"⚠ 1 object suspended or pinned"}},
		{"warning", checkedHub{version: "v2", statuses: []string{online}, explanations: []*adminv1.Explanation{
			explained("ImageUpdateIncomplete", 60)}}, 0, []string{"⚠ 1 object ready with a warning"}},
		{"in_progress", checkedHub{version: "v2", statuses: []string{online}, explanations: []*adminv1.Explanation{
			explained("Progressing", 1)}}, 0, []string{"⚠ 1 object in progress"}},
		{"long_in_progress", checkedHub{version: "v2", statuses: []string{online}, explanations: []*adminv1.Explanation{
			explained("Progressing", 60)}}, 1, []string{"✗ 1 object in progress for more than 5m0s"}},
		{"failed", checkedHub{version: "v2", statuses: []string{online}, explanations: []*adminv1.Explanation{
			explained("HealthCheckFailed", 1)}}, 1, []string{"✗ 1 object not ready: Kustomization flux-system/app on a ("}},
		{"affects", checkedHub{version: "v2", statuses: []string{online}, explanations: []*adminv1.Explanation{
			affecting(explained("HealthCheckFailed", 1), app)}}, 1, []string{"(HealthCheckFailed, affects 1 more)\n"}},
		{"in_vain", checkedHub{version: "v2", statuses: []string{online}, explanations: []*adminv1.Explanation{
			{Reason: "Progressing", Object: app, Since: timestamppb.Now(), InVain: true}}}, 1, []string{"✗ 1 object not ready"}},
		{"offline", checkedHub{version: "v2", statuses: []string{online}, explanations: []*adminv1.Explanation{
			affecting(away, fleet)}}, 0, []string{"✔ all objects were ready, as far as the spokes have reported\n"}},
		{"offline_behind", checkedHub{version: "v2", statuses: []string{online}, explanations: []*adminv1.Explanation{
			affecting(away, app)}}, 1, []string{"✗ 1 object not ready: Cluster a (Offline, affects 1 more)\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, code := exitOf(t.Context(), serve(t, c.hub), "check")
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("without %q", want)
				}
			}
			if code != c.code || t.Failed() {
				t.Errorf("exit code %d, want %d:\n%s", code, c.code, out)
			}
		})
	}
}

// TestCheck_unreached says what is wrong with the connection, and ends with 1.
func TestCheck_unreached(t *testing.T) {
	closed := serve(t, checkedHub{})
	text, err := os.ReadFile(closed)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	at := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, "hub: ") })
	lines[at] = lines[at][:strings.Index(lines[at], "hub: ")] + "hub: 127.0.0.1:1"
	if err := os.WriteFile(closed, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	for config, want := range map[string]string{
		closed: "✗ hub 127.0.0.1:1 of context nave cannot be reached", filepath.Join(t.TempDir(), "none"): "✗ ",
	} {
		out, code := exitOf(t.Context(), config, "check", "--timeout=5s")
		if code != 1 || !strings.Contains(out, want) || strings.Contains(out, "checking the clusters") {
			t.Errorf("exit code %d:\n%s", code, out)
		}
	}
}

// TestCheck_output prints the findings for machines, with all names.
func TestCheck_output(t *testing.T) {
	h := checkedHub{version: "v2", statuses: slices.Repeat([]string{`"version":"v1"`}, 7)}
	out, code := exitOf(t.Context(), serve(t, h), "check", "-o", "json")
	var report struct{ Findings []finding }
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	at := slices.IndexFunc(report.Findings, func(f finding) bool { return f.Check == "connections" })
	if f := report.Findings[max(at, 0)]; code != 1 || at < 0 || f.Result != checkFailed || len(f.Objects) != 7 {
		t.Errorf("exit code %d: %+v", code, report)
	}
}

// apiOf serves a version and the answers to access reviews: all but some are allowed. It returns a kubeconfig.
func apiOf(t *testing.T, gitVersion string, paths map[string]string, denied ...string) (kubeconfig string) {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, known := paths[r.URL.Path]
		switch {
		case r.URL.Path == "/version":
			fmt.Fprintf(w, `{"gitVersion":%q}`, gitVersion)
		case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews"):
			var review struct {
				Spec struct {
					ResourceAttributes struct{ Verb, Resource string }
				}
			}
			if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
				t.Error(err)
			}
			a := review.Spec.ResourceAttributes
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, `{"status":{"allowed":%v}}`, !slices.Contains(denied, a.Verb+" "+a.Resource))
		case known:
			fmt.Fprint(w, answer)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
		Bytes: server.Certificate().Raw}))
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	write(t, filepath.Dir(kubeconfig), "kubeconfig", `{apiVersion: v1, kind: Config, current-context: c, clusters: [{`+
		`name: c, cluster: {server: "`+server.URL+`", certificate-authority-data: `+ca+`}}], contexts: [{name: c, context: `+
		`{cluster: c}}]}`)
	return kubeconfig
}

// TestCheck_pre checks whether a cluster can get a spoke.
func TestCheck_pre(t *testing.T) {
	const allowed = "✔ the account may apply what nave cluster add prints\n"
	for _, c := range []struct {
		name    string
		version string
		paths   map[string]string
		denied  []string
		code    int
		want    []string
	}{
		{"well", "v1.37.2-gke.1", nil, nil, 0, []string{"✔ Kubernetes v1.37.2-gke.1, at least 1.22.0\n", allowed}},
		{"old", "v1.21.9", nil, nil, 1, []string{"✗ Kubernetes v1.21.9 is older than 1.22.0", allowed}},
		{"denied", "v1.37.2", nil, []string{"create namespaces", "patch namespaces", "get secrets"}, 1, []string{
			"✗ the account may not create, patch namespaces\n",
			"✗ the account may not get secrets in namespace nave-system\n",
			"► apply what nave cluster add prints with an account"}},
		{"may_escalate", "v1.37.2", nil, []string{"delete *"}, 0, []string{allowed}},
		{"may_not_escalate", "v1.37.2", nil, []string{"delete *", "escalate clusterroles", "bind clusterroles"}, 1, []string{
			"✗ the account may not escalate, bind clusterroles.rbac.authorization.k8s.io\n"}},
		{"spoke_and_flux", "v1.37.2", map[string]string{
			"/api/v1/namespaces/nave-system/configmaps/nave-spoke": `{"data":{"cluster":"prod","hub":"hub.example:7443"}}`,
			"/apis/kustomize.toolkit.fluxcd.io":                    `{}`,
		}, nil, 0, []string{"⚠ a spoke is there already: cluster prod of hub hub.example:7443", "⚠ Flux's kinds are there"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kubeconfig := apiOf(t, c.version, c.paths, c.denied...)
			out, code := exitOf(t.Context(), "none", "check", "--pre", "--kubeconfig="+kubeconfig)
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("without %q", want)
				}
			}
			if code != c.code || t.Failed() {
				t.Errorf("exit code %d, want %d:\n%s", code, c.code, out)
			}
		})
	}
	out, code := exitOf(t.Context(), "none", "check", "--kubeconfig=x")
	if code == 0 || !strings.Contains(out, "add --pre") {
		t.Errorf("exit code %d: %s", code, out)
	}
}
