package objects_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/navefleet/nave/e2e/helmtest"
	"github.com/navefleet/nave/e2e/kubetest"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/health"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/release"
	"github.com/navefleet/nave/spoke/internal/release/objects"
	"github.com/navefleet/nave/spoke/internal/trust"
)

var shared = kubetest.Shared{Options: kubetest.Options{Name: "objects"}}

func TestMain(m *testing.M) {
	code := m.Run()
	if err := shared.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// spoke is what the spoke has of one release.
type spoke struct {
	t       *testing.T
	cluster *kubetest.Cluster
	client  *kube.Client
	applier *apply.Applier
	owned   *inventory.Inventory
	journal release.Journal
	desired release.Desired
	allow   func(bundle.ObjectIdentity) error

	guard     apply.Guard
	confirmed manifest.Digest   // the prune that an operator confirmed
	held      *apply.GuardError // by the last run
}

func newSpoke(t *testing.T) *spoke {
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
	s := &spoke{t: t, cluster: cluster, client: client}
	s.applier = apply.New(apply.Config{Client: client, Index: inventory.NewIndex(), Health: health.NewAssessor(nil),
		Self:  trust.Self{Namespace: "nave-system"},
		Allow: func(id bundle.ObjectIdentity) error { return s.allow(id) }})
	s.allow = func(bundle.ObjectIdentity) error { return nil }
	namespace := strings.ToLower(strings.ReplaceAll(t.Name(), "_", "-"))
	action := bundle.ReleaseAction{Timeout: time.Minute}
	s.desired = release.Desired{RetryInterval: time.Minute, Release: &bundle.Release{Name: "web", Namespace: namespace,
		StorageNamespace: namespace, Chart: []byte(`{"name":"web","version":"1.0.0","apiVersion":"v2"}`), CreateNamespace: true,
		Install: action, Upgrade: action, Rollback: action, Uninstall: action}}
	s.desired.Install.Remediation.Strategy = bundle.UninstallOnFailure
	s.desired.Upgrade.Remediation.Strategy = bundle.RollbackOnFailure
	return s
}

// parse returns the objects of a text in the namespace of the release.
func (s *spoke) parse(yaml string) (parsed []*manifest.Object, references []apply.Object) {
	s.t.Helper()
	parsed, err := manifest.Parse([]byte(strings.ReplaceAll(yaml, "$NS", s.desired.Namespace)))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, o := range parsed {
		data, err := manifest.Canonical(o)
		if err != nil {
			s.t.Fatal(err)
		}
		references = append(references, apply.Object{
			ObjectReference: bundle.ObjectReference{ObjectIdentity: kube.Identify(o), Digest: manifest.DigestOf(data)},
			Load:            func(context.Context) (apply.Loaded, error) { return apply.Loaded{Object: o.DeepCopy()}, nil }})
	}
	return parsed, references
}

// run carries out decisions until nothing is left to do, and returns what was done and the state afterwards.
func (s *spoke) run(yaml, definitions string) (string, error) {
	s.t.Helper()
	parsed, references := s.parse(yaml)
	_, crds := s.parse(definitions)
	s.desired.Digest = manifest.DigestOf([]byte(yaml))
	storage := &release.Storage{Client: s.client, Namespace: s.desired.StorageNamespace, Name: "web", Now: time.Now}
	o := &objects.Objects{Applier: s.applier, Client: s.client, Release: s.desired.Release, Definitions: crds,
		Set: apply.Set{Objects: references, Guard: s.guard, Confirmed: s.confirmed, Target: apply.Target{Previous: s.owned,
			Application: bundle.ApplicationName{Kind: "HelmRelease", Namespace: s.desired.Namespace, Name: "web"}}}}
	e := release.Executor{Storage: storage, Cluster: o, Hooks: &release.HookRunner{Client: s.client, Now: time.Now},
		Now: time.Now, Save: func(j release.Journal) error { s.journal = j; return nil },
		Content: func(context.Context) (release.Record, error) {
			text, err := release.Manifest(parsed)
			return release.Record{Name: "web", Namespace: s.desired.Namespace, Manifest: text,
				Chart: json.RawMessage(`{"metadata":` + string(s.desired.Chart) + `,"templates":[],"files":[]}`)}, err
		}}
	r, err := e.Run(s.t.Context(), s.desired, s.journal)
	s.must(err)
	if r.Last.State == release.StateInSync {
		s.must(o.Repair(s.t.Context())) // as the agent does
		for _, e := range o.Last().Failed() {
			if _, held := errors.AsType[*apply.GuardError](e.Err); !held {
				s.t.Fatal(e.Err)
			}
		}
	}
	s.owned, s.held = o.Set.Previous, o.Held
	return strings.TrimSpace(fmt.Sprintf("%v %s %s", r.Done, r.Last.State, r.Last.Stalled)), r.Failed
}

// field returns a field of an object; empty if the object does not exist.
func (s *spoke) field(kind, name string, path ...string) string {
	s.t.Helper()
	o, err := s.cluster.Get(s.t.Context(), kind, s.desired.Namespace, name)
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

func (s *spoke) expect(what, got, want string) {
	s.t.Helper()
	if got != want {
		s.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

const (
	widgets = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.release.example.com}
spec:
  group: release.example.com
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
`
	web = `apiVersion: v1
kind: ConfigMap
metadata: {name: config, namespace: $NS}
data: {greeting: one}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kept, namespace: $NS, annotations: {helm.sh/resource-policy: keep}}
---
apiVersion: release.example.com/v1
kind: Widget
metadata: {name: widget, namespace: $NS}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: $NS}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: web}]}}
`
	unhealthy = `---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: never, namespace: $NS}
spec: {accessModes: [ReadWriteOnce], storageClassName: none, resources: {requests: {storage: 1Gi}}}
`
)

// TestObjects lives a whole life on a real API server: install with definitions into a new namespace, an upgrade that
// does not become healthy, its cleanup and rollback, and an uninstall.
func TestObjects(t *testing.T) {
	s := newSpoke(t)
	s.desired.Install.CRDs = bundle.CreateCRDs
	got, err := s.run(web, widgets)
	s.expect("install", got, "[install] InSync")
	if err != nil {
		t.Fatal(err)
	}
	s.expect("mark", s.field("Deployment.apps", "web", "metadata", "labels", "app.kubernetes.io/managed-by"), "Helm")
	s.expect("ready", s.field("Deployment.apps", "web", "status", "readyReplicas"), "1")

	s.desired.Upgrade.Timeout, s.desired.Upgrade.CleanupOnFail = 5*time.Second, true
	s.desired.Upgrade.Remediation.RemediateLastFailure = true
	second := strings.ReplaceAll(web, "greeting: one", "greeting: two")
	got, err = s.run(second+unhealthy, widgets)
	s.expect("upgrade", got, "[upgrade rollback] OutOfSync RetriesExceeded")
	if want := "health: not healthy: PersistentVolumeClaim " + s.desired.Namespace + "/never"; err == nil ||
		!strings.Contains(err.Error(), want) {
		t.Error(err)
	}
	s.expect("restored", s.field("ConfigMap", "config", "data", "greeting"), "one")
	s.expect("cleaned up", s.field("PersistentVolumeClaim", "never", "kind"), "")
	s.helm("history web", "superseded", "failed", "Rollback to 1")
	s.helm("get manifest web", "greeting: one")

	got, err = s.run(second, widgets)
	s.expect("fixed", got, "[upgrade] InSync")
	s.expect("upgraded", s.field("ConfigMap", "config", "data", "greeting"), "two")
	if err != nil {
		t.Error(err)
	}

	s.desired.Removed = true
	got, err = s.run(second, widgets)
	s.expect("removal", got, "[uninstall] Absent")
	s.expect("removed", s.field("Deployment.apps", "web", "kind"), "")
	s.expect("kept", s.field("ConfigMap", "kept", "kind"), "ConfigMap")
	if err != nil {
		t.Error(err)
	}
	if _, err := s.cluster.Get(t.Context(), "CustomResourceDefinition.apiextensions.k8s.io", "",
		"widgets.release.example.com"); err != nil {
		t.Error("the definition went with the release:", err)
	}
}

// TestObjects_adopts takes over a release that helm installed. No Pod restarts; what the release does not have any more
// goes, unless it is to be kept.
func TestObjects_adopts(t *testing.T) {
	s := newSpoke(t)
	dir := t.TempDir()
	more := "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: left}\n---\napiVersion: v1\nkind: ConfigMap\n" +
		"metadata: {name: left-and-kept, annotations: {helm.sh/resource-policy: keep}}\n"
	plain := regexp.MustCompile(`(?s)apiVersion: release.example.com.*?---\n`).ReplaceAllString(web, "")
	s.must(os.MkdirAll(filepath.Join(dir, "templates"), 0o755))
	s.must(os.WriteFile(filepath.Join(dir, "Chart.yaml"), []byte("apiVersion: v2\nname: web\nversion: 1.0.0\n"), 0o644))
	s.must(os.WriteFile(filepath.Join(dir, "templates", "all.yaml"),
		[]byte(strings.ReplaceAll(plain, ", namespace: $NS", "")+more), 0o644))
	s.helm("install web "+dir+" --create-namespace --wait", "STATUS: deployed")
	deployment := func() string {
		return s.field("Deployment.apps", "web", "metadata", "generation") + " " +
			s.field("Deployment.apps", "web", "metadata", "uid")
	}
	before := deployment()

	got, err := s.run(plain, "")
	s.expect("adoption", got, "[upgrade] InSync")
	s.must(err)
	s.expect("Deployment", deployment(), before)
	s.expect("left", s.field("ConfigMap", "left", "kind"), "")
	s.expect("left and kept", s.field("ConfigMap", "left-and-kept", "kind"), "ConfigMap")
	s.helm("history web", "superseded", "deployed")
	s.desired.Removed, s.desired.Uninstall.Propagation = true, bundle.OrphanOwned
	got, err = s.run(plain, "")
	s.expect("removal", got, "[uninstall] Absent")
	s.expect("removed", s.field("Deployment.apps", "web", "kind"), "")
	s.must(err)
	sets, err := s.cluster.Resource("ReplicaSet.apps", s.desired.Namespace)
	s.must(err)
	if orphans, err := sets.List(t.Context(), metav1.ListOptions{}); err != nil || len(orphans.Items) != 1 {
		t.Error("the ReplicaSet did not stay:", err)
	}
}

// helm fails unless the real helm prints all of the texts.
func (s *spoke) helm(args string, texts ...string) {
	s.t.Helper()
	helm, err := helmtest.New(s.t.Context(), 3)
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := helm.Run(s.t.Context(), s.cluster.Kubeconfig,
		append(strings.Fields(args), "--namespace", s.desired.Namespace)...)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, text := range texts {
		if !strings.Contains(out, text) {
			s.t.Errorf("helm %s prints:\n%s\nwithout %q", args, out, text)
		}
	}
}

const job = `apiVersion: batch/v1
kind: Job
metadata: {name: job, namespace: $NS}
spec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}
`

// TestObjects_errors installs what cannot be installed. The record says why, and nothing else is done.
func TestObjects_errors(t *testing.T) {
	tests := map[string]struct {
		prepare func(*spoke)
		yaml    string
		want    string
	}{
		"foreign": {func(s *spoke) {
			s.desired.Install.KeepOwners = true
			s.must(s.cluster.Apply(t.Context(), []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config, namespace: "+
				s.desired.Namespace+"}\n")))
		}, web, "config exists and does not belong to release"},
		"unmarked": {func(s *spoke) {
			s.desired.Install.KeepOwners = true
			s.must(s.cluster.Apply(t.Context(), []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config, namespace: "+
				s.desired.Namespace+", annotations: {meta.helm.sh/release-name: web, meta.helm.sh/release-namespace: "+
				s.desired.Namespace+"}}\n")))
		}, web, "config exists and does not belong to release"},
		"job": {func(s *spoke) { s.desired.Install.Timeout = 2 * time.Second }, job, "/job: 0 Pods are active"},
		"not_allowed": {func(s *spoke) {
			s.allow = func(id bundle.ObjectIdentity) error {
				if id.Kind == "Deployment" {
					return fmt.Errorf("no workloads")
				}
				return nil
			}
		}, web, "no workloads"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSpoke(t)
			s.desired.Namespace = "errors-" + strings.ReplaceAll(name, "_", "-")
			s.desired.StorageNamespace = s.desired.Namespace
			s.must(s.cluster.Apply(t.Context(),
				[]byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: "+s.desired.Namespace+"}\n")))
			test.prepare(s)
			s.desired.Install.CRDs = bundle.ReplaceCRDs
			got, err := s.run(test.yaml, widgets)
			s.expect("install", got, "[install] Failed RetriesExceeded")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %s", err, test.want)
			}
			s.helm("history web", "failed")
		})
	}
}

func (s *spoke) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// TestObjects_held upgrades to a release that has lost most of its objects. The upgrade succeeds and the objects stay,
// also at the next run, until an operator confirms exactly this prune.
func TestObjects_held(t *testing.T) {
	s := newSpoke(t)
	s.guard = apply.Guard{Objects: 2, Percent: 50}
	config := func(name string) string {
		return "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: $NS}\n"
	}
	rest := config("stays")
	_, err := s.run(config("first")+config("second")+rest, "")
	s.must(err)
	for i, c := range []struct {
		confirmed bool
		other     bool // another prune was confirmed
		done      string
		first     string // its kind; empty: it was deleted
	}{
		{done: "[upgrade] InSync", first: "ConfigMap"},
		{done: "[] InSync", first: "ConfigMap"},
		{other: true, done: "[] InSync", first: "ConfigMap"},
		{confirmed: true, done: "[] InSync"},
	} {
		switch {
		case c.other:
			s.confirmed = manifest.DigestOf([]byte("another prune"))
		case c.confirmed:
			s.confirmed = s.held.Digest
		}
		got, err := s.run(rest, "")
		s.must(err)
		s.expect(fmt.Sprint("run ", i), got, c.done)
		s.expect("first", s.field("ConfigMap", "first", "kind"), c.first)
		s.expect("second", s.field("ConfigMap", "second", "kind"), c.first)
		s.expect("stays", s.field("ConfigMap", "stays", "kind"), "ConfigMap")
		if held := s.held != nil; held == c.confirmed || held && len(s.held.Objects) != 2 {
			t.Fatalf("run %d holds %+v", i, s.held)
		}
	}
}
