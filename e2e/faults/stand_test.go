package faults_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/navefleet/nave/e2e/faults/proxy"
	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/e2e/harness"
	"github.com/navefleet/nave/e2e/kubetest"
)

const (
	patience = 90 * time.Second       // for what must come
	often    = 50 * time.Millisecond  // between looks at the cluster
	seldom   = 500 * time.Millisecond // between runs of the CLI
)

// rootFleet gives each cluster the folder of its name.
const rootFleet = `
apiVersion: fleet.nave.io/v1alpha1
kind: Fleet
metadata: {name: all}
spec:
  clusterSelector: {matchLabels: {env: test}}
  template:
    metadata: {name: root, namespace: flux-system}
    spec:
      {interval: 10m, retryInterval: 2s, prune: true, path: "./clusters/${cluster_name}",
       sourceRef: {kind: GitRepository, name: hub}}
`

// stand is a hub with its git server, for one fault or for many.
type stand struct {
	*harness.Fleet
	git sync.Mutex // one commit at a time
}

// newStand starts a hub in a folder of its own.
func newStand(t *testing.T, l *harness.Lab, dir string, hubFlags ...string) *stand {
	t.Helper()
	f, err := l.NewFleetIn(t.Context(), dir, hubFlags...)
	must(t, err)
	s := &stand{Fleet: f}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the hub said last:\n%s", f.Hub.Tail())
		}
		must(t, f.Close())
	})
	must(t, f.Bootstrap(t.Context(), map[string]string{"hub/fleet.yaml": rootFleet}))
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually checks every so often until it is well, or fails the test.
func eventually(t *testing.T, every time.Duration, what string, check func(ctx context.Context) error) {
	t.Helper()
	eventuallyIn(t, patience, every, what, check)
}

func eventuallyIn(t *testing.T, limit, every time.Duration, what string, check func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	var err error
	for {
		last := check(ctx)
		if last == nil {
			return
		}
		if ctx.Err() == nil || err == nil {
			err = last // not that of the call that the deadline cut off
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("in vain: %s: %v", what, err)
		}
	}
}

// spoke is a spoke on a stand, with a proxy between it and the hub. Its cluster is a name at the hub and two namespaces
// in the Kubernetes that all share.
type spoke struct {
	*harness.Spoke
	t     *testing.T
	stand *stand
	name  string
	proxy *proxy.Proxy // between spoke and hub
	kube  *kube        // between spoke and API server; nil: nothing
}

// join puts a spoke on the stand, and returns when it runs its first commit. prepare, if there is one, may change the
// spoke before it starts.
func (s *stand) join(t *testing.T, name string, prepare func(*spoke)) *spoke {
	t.Helper()
	p := &spoke{t: t, stand: s, name: name}
	p.prepare()
	p.Args = append(p.Args, "--namespace="+p.own())
	if prepare != nil {
		prepare(p)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the spoke of %s said last:\n%s", name, p.Tail())
		}
		must(t, p.Stop())
	})
	must(t, p.Start(t.Context()))
	p.arrives("first")
	p.inSync()
	return p
}

// prepare makes the first commit, adds the cluster to the hub, and makes a spoke of its manifest, which reaches the hub
// through a proxy.
func (p *spoke) prepare() {
	p.t.Helper()
	ctx := p.t.Context()
	cluster := *lab.Clusters[0]
	cluster.Name = p.name
	p.push("first", nil)
	manifest, err := p.stand.Nave(ctx, "cluster", "add", p.name, "--label=env=test")
	must(p.t, err)
	settings, err := harness.JoinSettings(manifest)
	must(p.t, err)
	p.proxy, err = proxy.Listen(settings["hub"])
	must(p.t, err)
	p.t.Cleanup(func() { must(p.t, p.proxy.Close()) })
	settings["hub"] = p.proxy.Addr()
	must(p.t, applyManifest(ctx, &cluster, manifest, p.namespace(), p.own()))
	p.Spoke, err = p.stand.Lab.NewSpoke(ctx, &cluster, filepath.Join(p.stand.Dir, "spoke-"+p.name), settings)
	must(p.t, err)
}

var manifests sync.Mutex // all join manifests have the same objects

// applyManifest applies what a join manifest has for every spoke, and makes namespaces.
func applyManifest(ctx context.Context, c *kubetest.Cluster, manifest string, namespaces ...string) error {
	manifests.Lock()
	defer manifests.Unlock()
	for _, name := range namespaces {
		manifest += "\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: " + name + "}\n"
	}
	return c.Apply(ctx, []byte(manifest))
}

// namespace is where what the spoke applies is.
func (p *spoke) namespace() string { return "faults-" + p.name }

// own is the namespace where the spoke keeps its identity, which no bundle may touch.
func (p *spoke) own() string { return "spoke-" + p.name }

// configMap is the object that tells which commit arrived.
func (p *spoke) configMap(name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: %s}\ndata: {value: %q}\n", name,
		p.namespace(), value)
}

// push commits a value, and other files of the cluster's folder; an empty file is removed. The hub fetches it.
func (p *spoke) push(value string, files map[string]string) {
	p.t.Helper()
	p.commit(value, files)
	must(p.t, p.stand.Sync(p.t.Context()))
}

// commit is push without the hub's knowing.
func (p *spoke) commit(value string, files map[string]string) {
	p.t.Helper()
	p.stand.git.Lock()
	defer p.stand.git.Unlock()
	folder := "clusters/" + p.name + "/"
	change := map[string]string{
		folder + "app.yaml":       p.configMap("app", value),
		folder + "bystander.yaml": p.configMap("bystander", "the same in every commit"),
	}
	var remove []string
	for name, text := range files {
		if text == "" {
			remove = append(remove, folder+name)
		} else {
			change[folder+name] = text
		}
	}
	_, err := p.stand.Repo.Apply(gittest.Change{Files: change, Remove: remove, Message: p.name + ": " + value})
	must(p.t, err)
}

// arrives waits until the cluster has a value.
func (p *spoke) arrives(value string) {
	p.t.Helper()
	eventually(p.t, often, "the cluster has "+value, func(ctx context.Context) error { return p.has(ctx, "app", value) })
}

// has returns nil if a ConfigMap has a value.
func (p *spoke) has(ctx context.Context, name, value string) error {
	o, err := p.Cluster.Get(ctx, "ConfigMap", p.namespace(), name)
	if err != nil {
		return err
	}
	data, _ := o.Object["data"].(map[string]any)
	if data["value"] != value {
		return fmt.Errorf("%s has %.40v", name, data["value"])
	}
	return nil
}

// configMaps lists the ConfigMaps of the spoke's namespace.
func (p *spoke) configMaps() (names []string) {
	p.t.Helper()
	r, err := p.Cluster.Resource("ConfigMap", p.namespace())
	must(p.t, err)
	list, err := r.List(p.t.Context(), metav1.ListOptions{})
	must(p.t, err)
	for _, o := range list.Items {
		names = append(names, o.GetName())
	}
	return names
}

// version is what changes when somebody writes to a ConfigMap, or makes it anew.
func (p *spoke) version(name string) string {
	p.t.Helper()
	o, err := p.Cluster.Get(p.t.Context(), "ConfigMap", p.namespace(), name)
	must(p.t, err)
	return fmt.Sprintf("%s of %s", o.GetResourceVersion(), o.GetUID())
}

// inSync waits until the hub says that the cluster is connected, and ready at its newest bundle.
func (p *spoke) inSync() {
	p.t.Helper()
	eventually(p.t, seldom, "the cluster is in sync", func(ctx context.Context) error { return p.ready(ctx) })
}

func (p *spoke) ready(ctx context.Context) error {
	text, err := p.stand.Nave(ctx, "get", "clusters", p.name, "-o", "json")
	if err != nil {
		return err
	}
	var cluster struct {
		Status struct {
			Conditions []struct{ Type, Status, Reason, Message string }
		}
	}
	if err := json.Unmarshal([]byte(text), &cluster); err != nil {
		return err
	}
	want := map[string]bool{"Ready": true, "Connected": true}
	for _, c := range cluster.Status.Conditions {
		if want[c.Type] && c.Status != "True" {
			return fmt.Errorf("%s is %s: %s: %s", c.Type, c.Status, c.Reason, c.Message)
		}
		delete(want, c.Type)
	}
	if len(want) > 0 {
		return fmt.Errorf("no word about %v in %s", want, text)
	}
	return nil
}

// says waits until the spoke's log has a text.
func (p *spoke) says(text string) {
	p.t.Helper()
	eventually(p.t, often, "the spoke says "+text, func(context.Context) error {
		b, err := os.ReadFile(p.Log)
		if err == nil && !strings.Contains(string(b), text) {
			err = fmt.Errorf("its log ends with %s", p.Tail())
		}
		return err
	})
}
