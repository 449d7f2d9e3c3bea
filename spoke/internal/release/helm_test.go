package release_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/helmtest"
	"github.com/navefleet/nave/e2e/kubetest"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/release"
)

// The tests with the real helm share one real cluster.
var shared = kubetest.Shared{Options: kubetest.Options{Name: "release"}}

func TestMain(m *testing.M) {
	code := m.Run()
	if err := shared.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// helmWorld is a namespace of the cluster and a version of helm.
type helmWorld struct {
	t         *testing.T
	cluster   *kubetest.Cluster
	client    *kube.Client
	helm      helmtest.Helm
	namespace string
}

// newHelmWorld returns a namespace of the cluster, without a helm.
func newHelmWorld(t *testing.T) *helmWorld {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real cluster")
	}
	cluster, err := shared.Get()
	if err != nil {
		t.Fatal(err)
	}
	client, err := kube.Connect(cluster.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	namespace := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	w := &helmWorld{t: t, cluster: cluster, client: client, namespace: namespace}
	w.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: " + namespace + "}\n")
	return w
}

// eachHelm runs a test in a namespace of its own for Helm 3 and Helm 4.
func eachHelm(t *testing.T, test func(*testing.T, *helmWorld)) {
	t.Helper()
	for _, major := range []int{3, 4} {
		t.Run(fmt.Sprintf("helm%d", major), func(t *testing.T) {
			w := newHelmWorld(t)
			var err error
			if w.helm, err = helmtest.New(t.Context(), major); err != nil {
				t.Fatal(err)
			}
			test(t, w)
		})
	}
}

func (w *helmWorld) apply(yaml string) {
	w.t.Helper()
	if err := w.cluster.Apply(w.t.Context(), []byte(yaml)); err != nil {
		w.t.Fatal(err)
	}
}

// applyAsSpoke applies the object of the release as the spoke does.
func (w *helmWorld) applyAsSpoke(greeting string) {
	w.t.Helper()
	_, err := w.client.Apply(w.t.Context(), &manifest.Object{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{"greeting": greeting},
		"metadata": map[string]any{"name": "web", "namespace": w.namespace,
			"labels": map[string]any{"app.kubernetes.io/managed-by": "Helm"},
			"annotations": map[string]any{"meta.helm.sh/release-name": "web",
				"meta.helm.sh/release-namespace": w.namespace}}}}, kube.ApplyOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
}

// run runs helm in the namespace and returns what it prints.
func (w *helmWorld) run(args ...string) string {
	w.t.Helper()
	out, err := w.helm.Run(w.t.Context(), w.cluster.Kubeconfig, append(args, "--namespace", w.namespace)...)
	if err != nil {
		w.t.Fatal("helm", args, err)
	}
	return out
}

// shows fails unless helm prints all of the texts.
func (w *helmWorld) shows(args string, texts ...string) {
	w.t.Helper()
	out := w.run(strings.Fields(args)...)
	for _, text := range texts {
		if !strings.Contains(out, text) {
			w.t.Errorf("helm %s prints:\n%s\nwithout %q", args, out, text)
		}
	}
}

func (w *helmWorld) storage(name string) *release.Storage {
	return &release.Storage{Client: w.client, Namespace: w.namespace, Name: name, Now: func() time.Time { return noon }}
}

func (w *helmWorld) create(s *release.Storage, r release.Record) release.Revision {
	w.t.Helper()
	v, err := s.Create(w.t.Context(), &r, manifest.DigestOf([]byte(r.Manifest)))
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// history returns the revisions of a release as "1 superseded, 2 deployed".
func (w *helmWorld) history(s *release.Storage) string {
	w.t.Helper()
	all, err := s.History(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	var texts []string
	for _, r := range all {
		texts = append(texts, fmt.Sprintf("%d %s", r.Version, r.Status))
	}
	return strings.Join(texts, ", ")
}

func (w *helmWorld) greeting(want string) {
	w.t.Helper()
	o, err := w.cluster.Get(w.t.Context(), "ConfigMap", w.namespace, "web")
	if want == "" && err != nil {
		return
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if got := o.Object["data"].(map[string]any)["greeting"]; got != want {
		w.t.Errorf("greeting %v, want %s", got, want)
	}
}

// TestHelm_commands runs every command of helm that reads or changes a release without its chart, on records that the
// package wrote.
func TestHelm_commands(t *testing.T) {
	eachHelm(t, func(t *testing.T, w *helmWorld) {
		s := w.storage("web")
		first := deployed("web", w.namespace, 1, "hello")
		at := w.create(s, first)
		first.Info.Status, at.Tests = release.Superseded, release.TestsPassed
		if _, err := s.Update(t.Context(), &first, at); err != nil {
			t.Fatal(err)
		}
		if all, err := s.History(t.Context()); err != nil || len(all) != 1 || all[0].Tests != release.TestsPassed ||
			all[0].Digest != at.Digest || !all[0].WrittenAt.Equal(noon) {
			t.Errorf("%+v, %v", all, err)
		}
		w.create(s, deployed("web", w.namespace, 2, "goodbye"))
		w.applyAsSpoke("goodbye")

		w.shows("list", "web", "deployed", "web-1.2.3", "2026-11-26 12:00")
		w.shows("status web", "STATUS: deployed", "REVISION: 2", "Open the web page.")
		w.shows("history web", "superseded", "Upgrade complete")
		w.shows("get all web", "greeting: goodbye", "web-check", "Open the web page.")
		w.shows("get manifest web --revision 1", "greeting: hello")
		w.shows("get hooks web", "kind: ConfigMap", "web-check")
		w.shows("get notes web", "Open the web page.")
		w.shows("get values web --all", "greeting: goodbye")
		w.shows("get metadata web", "CHART: web", "VERSION: 1.2.3", "APP_VERSION: 7")

		w.run("rollback", "web", "1")
		w.greeting("hello")
		if got := w.history(s); got != "1 superseded, 2 superseded, 3 deployed" {
			t.Error(got)
		}
		w.sees(s, 3)
		w.run("uninstall", "web")
		w.greeting("")
		if got := w.history(s); got != "" {
			t.Error(got)
		}
	})
}

// sees fails unless the package reads the record that helm rolled back to.
func (w *helmWorld) sees(s *release.Storage, version int) {
	w.t.Helper()
	r, v, err := s.Read(w.t.Context(), version)
	if err != nil {
		w.t.Fatal(err)
	}
	if !v.Digest.IsZero() || v.Status != release.Deployed || len(r.Hooks) != 1 ||
		r.Hooks[0].LastRun.Phase != release.HookSucceeded {
		w.t.Errorf("%+v %+v", v, r.Hooks)
	}
}

const chart = `apiVersion: v2
name: web
version: 1.2.3
`

// TestHelm_adopts reads a release that helm installed, and adds a revision. Helm still has the chart of the first.
func TestHelm_adopts(t *testing.T) {
	eachHelm(t, func(t *testing.T, w *helmWorld) {
		dir := t.TempDir()
		files := map[string]string{"Chart.yaml": chart, "values.yaml": "greeting: hello\n",
			"templates/config.yaml": "apiVersion: " +
				"v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {greeting: {{ .Values.greeting }}}\n"}
		for name, text := range files {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		w.run("install", "web", dir, "--labels", "team=shop")
		s := w.storage("web")
		r, at, err := s.Read(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if !at.Digest.IsZero() || at.Status != release.Deployed || r.Labels["team"] != "shop" ||
			r.Info.LastDeployed.IsZero() {
			t.Errorf("%+v %v %+v", at, r.Labels, r.Info)
		}
		print := r.Fingerprint()
		r.Info.Status = release.Superseded
		if _, err := s.Update(t.Context(), &r, at); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Update(t.Context(), &r, at); kube.ReasonOf(err) != kube.Conflict {
			t.Error("a record that changed was replaced:", err)
		}
		again, _, err := s.Read(t.Context(), 1)
		if err != nil || again.Fingerprint() != print {
			t.Error("the update changed what the revision is", err)
		}
		w.create(s, deployed("web", w.namespace, 2, "goodbye"))
		second := deployed("web", w.namespace, 2, "other")
		if _, err := s.Create(t.Context(), &second, manifest.Digest{}); kube.ReasonOf(err) != kube.Exists {
			t.Error("a revision was written twice:", err)
		}
		w.run("rollback", "web", "1")
		w.greeting("hello")
		w.shows("list --selector team=shop", "web", "deployed")
		w.run("upgrade", "web", dir, "--reuse-values", "--set", "other=1")
		if got := w.history(s); got != "1 superseded, 2 superseded, 3 superseded, 4 deployed" {
			t.Error(got)
		}
		four := []release.Revision{{Version: 1}, {Version: 2}, {Version: 3}, {Version: 4}}
		for _, version := range release.Surplus(four, 1) {
			if err := s.Delete(t.Context(), version); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Delete(t.Context(), 1); err != nil {
			t.Error("a record that is gone cannot be deleted:", err)
		}
		if lines := slices.Collect(strings.Lines(w.run("history", "web"))); len(lines) != 2 {
			t.Error(lines)
		}
	})
}

// helmCluster applies the one object of a release as the spoke does.
type helmCluster struct {
	*helmWorld
	greeting string
}

func (c helmCluster) Define(context.Context, bundle.CRDPolicy) error       { return nil }
func (c helmCluster) Prune(context.Context, []bundle.ObjectIdentity) error { return nil }
func (c helmCluster) CreateNamespace(context.Context, string) error        { return nil }
func (c helmCluster) Discard(context.Context) error                        { return nil }
func (c helmCluster) Await(context.Context, bool) error                    { return nil }

func (c helmCluster) Apply(context.Context, bundle.ReleaseAction) error {
	c.applyAsSpoke(c.greeting)
	return nil
}

func (c helmCluster) Restore(_ context.Context, _ release.Identity, objects []*manifest.Object,
	_ bundle.ReleaseAction) error {
	c.applyAsSpoke(objects[0].Object["data"].(map[string]any)["greeting"].(string))
	return nil
}

func (c helmCluster) Remove(ctx context.Context, _ bundle.ReleaseAction) error {
	return c.cluster.Delete(ctx, "ConfigMap", c.namespace, "web")
}

// carry carries out the decisions about a release until nothing is left to do, and returns the actions.
func (w *helmWorld) carry(j *release.Journal, d release.Desired, greeting string) string {
	w.t.Helper()
	s := w.storage("web")
	s.Now = time.Now
	e := release.Executor{Storage: s, Cluster: helmCluster{w, greeting}, Now: s.Now,
		Hooks:   &release.HookRunner{Client: w.client, Now: s.Now},
		Content: func(context.Context) (release.Record, error) { return contentOf(w.namespace, greeting), nil },
		Save:    func(release.Journal) error { return nil }}
	d.Namespace, d.StorageNamespace, d.Digest = w.namespace, w.namespace, digestOf(greeting)
	r, err := e.Run(w.t.Context(), d, *j)
	if err != nil || r.Failed != nil {
		w.t.Fatal(err, r.Failed)
	}
	*j = r.Journal
	return fmt.Sprintf("%v %s", r.Done, r.Last.State)
}

func (w *helmWorld) expect(what, got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%s: %s, want %s", what, got, want)
	}
}

// TestHelm_carry has the spoke and an operator with helm work on one release by turns.
func TestHelm_carry(t *testing.T) {
	eachHelm(t, func(t *testing.T, w *helmWorld) {
		s, j, d := w.storage("web"), release.Journal{}, desired()
		d.MaxHistory = 3
		w.expect("install", w.carry(&j, d, "one"), "[install] InSync")
		w.shows("status web", "STATUS: deployed", "REVISION: 1")
		w.expect("upgrade", w.carry(&j, d, "two"), "[upgrade] InSync")
		w.shows("history web", "superseded", "Upgrade complete")

		w.run("test", "web")
		w.expect("after helm test", w.carry(&j, d, "two"), "[] InSync")
		w.run("rollback", "web", "1")
		w.greeting("one")
		w.expect("after helm rollback", w.carry(&j, d, "two"), "[upgrade] InSync")
		w.greeting("two")
		w.expect("history", w.history(s), "2 superseded, 3 superseded, 4 deployed")

		w.run("uninstall", "web", "--keep-history")
		w.expect("after helm uninstall", w.carry(&j, d, "two"), "[install] InSync")
		w.expect("history", w.history(s), "3 superseded, 4 uninstalled, 5 deployed")
		d.Removed = true
		w.expect("removal", w.carry(&j, d, "two"), "[uninstall] Absent")
		w.greeting("")
		if out := w.run("list", "--short"); strings.Contains(out, "web") {
			t.Error(out)
		}
	})
}
