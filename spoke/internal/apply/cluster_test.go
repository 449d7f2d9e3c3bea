package apply_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/kubetest"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/trust"
	"github.com/navefleet/nave/spoke/internal/watch"
)

// The tests of this package share one real cluster, in which the spoke has the rights of its manifest and no more: it
// may neither update, nor act as admin.
var shared struct {
	once    sync.Once
	cluster *kubetest.Cluster
	spoke   string // kubeconfig of the spoke's account
	dir     string
	err     error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.cluster != nil {
		if err := shared.cluster.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		_ = os.RemoveAll(shared.dir)
	}
	os.Exit(code)
}

const account = `
apiVersion: v1
kind: Namespace
metadata: {name: nave-system}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: nave-spoke, namespace: nave-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: nave-spoke}
rules:
- {apiGroups: ["*"], resources: ["*"], verbs: [get, list, watch, create, patch, delete]}
- {apiGroups: [""], resources: [serviceaccounts], verbs: [impersonate]}
- {apiGroups: [rbac.authorization.k8s.io], resources: [roles, clusterroles], verbs: [bind, escalate]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: nave-spoke}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: nave-spoke}
subjects: [{kind: ServiceAccount, name: nave-spoke, namespace: nave-system}]
`

func startCluster() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute) // the first build of the binary included
	defer cancel()
	if shared.cluster, shared.err = kubetest.Start(ctx, kubetest.Options{Name: "apply"}); shared.err != nil {
		return
	}
	if shared.err = shared.cluster.Apply(ctx, []byte(account)); shared.err != nil {
		return
	}
	if shared.dir, shared.err = os.MkdirTemp("", "nave-apply-"); shared.err != nil {
		return
	}
	shared.spoke = filepath.Join(shared.dir, "spoke.kubeconfig")
	shared.err = shared.cluster.ServiceAccountKubeconfig(ctx, "nave-system", "nave-spoke", shared.spoke)
}

// world is one test's spoke in the shared cluster, with a namespace of its own.
type world struct {
	t         *testing.T
	admin     *kubetest.Cluster
	namespace string
	app       bundle.ApplicationName
	client    *kube.Client
	index     *inventory.Index
	applier   *apply.Applier

	mu        sync.Mutex // guards the following while a watcher repairs
	inventory *inventory.Inventory
	saved     [][]byte
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real cluster")
	}
	shared.once.Do(startCluster)
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	w := &world{t: t, admin: shared.cluster, namespace: namespaceFor(t)}
	w.app = bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: w.namespace}
	w.restart(nil)
	w.must(w.admin.Apply(t.Context(), []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: "+w.namespace+"}")))
	t.Cleanup(func() { _ = w.admin.Delete(context.Background(), "Namespace", "", w.namespace) })
	return w
}

func namespaceFor(t *testing.T) string {
	var b strings.Builder
	for _, r := range strings.TrimPrefix(t.Name(), "Test") {
		if r >= 'A' && r <= 'Z' && b.Len() > 0 {
			b.WriteByte('-')
		}
		if r != '_' && r != '/' {
			b.WriteRune(r)
		}
	}
	name := strings.ToLower(b.String())
	return strings.Trim(name[max(0, len(name)-50):], "-")
}

// restart makes the spoke anew from the state on its disk.
func (w *world) restart(disk []byte) {
	w.t.Helper()
	client, err := kube.Connect(shared.spoke)
	w.must(err)
	w.client, w.index, w.inventory = client, inventory.NewIndex(), inventory.New(w.app)
	if disk != nil {
		w.inventory, err = inventory.Decode(disk)
		w.must(err)
		client.Warm(w.inventory.Mappings()...)
		w.index.Replace(w.inventory)
	}
	w.applier = apply.New(apply.Config{Client: client, Index: w.index, Self: trust.Self{Namespace: "nave-system"}})
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// desired reads YAML documents as the hub would send them: in the order of apply. $NS is the test's namespace.
func (w *world) desired(yaml string) []apply.Object {
	w.t.Helper()
	objects, err := manifest.Parse([]byte(strings.ReplaceAll(yaml, "$NS", w.namespace)))
	w.must(err)
	manifest.ApplyOrder(objects)
	var out []apply.Object
	for _, o := range objects {
		data, err := manifest.Canonical(o)
		w.must(err)
		out = append(out, apply.Object{
			ObjectReference: bundle.ObjectReference{ObjectIdentity: kube.Identify(o), Digest: manifest.DigestOf(data)},
			Load:            func(context.Context) (apply.Loaded, error) { return apply.Loaded{Object: o.DeepCopy()}, nil },
		})
	}
	return out
}

func (w *world) target() apply.Target {
	return apply.Target{Application: w.app, Previous: w.inventory, Save: w.save}
}

// set is a set that prunes.
func (w *world) set(yaml string) apply.Set {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	return apply.Set{Target: w.target(), Objects: w.desired(yaml), Prune: true}
}

func (w *world) save(v *inventory.Inventory) error {
	data, err := v.Encode()
	w.saved = append(w.saved, data)
	return err
}

func (w *world) disk() []byte { return w.saved[len(w.saved)-1] }

// try applies and keeps the inventory; refused objects are in the changes.
func (w *world) try(s apply.Set) *apply.ChangeSet {
	w.t.Helper()
	changes, err := w.bring(w.t.Context(), s)
	w.must(err)
	return changes
}

// bring applies one set at a time, with the inventory of the one before.
func (w *world) bring(ctx context.Context, s apply.Set) (*apply.ChangeSet, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.Previous = w.inventory
	changes, err := w.applier.Apply(ctx, s)
	w.inventory = changes.Inventory
	return changes, err
}

// apply applies and expects no refusal.
func (w *world) apply(yaml string) *apply.ChangeSet {
	w.t.Helper()
	changes := w.try(w.set(yaml))
	if err := changes.Err(); err != nil {
		w.t.Fatal(err)
	}
	return changes
}

// watch runs a watcher and repairs drift, as the agent does. It returns the watcher's repairs.
func (w *world) watch(yaml func() string) (repaired func() int) {
	w.t.Helper()
	watcher, before := watch.New(watch.Config{Client: w.client, Index: w.index}), w.client.Requests()
	ctx, cancel := context.WithCancel(w.t.Context())
	var mu sync.Mutex
	var repairs int
	var running sync.WaitGroup
	running.Go(func() { watcher.Run(ctx) })
	running.Go(func() {
		for {
			select {
			case <-watcher.C():
			case <-ctx.Done():
				return
			}
			for _, o := range watcher.Drain() {
				if !o.Drift.Any() || o.Held() || yaml == nil {
					continue
				}
				changes, err := w.bring(ctx, w.set(yaml()))
				if err != nil {
					return
				}
				mu.Lock()
				repairs += changes.Count(apply.Created, apply.Configured)
				mu.Unlock()
			}
		}
	})
	w.t.Cleanup(func() { cancel(); running.Wait() })
	w.until("every kind is listed and watched", func(context.Context) error {
		if n := w.client.Requests() - before; n < 2*uint64(len(w.index.Kinds())) {
			return fmt.Errorf("%d requests", n)
		}
		return nil
	})
	return func() int { mu.Lock(); defer mu.Unlock(); return repairs }
}

func (w *world) until(what string, check func(context.Context) error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 60*time.Second)
	defer cancel()
	w.must(kubetest.Until(ctx, what, check))
}

// data returns one value of a live ConfigMap, or the error as text.
func (w *world) data(name, key string) string {
	o, err := w.admin.Get(w.t.Context(), "ConfigMap", w.namespace, name)
	if err != nil {
		return "error: " + err.Error()
	}
	data, _ := o.Object["data"].(map[string]any)
	value, ok := data[key].(string)
	if !ok {
		return "none"
	}
	return value
}

func (w *world) wantData(name, key, want string) {
	w.t.Helper()
	w.until("ConfigMap "+name+" "+key+"="+want, func(context.Context) error {
		if got := w.data(name, key); got != want {
			return fmt.Errorf("%s", got)
		}
		return nil
	})
}

func configMap(name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: $NS}\ndata: {k: %q}\n---\n",
		name, value)
}
