package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/helmtest"
	"github.com/navefleet/nave/e2e/kubetest"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/health"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/ledger"
	"github.com/navefleet/nave/spoke/internal/report"
	"github.com/navefleet/nave/spoke/internal/state"
	"github.com/navefleet/nave/spoke/internal/trust"
	"github.com/navefleet/nave/spoke/internal/watch"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

var shared = kubetest.Shared{Options: kubetest.Options{Name: "agent"}}

func TestMain(m *testing.M) {
	code := m.Run()
	if err := shared.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// told is the latest reports, and all events.
type told struct {
	mu     sync.Mutex
	latest map[string]*spokev1.ApplicationReport
	events []string
	texts  []string // "reason: message" of each event
}

func (o *told) Report(_ context.Context, r *spokev1.ReportRequest) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.Full {
		clear(o.latest)
	}
	for _, a := range r.Applications {
		o.latest[a.Name.Name] = a
	}
	for _, name := range r.Removed {
		delete(o.latest, name.Name)
	}
	for _, e := range r.Events {
		o.events = append(o.events, e.Reason)
		o.texts = append(o.texts, e.Reason+": "+e.Message)
	}
	return nil
}

func (o *told) of(name string) *spokev1.ApplicationReport {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.latest[name]
}

// helmWorld is an agent on a real API server, with one release that a test changes.
type helmWorld struct {
	t        *testing.T
	cluster  *kubetest.Cluster
	hub      *farHub
	client   *kube.Client
	told     *told
	dir      string
	sequence uint64
	stop     func()

	app   *bundle.Application
	entry bundle.Entry
	gone  bool // the application left
	asked []bundle.ShapeQuestion
	// others are applications besides the release.
	others []*bundle.Application
}

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
	w := &helmWorld{t: t, cluster: cluster, hub: newFarHub(), client: client, dir: t.TempDir(),
		told: &told{latest: map[string]*spokev1.ApplicationReport{}}}
	namespace := strings.ToLower(strings.NewReplacer("_", "-", "/", "-").Replace(t.Name()))
	action := bundle.ReleaseAction{Timeout: time.Minute}
	install, upgrade := action, action
	install.Remediation.Strategy, upgrade.Remediation.Strategy = bundle.UninstallOnFailure, bundle.RollbackOnFailure
	w.app = &bundle.Application{
		Name:     bundle.ApplicationName{Kind: "HelmRelease", Namespace: namespace, Name: "web"},
		Interval: time.Hour, RetryInterval: time.Hour,
		Release: &bundle.Release{Name: "web", Namespace: namespace, StorageNamespace: namespace, MaxHistory: 5,
			Chart: []byte(`{"name":"web","version":"1.2.3","appVersion":"7","apiVersion":"v2"}`), CreateNamespace: true,
			Values: []byte(`{"replicas":1}`), Notes: "Hello.",
			Install: install, Upgrade: upgrade, Rollback: action, Uninstall: action},
	}
	w.entry = bundle.Entry{Name: w.app.Name, Revision: "1.2.3", Features: "helm-release"}
	// Helm writes records into a namespace that exists.
	w.must(w.cluster.Apply(t.Context(), []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: "+namespace+"}\n")))
	w.start()
	return w
}

// start runs an agent with the state on disk.
func (w *helmWorld) start() {
	w.t.Helper()
	store, err := state.OpenLimited(filepath.Join(w.dir, "spoke.db"), 0)
	w.must(err)
	keyring, err := signing.NewKeyring(w.hub.signer.Public())
	w.must(err)
	index, assessor := inventory.NewIndex(), health.NewAssessor(nil)
	log := slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	applier := apply.New(apply.Config{Client: w.client, Index: index, Health: assessor, Log: log,
		Self: trust.Self{Namespace: "nave-system"}})
	reporter := report.New(w.told, log)
	reporter.Connected(true)
	watcher := watch.New(watch.Config{Client: w.client, Index: index, Health: assessor, Log: log})
	a := New(Config{
		Cluster: self, Keyring: keyring, Store: store, Hub: w.hub, Applier: applier, Watcher: watcher, Index: index,
		Ledger: ledger.New(ledger.Config{}), Kubernetes: w.client, Reporter: reporter, Log: log, Health: assessor,
		Jitter: func() float64 { return 0 }, Questions: w.hub, Shapes: w.hub,
		Releases: &Releases{Applier: applier, Client: w.client},
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := a.Run(ctx); err != nil {
			w.t.Errorf("Run: %v", err)
		}
	})
	running.Go(func() { reporter.Run(ctx) })
	running.Go(func() { watcher.Run(ctx) })
	w.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if err := store.Close(); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(func() { w.stop() })
}

func (w *helmWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// references makes blobs of the objects of a text.
func (w *helmWorld) references(yaml string) (all []bundle.ObjectReference) {
	w.t.Helper()
	parsed, err := manifest.Parse([]byte(strings.ReplaceAll(yaml, "$NS", w.app.Name.Namespace)))
	w.must(err)
	for _, o := range parsed {
		data, err := manifest.Canonical(o)
		w.must(err)
		all = append(all, bundle.ObjectReference{ObjectIdentity: kube.Identify(o), Digest: w.hub.put(data)})
	}
	return all
}

// render makes a text the objects of the release.
func (w *helmWorld) render(yaml string) { w.app.Objects = w.references(yaml) }

// hook adds a hook.
func (w *helmWorld) hook(yaml string, policies []string, events ...string) {
	w.app.Hooks = append(w.app.Hooks, bundle.Hook{ObjectReference: w.references(yaml)[0], Path: "web/templates/hook.yaml",
		Events: events, DeletePolicies: policies})
}

// send sends a bundle with the release as it is now, and waits until the agent has received it.
func (w *helmWorld) send() {
	w.t.Helper()
	w.sequence++
	now := time.Now()
	b := &bundle.Bundle{Cluster: self.String(), Epoch: 1, Sequence: w.sequence, IssuedAt: now.Add(-time.Minute),
		ExpiresAt: now.Add(time.Hour), Questions: w.asked}
	if w.gone {
		b.Removals = []bundle.Removal{{Name: w.app.Name, Policy: bundle.MirrorPrune}}
	} else {
		data, err := w.app.Encode()
		w.must(err)
		w.entry.Digest = w.hub.put(data)
		b.Applications = []bundle.Entry{w.entry}
	}
	for _, app := range w.others {
		data, err := app.Encode()
		w.must(err)
		b.Applications = append(b.Applications, bundle.Entry{Name: app.Name, Digest: w.hub.put(data), Revision: "1"})
	}
	w.hub.send(w.hub.signBundle(w.t, b))
	for received := fmt.Sprintf("%d received", w.sequence); ; {
		select {
		case ack := <-w.hub.acks:
			if ack == received {
				return
			}
		case <-time.After(patience):
			w.t.Fatalf("the hub does not hear %q", received)
		}
	}
}

// expect waits until the release is reported with this status and reason of Ready.
func (w *helmWorld) expect(ready, reason string) *spokev1.ApplicationReport {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 90*time.Second)
	defer cancel()
	err := kubetest.Until(ctx, ready+" "+reason, func(context.Context) error {
		r := w.told.of("web")
		digest := w.entry.Digest
		if r == nil || string(r.Digest) != string(digest[:]) || r.Ready != ready || r.Reason != reason {
			return fmt.Errorf("it is %v", r)
		}
		return nil
	})
	w.must(err)
	return w.told.of("web")
}

// eventually waits until a check has no error.
func (w *helmWorld) eventually(what string, check func() error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	w.must(kubetest.Until(ctx, what, func(context.Context) error { return check() }))
}

// field returns a field of an object; empty if there is none.
func (w *helmWorld) field(kind, name string, path ...string) string {
	w.t.Helper()
	o, err := w.cluster.Get(w.t.Context(), kind, w.app.Name.Namespace, name)
	if err != nil {
		return ""
	}
	var value any = o.Object
	for _, key := range path {
		fields, _ := value.(map[string]any)
		value = fields[key]
	}
	return fmt.Sprint(value)
}

func (w *helmWorld) same(what, got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// helm fails unless the real helm prints all of the texts.
func (w *helmWorld) helm(args string, texts ...string) {
	w.t.Helper()
	helm, err := helmtest.New(w.t.Context(), 3)
	w.must(err)
	out, err := helm.Run(w.t.Context(), w.cluster.Kubeconfig,
		append(strings.Fields(args), "--namespace", w.app.Name.Namespace)...)
	w.must(err)
	for _, text := range texts {
		if !strings.Contains(out, text) {
			w.t.Errorf("helm %s prints:\n%s\nwithout %q", args, out, text)
		}
	}
}

// conditions writes the conditions of a report as words.
func conditionsOf(r *spokev1.ApplicationReport) string {
	var all []string
	for _, c := range r.GetRelease().GetConditions() {
		all = append(all, c.Type+"="+c.Status+" "+c.Reason)
	}
	return strings.Join(all, ", ")
}

func historyOf(r *spokev1.ApplicationReport) string {
	var all []string
	for _, v := range r.GetRelease().GetHistory() {
		all = append(all, fmt.Sprintf("%d %s %s@%s", v.Revision, v.Status, v.Chart, v.ChartVersion))
	}
	return strings.Join(all, ", ")
}

const (
	lifeConfig = `apiVersion: v1
kind: ConfigMap
metadata: {name: config, namespace: $NS}
data: {greeting: one}
`
	lifeWeb = lifeConfig + `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: $NS}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: web}]}}
`
	lifeIll = `---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: never, namespace: $NS}
spec: {accessModes: [ReadWriteOnce], storageClassName: none, resources: {requests: {storage: 1Gi}}}
`
	lifeHook = `apiVersion: v1
kind: ConfigMap
metadata: {name: NAME, namespace: $NS}
`
)

func hookNamed(name string) string { return strings.Replace(lifeHook, "NAME", name, 1) }

// TestRelease_life installs a release, upgrades it, lets an upgrade fail and be rolled back, tests it, repairs its
// drift, and uninstalls it when it left Git. The real helm shows each revision.
func TestRelease_life(t *testing.T) {
	w := newHelmWorld(t)
	w.render(lifeWeb)
	w.hook(hookNamed("before"), nil, bundle.PreInstall, bundle.PreUpgrade)
	w.hook(hookNamed("last"), nil, bundle.PreDelete)
	w.hook(hookNamed("check"), nil, bundle.TestHook)
	w.send()
	r := w.expect(condition.True, condition.ReconciliationSucceeded)
	w.same("conditions", conditionsOf(r), "Released=True InstallSucceeded")
	w.same("history", historyOf(r), "1 deployed web@1.2.3")
	w.same("hook", w.field("ConfigMap", "before", "kind"), "ConfigMap")
	w.helm("list", "web-1.2.3", "deployed")
	w.helm("get values web", "replicas: 1")
	w.helm("get notes web", "Hello.")

	w.render(strings.ReplaceAll(lifeWeb, "greeting: one", "greeting: two"))
	w.send()
	r = w.expect(condition.True, condition.ReconciliationSucceeded)
	w.same("conditions", conditionsOf(r), "Released=True UpgradeSucceeded")
	w.same("upgraded", w.field("ConfigMap", "config", "data", "greeting"), "two")

	w.app.Release.Upgrade.Timeout, w.app.Release.Upgrade.CleanupOnFail = 5*time.Second, true
	w.app.Release.Upgrade.Remediation.RemediateLastFailure = true
	w.render(strings.ReplaceAll(lifeWeb, "greeting: one", "greeting: three") + lifeIll)
	w.send()
	w.expect(condition.Unknown, condition.Progressing)
	r = w.expect(condition.False, condition.RetriesExceeded)
	w.same("conditions", conditionsOf(r), "Released=False UpgradeFailed, Remediated=True RollbackSucceeded")
	w.same("history", historyOf(r),
		"4 deployed web@1.2.3, 3 failed web@1.2.3, 2 superseded web@1.2.3, 1 superseded web@1.2.3")
	w.same("failures", fmt.Sprint(r.Release.UpgradeFailures), "1")
	w.same("restored", w.field("ConfigMap", "config", "data", "greeting"), "two")
	if !strings.Contains(r.Message, "PersistentVolumeClaim "+w.app.Name.Namespace+"/never") {
		t.Error(r.Message)
	}
	w.helm("history web", "Rollback to 2", "failed")

	w.render(strings.ReplaceAll(lifeWeb, "greeting: one", "greeting: four"))
	w.send()
	r = w.expect(condition.True, condition.ReconciliationSucceeded)
	w.same("conditions", conditionsOf(r), "Released=True UpgradeSucceeded")

	w.entry.TestRequestedAt = "now"
	w.send()
	w.eventually("the test", func() error {
		if r := w.told.of("web"); conditionsOf(r) != "Released=True UpgradeSucceeded, TestSuccess=True TestSucceeded" ||
			r.Release.HandledTest != "now" {
			return errors.New(conditionsOf(r))
		}
		return nil
	})

	w.must(w.cluster.Edit(t.Context(), "ConfigMap", w.app.Name.Namespace, "config", `{"data":{"greeting":"hacked"}}`))
	w.eventually("the repair", func() error {
		if got := w.field("ConfigMap", "config", "data", "greeting"); got != "four" {
			return errors.New(got)
		}
		return nil
	})

	w.helm("rollback web 1")
	w.entry.RequestedAt = "later"
	w.send()
	w.eventually("the takeover", func() error {
		if got := w.field("ConfigMap", "config", "data", "greeting"); got != "four" {
			return errors.New(got)
		}
		return nil
	})

	w.gone = true
	w.send()
	w.awaitRemoval()
	w.same("removed", w.field("Deployment.apps", "web", "kind"), "")
	w.same("pre-delete hook", w.field("ConfigMap", "last", "kind"), "ConfigMap")
	w.same("record", w.field("Secret", "sh.helm.release.v1.web.v5", "kind"), "")
	w.told.mu.Lock()
	defer w.told.mu.Unlock()
	for _, reason := range []string{condition.InstallSucceeded, condition.UpgradeSucceeded, condition.RetriesExceeded,
		condition.RollbackSucceeded, condition.TestSucceeded, condition.DriftRepaired, condition.Deleted,
		condition.UninstallSucceeded} {
		if !slices.Contains(w.told.events, reason) {
			t.Errorf("no event %s among %v", reason, w.told.events)
		}
	}
	uninstalled := regexp.MustCompile(`^UninstallSucceeded: Helm uninstall succeeded for release \S+/web: \d+ deleted \(`)
	if !slices.ContainsFunc(w.told.texts, uninstalled.MatchString) {
		t.Errorf("no count of what was uninstalled among %q", w.told.texts)
	}
}

// rendered makes a Secret with a password an object of the release, beside a ConfigMap. The password is another one in
// each render.
func (w *helmWorld) rendered(password, greeting string) {
	w.t.Helper()
	const secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: login, namespace: $NS}\nstringData: {user: web, " +
		"password: PASSWORD}\n"
	text := strings.ReplaceAll(lifeConfig, "greeting: one", "greeting: "+greeting) +
		strings.ReplaceAll(secret, "PASSWORD", password)
	w.render(text)
	parsed, err := manifest.Parse([]byte(strings.ReplaceAll(text, "$NS", w.app.Name.Namespace)))
	w.must(err)
	g, err := bundle.NewGeneratedFields(parsed[1], kube.Identify(parsed[1]), false, []string{"/stringData/password"})
	w.must(err)
	w.app.Release.Generated = []bundle.GeneratedFields{g}
}

// TestRelease_generated renders a release again with another password: nothing changes. An upgrade keeps the password,
// also in the record.
func TestRelease_generated(t *testing.T) {
	w := newHelmWorld(t)
	w.rendered("first", "one")
	w.send()
	w.expect(condition.True, condition.ReconciliationSucceeded)
	version := func() string { return w.field("Secret", "login", "metadata", "resourceVersion") }
	before := version()

	w.rendered("second", "one")
	w.send()
	r := w.expect(condition.True, condition.ReconciliationSucceeded)
	w.same("history", historyOf(r), "1 deployed web@1.2.3")
	w.same("Secret", version(), before)

	w.rendered("third", "two")
	w.send()
	r = w.expect(condition.True, condition.ReconciliationSucceeded)
	w.same("history", historyOf(r), "2 deployed web@1.2.3, 1 superseded web@1.2.3")
	w.same("password", w.field("Secret", "login", "data", "password"), "Zmlyc3Q=")
	w.same("upgraded", w.field("ConfigMap", "config", "data", "greeting"), "two")
	w.helm("get manifest web", "Zmlyc3Q=")
}

// TestRelease_adopts takes over a release that helm installed, without a restart of a Pod, and uninstalls it when it
// left Git.
func TestRelease_adopts(t *testing.T) {
	w := newHelmWorld(t)
	dir := t.TempDir()
	w.must(os.MkdirAll(filepath.Join(dir, "templates"), 0o755))
	w.must(os.WriteFile(filepath.Join(dir, "Chart.yaml"), []byte("apiVersion: v2\nname: web\nversion: 1.0.0\n"), 0o644))
	w.must(os.WriteFile(filepath.Join(dir, "templates", "all.yaml"), []byte(strings.NewReplacer(", namespace: $NS", "",
		"greeting: one", "greeting: zero, more: text").Replace(lifeWeb)+"---\n"+
		strings.ReplaceAll(hookNamed("left"), ", namespace: $NS", "")), 0o644))
	w.helm("install web "+dir+" --wait", "STATUS: deployed")
	deployment := func() string {
		return w.field("Deployment.apps", "web", "metadata", "generation") + " " +
			w.field("Deployment.apps", "web", "metadata", "uid")
	}
	before := deployment()

	w.app.Release.KeepOtherChart = true
	w.render(lifeWeb)
	w.send()
	r := w.expect(condition.True, condition.ReconciliationSucceeded)
	w.same("history", historyOf(r), "2 deployed web@1.2.3, 1 superseded web@1.0.0")
	w.same("Deployment", deployment(), before)
	w.same("left", w.field("ConfigMap", "left", "kind"), "")
	w.same("data", w.field("ConfigMap", "config", "data"), "map[greeting:one]")

	w.helm("rollback web 1")
	w.entry.RequestedAt = "now"
	w.send()
	w.eventually("the upgrade", func() error {
		if got := historyOf(w.told.of("web")); !strings.HasPrefix(got, "4 deployed web@1.2.3, 3 superseded web@1.0.0") {
			return errors.New(got)
		}
		return nil
	})
	w.same("data again", w.field("ConfigMap", "config", "data"), "map[greeting:one]")
	w.gone = true
	w.send()
	w.awaitRemoval()
	w.same("removed", w.field("Deployment.apps", "web", "kind"), "")
	w.same("records", w.field("Secret", "sh.helm.release.v1.web.v4", "kind"), "")
}

// lifeFlux is the object by which Flux's helm-controller has the release.
const lifeFlux = `apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: web, namespace: $NS}
`

// TestRelease_stays takes releases out of the bundle: suspended and orphaned ones stay, and those that the bundle gives
// to Flux.
func TestRelease_stays(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*helmWorld)
		record string
	}{
		"suspended": {func(w *helmWorld) { w.entry.Suspended = true }, "Secret"},
		"orphaned":  {func(w *helmWorld) { w.app.DeletionPolicy = bundle.Orphan }, "Secret"},
		"history":   {func(w *helmWorld) { w.app.Release.Uninstall.KeepHistory = true }, "Secret"},
		"deleted":   {func(*helmWorld) {}, ""},
		"passed_on": {func(w *helmWorld) {
			w.others = []*bundle.Application{{Name: bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system",
				Name: "root"}, Objects: w.references(lifeFlux)}}
		}, "Secret"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newHelmWorld(t)
			w.render(lifeConfig)
			w.send()
			w.expect(condition.True, condition.ReconciliationSucceeded)
			c.change(w)
			w.send()
			w.expect(condition.True, condition.ReconciliationSucceeded)
			w.gone = true
			w.send()
			w.awaitRemoval()
			w.same("record", w.field("Secret", "sh.helm.release.v1.web.v1", "kind"), c.record)
			stays := "ConfigMap"
			if name == "history" || name == "deleted" {
				stays = ""
			}
			w.same("object", w.field("ConfigMap", "config", "kind"), stays)
		})
	}
}

func (w *helmWorld) awaitRemoval() {
	w.t.Helper()
	w.eventually("the removal", func() error {
		if r := w.told.of("web"); r != nil {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
}

// TestRelease_hooks refuses hooks that are objects of others.
func TestRelease_hooks(t *testing.T) {
	w := newHelmWorld(t)
	w.render(lifeConfig)
	w.hook("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own, namespace: nave-system}\n", nil, bundle.PreInstall)
	w.send()
	r := w.expect(condition.False, condition.RetriesExceeded)
	if !strings.Contains(r.Message, "nave-system") {
		t.Error(r.Message)
	}
	w.same("object", w.field("ConfigMap", "config", "kind"), "")
}

// TestRelease_account uses the rights of a service account for records, hooks and objects alike.
func TestRelease_account(t *testing.T) {
	w := newHelmWorld(t)
	w.app.ServiceAccount = "deployer"
	w.render(lifeConfig)
	w.app.Release.CreateNamespace = false
	w.send()
	r := w.expect(condition.False, condition.ReconciliationFailed)
	if !strings.Contains(r.Message, "system:serviceaccount:"+w.app.Name.Namespace+":deployer") {
		t.Error(r.Message)
	}
	w.must(w.cluster.Apply(t.Context(), []byte(strings.ReplaceAll(`apiVersion: v1
kind: ServiceAccount
metadata: {name: deployer, namespace: $NS}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployer, namespace: $NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}
subjects: [{kind: ServiceAccount, name: deployer, namespace: $NS}]
`, "$NS", w.app.Name.Namespace))))
	w.entry.RequestedAt = "now"
	w.send()
	r = w.expect(condition.True, condition.ReconciliationSucceeded)
	w.same("history", historyOf(r), "1 deployed web@1.2.3")
}

// TestRelease_preempted lets a newer revision end the wait for one that does not become healthy.
func TestRelease_preempted(t *testing.T) {
	w := newHelmWorld(t)
	w.render(lifeConfig + lifeIll)
	w.send()
	w.eventually("the wait", func() error {
		if r := w.told.of("web"); r == nil || r.Release.GetStep() != "health" {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
	w.render(lifeConfig)
	w.send()
	r := w.expect(condition.True, condition.ReconciliationSucceeded)
	w.same("history", historyOf(r), "2 deployed web@1.2.3, 1 failed web@1.2.3")
	w.same("left", w.field("PersistentVolumeClaim", "never", "kind"), "")
}

// TestRelease_drift leaves drift that nobody asked to correct, and tells of it if it was asked for.
func TestRelease_drift(t *testing.T) {
	for name, c := range map[string]struct {
		mode   bundle.DriftMode
		want   string
		reason string
	}{
		"disabled": {bundle.IgnoreDrift, "hacked", condition.ReconciliationSucceeded},
		"warn":     {bundle.WarnOfDrift, "hacked", condition.DriftDetected},
		"enabled":  {bundle.CorrectDrift, "one", condition.ReconciliationSucceeded},
	} {
		t.Run(name, func(t *testing.T) {
			w := newHelmWorld(t)
			w.entry.Drift = c.mode
			w.render(lifeConfig)
			w.send()
			w.expect(condition.True, condition.ReconciliationSucceeded)
			w.must(w.cluster.Edit(t.Context(), "ConfigMap", w.app.Name.Namespace, "config", `{"data":{"greeting":"hacked"}}`))
			w.eventually("the report", func() error {
				if r := w.told.of("web"); r.Reason != c.reason {
					return errors.New(r.Reason)
				}
				return nil
			})
			w.entry.RequestedAt = "now"
			w.send()
			w.eventually("the request", func() error {
				if r := w.told.of("web"); r.HandledRequest != "now" {
					return errors.New(r.HandledRequest)
				}
				return nil
			})
			w.same("greeting", w.field("ConfigMap", "config", "data", "greeting"), c.want)

			// an upgrade repairs in any mode
			w.render(lifeConfig + "---\n" + hookNamed("more"))
			w.send()
			r := w.expect(condition.True, condition.ReconciliationSucceeded)
			w.same("history", historyOf(r), "2 deployed web@1.2.3, 1 superseded web@1.2.3")
			w.same("upgraded", w.field("ConfigMap", "config", "data", "greeting"), "one")
		})
	}
}

// TestRelease_sealed installs a release whose values hold a sealed value. Without the key nothing is attempted. With it
// helm shows the value, and no report does.
func TestRelease_sealed(t *testing.T) {
	w := newHelmWorld(t)
	token := string(sealed.NewSalt([]byte("salt")).Placeholder("ENC[…]", []string{"stringData", "password"}))
	w.render(lifeConfig + "---\napiVersion: v1\nkind: Secret\n" +
		"metadata: {name: db, namespace: $NS}\nstringData: {url: \"db://" +
		token + "\"}\n")
	w.app.Release.Values = []byte(`{"count":3,"db":{"password":"` + token + `"}}`)
	w.app.Release.Notes = "The password is " + token + "."
	w.app.Decryption = bundle.SecretReference{Namespace: w.app.Name.Namespace, Name: "sops-age"}
	w.app.SealedFiles = []bundle.SealedFile{{Path: "db.yaml", Digest: w.hub.put(fixture(t, "secret.sops.yaml")),
		Format: bundle.YAML, Values: []bundle.SealedValue{{Placeholder: token, Path: []string{"stringData", "password"},
			Type: "str"}}}}
	w.send()
	r := w.expect(condition.False, condition.DecryptionFailed)
	w.same("records", w.field("Secret", "sh.helm.release.v1.web.v1", "kind"), "")
	w.same("failures", fmt.Sprint(r.GetRelease().GetInstallFailures()), "0")

	key := strings.ReplaceAll(string(fixture(t, "secret.agekey")), "\n", "\n    ")
	w.must(w.cluster.Apply(t.Context(), []byte("apiVersion: v1\nkind: Secret\nmetadata: {name: sops-age, namespace: "+
		w.app.Name.Namespace+"}\nstringData:\n  identity.agekey: |\n    "+key+"\n")))
	w.entry.RequestedAt = "now"
	w.send()
	r = w.expect(condition.True, condition.ReconciliationSucceeded)
	w.helm("get values web", "password: "+canary, "count: 3")
	w.helm("get notes web", "The password is "+canary)
	w.helm("get manifest web", "db://"+canary)
	if strings.Contains(r.String(), canary) {
		t.Error("the value is reported")
	}

	// The API server quotes what it finds invalid.
	bad := strings.ReplaceAll(lifeConfig, "name: config", "name: config, labels: {password: \"-"+token+"\"}")
	w.render(bad)
	w.send()
	r = w.expect(condition.False, condition.RetriesExceeded)
	if strings.Contains(r.String(), canary) || !strings.Contains(r.Message, "metadata.labels") {
		t.Error(r)
	}
	record, err := w.cluster.Get(t.Context(), "Secret", w.app.Name.Namespace, "sh.helm.release.v1.web.v2")
	w.must(err)
	w.same("status", record.GetLabels()["status"], "failed")
}
