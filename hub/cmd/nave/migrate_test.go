package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/migrate"
	"github.com/navefleet/nave/shared/manifest"
)

// fluxCluster is an API server with the objects of a file. Each list has two pages. It answers only GET.
type fluxCluster struct {
	t       *testing.T
	objects []*manifest.Object
	code    int // of every answer; 0: as it should be
}

func (c *fluxCluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/apis/"), "/")
	switch {
	case r.Method != http.MethodGet:
		c.t.Errorf("%s %s", r.Method, r.URL)
	case c.code != 0:
		w.WriteHeader(c.code)
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "message": "kustomizations is forbidden"})
	case len(parts) == 1:
		c.group(w, parts[0])
	case len(parts) == 3:
		c.list(w, r, parts)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (c *fluxCluster) group(w http.ResponseWriter, group string) {
	for _, o := range c.objects {
		if gvk := o.GroupVersionKind(); gvk.Group == group {
			_ = json.NewEncoder(w).Encode(map[string]any{"preferredVersion": map[string]any{"version": gvk.Version}})
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
}

func (c *fluxCluster) list(w http.ResponseWriter, r *http.Request, parts []string) {
	var items []map[string]any
	for _, o := range c.objects {
		kind, err := api.FindKind(o.GetKind())
		plural := kind.Plural
		if err != nil {
			plural = strings.ToLower(o.GetKind()) + "s"
		}
		if o.GroupVersionKind().Group == parts[0] && plural == parts[2] {
			item := o.DeepCopy().Object
			delete(item, "kind")
			items = append(items, item)
		}
	}
	half, next := len(items)/2, "rest"
	if r.URL.Query().Get("continue") == next {
		half, items, next = len(items)-half, items[half:], ""
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"metadata": map[string]any{"continue": next}, "items": items[:half]})
}

// migrateTest is a cluster and a checkout.
type migrateTest struct {
	*fluxCluster
	kubeconfig, repo string
}

func newMigrateTest(t *testing.T) *migrateTest {
	t.Helper()
	archive, err := txtar.ParseFile("testdata/migrate.txtar")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := txtar.Write(archive, dir); err != nil {
		t.Fatal(err)
	}
	cluster, err := os.ReadFile(filepath.Join(dir, "cluster.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	objects, err := manifest.Parse(cluster)
	if err != nil {
		t.Fatal(err)
	}
	m := &migrateTest{fluxCluster: &fluxCluster{t: t, objects: objects}, repo: filepath.Join(dir, "repo"),
		kubeconfig: filepath.Join(dir, "it's a kubeconfig")}
	server := httptest.NewTLSServer(m) // a build takes the network from clients without a transport of their own
	t.Cleanup(server.Close)
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
		Bytes: server.Certificate().Raw}))
	config := `{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: "` + server.URL +
		`", certificate-authority-data: ` + ca + `}}], contexts: [{name: c, context: {cluster: c}}]}`
	if err := os.WriteFile(m.kubeconfig, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return m
}

// run runs "nave migrate flux" and returns what it printed.
func (m *migrateTest) run(args ...string) (string, error) {
	var out, errOut bytes.Buffer
	root, end := program(&out, &errOut)
	root.SetArgs(append([]string{"migrate", "flux", "--kubeconfig", m.kubeconfig, "--path", m.repo}, args...))
	err := end(root.ExecuteContext(m.t.Context()))
	return out.String() + errOut.String(), err
}

func (m *migrateTest) report() *migrate.Report {
	m.t.Helper()
	out, err := m.run("-o", "yaml")
	if !errors.Is(err, errReported) {
		m.t.Fatalf("%v\n%s", err, out)
	}
	r := &migrate.Report{}
	if err := yaml.UnmarshalStrict([]byte(out), r); err != nil {
		m.t.Fatal(err)
	}
	return r
}

func TestMigrateKustomizations(t *testing.T) {
	r := newMigrateTest(t).report()
	for name, want := range map[string]migrate.Kustomization{
		"flux-system": {InCluster: true, Rendered: true, TakenOver: []string{"Namespace flux-system"}, Flux: 1, Graph: 5,
			Ready: "True"},
		"apps": {InCluster: true, Rendered: true, TakenOver: []string{
			"ClusterRole.rbac.authorization.k8s.io system:shop", "ConfigMap shop/moved", "ConfigMap shop/settings",
		}, Left: []string{"ConfigMap shop/gone"}, Ready: "False"},
		"other": {InCluster: true, Rendered: true, New: []string{"ConfigMap shop/brand-new"}, Suspended: true,
			Ready: "Unknown"},
		"broken":    {InCluster: true, Ready: "Unknown"},
		"elsewhere": {Ready: "Unknown"},
		"far":       {InCluster: true, Ready: "Unknown"},
		"dropped":   {InCluster: true, Ready: "Unknown"},
	} {
		i := slices.IndexFunc(r.Kustomizations, func(k migrate.Kustomization) bool { return k.Name == name })
		if i < 0 {
			t.Errorf("no %s", name)
			continue
		}
		got := r.Kustomizations[i]
		if !slices.Equal(got.TakenOver, want.TakenOver) || !slices.Equal(got.Left, want.Left) || got.Flux != want.Flux ||
			got.Graph != want.Graph || got.InCluster != want.InCluster || got.Rendered != want.Rendered ||
			got.Ready != want.Ready || got.Suspended != want.Suspended || name == "other" && !slices.Equal(got.New, want.New) {
			t.Errorf("%s: %+v\nwant %+v", name, got, want)
		}
	}
}

func TestMigrateFindings(t *testing.T) {
	m := newMigrateTest(t)
	out, err := m.run()
	if !errors.Is(err, errReported) {
		t.Fatal(err)
	}
	for _, want := range []string{
		"spec.kubeConfig: Forbidden",         // of a root
		"Kustomization flux-system/broken: ", // its path does not exist
		"give checkouts with --local-sources SOURCE=DIR:\n  GitRepository/flux-system/elsewhere, " +
			"https://git.example.com/acme/else (Kustomization flux-system/elsewhere)\n",
		"Kustomization.kustomize.toolkit.fluxcd.io flux-system/dropped", // its owner gives it no more
		"1 object of HelmRelease.helm.toolkit.fluxcd.io, for which",
		"HelmReleases that Nave would refuse; correct them in Git before you move them:\n" +
			"  HelmRelease shop/podinfo: spec: Invalid value: \"\": want one of chart and chartRef",
		"flux-system/deploy-key: identity and known_hosts (SSH); password if the key has one, for spec.secretRef of " +
			"GitRepository flux-system/flux-system\n",
		"flux-system/token: username and password",
		"bind it to its host",
		"ConfigMap shop/settings (apps/settings.yaml:",
		"runs with --no-cross-namespace-refs=true: nave-hub needs the same flag",
		"Kustomization flux-system/other is suspended in the cluster",
		"flux suspend kustomization --all --namespace team --kubeconfig='",
		`it'\''s a kubeconfig'`,
		"kubectl --namespace flux-system delete deployment kustomize-controller",
		"Move HelmReleases, when all is well: take spec.passThrough out of hub.yaml. The spoke suspends",
		"nave get helmreleases -A --cluster prod\n   nave explain\n\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if strings.Contains(out, "no folder stands for") {
		t.Error("another repository is refused")
	}
	other := tree(t, map[string]string{
		"map.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: far, namespace: shop}\n",
	})
	given, _ := m.run("--local-sources=GitRepository/flux-system/elsewhere=" + other)
	if strings.Contains(given, "another repository") ||
		!regexp.MustCompile(`elsewhere +does not have it +0 +1 +0 +yes`).MatchString(given) {
		t.Errorf("with a checkout of it:\n%s", given)
	}
	before, _, _ := strings.Cut(out, "Move HelmReleases")
	if strings.Contains(before, "flux uninstall") || strings.ContainsRune(out, '\x1b') {
		t.Error("it uninstalls controllers that are needed, or writes to the terminal what a cluster said")
	}
	if t.Failed() {
		t.Log(out)
	}
}

// TestMigrateRemoteBases has remote bases, of a tenant, too: they are not refused, but need flags of the hub and, to be
// compared, folders.
func TestMigrateRemoteBases(t *testing.T) {
	m := newMigrateTest(t)
	based := func(name, account string) string {
		return "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: " + name +
			", namespace: flux-system}\nspec: {interval: 10m, path: ./" + name + ", prune: true, " + account +
			"sourceRef: {kind: GitRepository, name: flux-system}}\n"
	}
	for name, text := range map[string]string{
		"clusters/prod/based.yaml": based("based", "") + "---\n" + based("tenant", "serviceAccountName: shop, "),
		"based/kustomization.yaml": "resources: ['https://git.example.com/acme/base?ref=v1', " +
			"'https://b.example/x//part?ref=v2']\n",
		"tenant/kustomization.yaml": "resources: ['https://git.example.com/acme/base?ref=v1', " +
			"'https://files.example/crds.yaml']\n",
	} {
		file := filepath.Join(m.repo, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	base := func(name string) string {
		return tree(t, map[string]string{
			"kustomization.yaml": "resources: [part]\n", "part/kustomization.yaml": "resources: [map.yaml]\n",
			"part/map.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: shop}\n",
		})
	}
	r := m.report()
	names := func(r *migrate.Report) (all []string) {
		for _, b := range r.RemoteBases {
			all = append(all, fmt.Sprint(b.Address, " ", b.Kustomizations, b.NotCompared, b.File))
		}
		return all
	}
	if got, want := names(r), []string{
		"https://b.example/x@v2 [flux-system/based] true false",
		"https://files.example/crds.yaml [flux-system/tenant] true true",
		"https://git.example.com/acme/base@v1 [flux-system/based flux-system/tenant] true false",
	}; !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	for _, refused := range r.Refused {
		if strings.Contains(refused.Object, "based") || strings.Contains(refused.Object, "tenant") {
			t.Errorf("refused: %+v", refused)
		}
	}
	out, err := m.run("--local-bases=https://git.example.com/acme/base@v1="+base("one"),
		"--local-bases=https://b.example/x@v2="+base("two"))
	if !errors.Is(err, errReported) {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{
		`flux-system +based +does not have it +0 +2 +0 +yes`, `flux-system +tenant +does not have it +0 +0 +0 +no`,
		`fetched when nave-hub runs with --remote-base-host b.example --remote-base-host files.example --remote-base-host ` +
			`git.example.com --tenant-remote-bases:\n +https://b.example/x@v2 \(Kustomization flux-system/based\)`,
		`Not compared, .*:\n +https://files.example/crds.yaml \(Kustomization flux-system/tenant\): a file, which cannot be ` +
			`given\n\n`,
		`[0-9]\. Let the hub fetch the remote bases: run nave-hub with --remote-base-host b.example `,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("it does not say %s:\n%s", want, out)
		}
	}
}

// TestMigrateOperator has a Flux in another namespace that the Flux Operator installed, with its root.
func TestMigrateOperator(t *testing.T) {
	m := newMigrateTest(t)
	m.objects = slices.DeleteFunc(m.objects, func(o *manifest.Object) bool {
		return o.GetKind() == "HelmRelease" ||
			o.GetKind() == "HelmRepository"
	})
	for _, o := range m.objects {
		if o.GetKind() == "Deployment" {
			o.SetNamespace("flux-stage")
			o.SetLabels(map[string]string{"app.kubernetes.io/part-of": "flux", "app.kubernetes.io/managed-by": "flux-operator"})
		}
	}
	out, err := m.run()
	if !errors.Is(err, errReported) {
		t.Fatal(err)
	}
	after := 0
	for _, want := range []string{
		"To know:", "the Flux Operator manages Flux in the namespace flux-stage", "Suspend Flux\n   kubectl --namespace " +
			"flux-stage annotate fluxinstance --all --overwrite fluxcd.controlplane.io/reconcile=disabled --kubeconfig=",
		"flux suspend kustomization --all", "Remove Flux\n   kubectl --namespace flux-stage delete fluxinstance --all " +
			"--kubeconfig=", "\n   flux uninstall --keep-namespace --silent --namespace flux-stage --kubeconfig=",
	} {
		i := strings.Index(out[after:], want)
		if i < 0 {
			t.Fatalf("it does not say %q after %q:\n%s", want, out[:after], out[after:])
		}
		after += i
	}
}

// TestMigrateExport gives what is exported to "nave build", which reads it as the hub does.
func TestMigrateExport(t *testing.T) {
	m := newMigrateTest(t)
	out, err := m.run("--export")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"path: ./clusters/${cluster_name}", "HelmRelease.helm.toolkit.fluxcd.io",
		"left out Kustomization.kustomize.toolkit.fluxcd.io team/far: ", "url: ssh://git@git.example.com/acme/fleet"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not have %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "kustomize-controller") || strings.Contains(out, "kind: Cluster\n") {
		t.Errorf("it has what is not to be applied:\n%s", out)
	}
}

func TestMigrateRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int // of the answers
		none bool
		want string
	}{
		"forbidden":   {nil, http.StatusForbidden, false, "kustomizations is forbidden (the account needs get and list"},
		"no_flux":     {nil, 0, true, "the cluster has no Kustomization of Flux"},
		"output":      {[]string{"-o", "wide"}, 0, false, "want json or yaml"},
		"export_json": {[]string{"--export", "-o", "json"}, 0, false, "leave out --output"},
		"hub_flag":    {[]string{"--config", "x"}, 0, false, "--config does nothing here"},
		"no_context":  {[]string{"--context", "other"}, 0, false, `context "other" does not exist`},
		"no_checkout": {[]string{"--path", "/nonexistent"}, 0, false, "/nonexistent"},
		"other_checkout": {[]string{"--path", "."}, 0, false,
			"give a checkout of ssh://git@git.example.com/acme/fleet, or leave out --path to clone it"},
		"arguments": {[]string{"prod"}, 0, false, "usage: nave migrate flux"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMigrateTest(t)
			m.code = c.code
			if c.none {
				m.objects = nil
			}
			if out, err := m.run(c.args...); err == nil || errors.Is(err, errReported) || !strings.Contains(out, c.want) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// TestMigrate_remote_password names the remotes of another checkout without their passwords.
func TestMigrate_remote_password(t *testing.T) {
	m, dir := newMigrateTest(t), t.TempDir()
	t.Setenv("PATH", searchPath)
	for _, args := range [][]string{
		{"init", "-q"}, {"remote", "add", "origin", "https://me:secret@git.example.com/x.git"},
	} {
		if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	out, err := m.run("--path", dir)
	if err == nil || strings.Contains(out, "secret") || !strings.Contains(out, "git.example.com/x)") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestMigrateExitCode(t *testing.T) {
	m := newMigrateTest(t)
	if _, err := m.run(); exitCode(err) != 1 {
		t.Errorf("%d for findings", exitCode(err))
	}
	m.code = http.StatusForbidden
	if _, err := m.run(); exitCode(err) != 2 {
		t.Errorf("%d for an error", exitCode(err))
	}
}
