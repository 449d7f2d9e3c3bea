package watch

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	sharedhealth "github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/health"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// cluster is an API server with ConfigMaps that a test controls: it forgets its history, ends watches, and loses
// objects while there is no watch.
type cluster struct {
	mu      sync.Mutex
	objects map[string]string // name → metadata as JSON
	watches chan chan string  // each opened watch
	lists   int
	gone    bool // answer the next watch with 410
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, single := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/n/configmaps/")
	switch {
	case single:
		c.get(w, name)
	case r.URL.Query().Get("watch") == "":
		c.list(w)
	default:
		c.watch(w, r)
	}
}

func (c *cluster) get(w http.ResponseWriter, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o, ok := c.objects[name]; ok {
		fmt.Fprint(w, o)
		return
	}
	w.WriteHeader(http.StatusNotFound)
	fmt.Fprintf(w, `{"kind":"Status","code":404,"reason":"NotFound","message":"not found","details":{"name":%q}}`, name)
}

func (c *cluster) list(w http.ResponseWriter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lists++
	var items []string
	for _, o := range c.objects {
		items = append(items, o)
	}
	fmt.Fprintf(w, `{"metadata":{"resourceVersion":"100"},"items":[%s]}`, strings.Join(items, ","))
}

func (c *cluster) watch(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	gone := c.gone
	c.gone = false
	c.mu.Unlock()
	if gone {
		w.WriteHeader(http.StatusGone)
		fmt.Fprint(w, `{"kind":"Status","code":410,"reason":"Expired","message":"too old resource version"}`)
		return
	}
	events := make(chan string)
	w.(http.Flusher).Flush()
	select {
	case c.watches <- events:
	case <-r.Context().Done():
		return
	}
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return
			}
			fmt.Fprintln(w, e)
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func (c *cluster) set(name, o string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o == "" {
		delete(c.objects, name)
		return
	}
	c.objects[name] = o
}

const fields = `{"f:data":{}}`

func live(name, rv, fields string) string {
	return fmt.Sprintf(`{"metadata":{"name":%q,"namespace":"n","uid":"u","resourceVersion":%q,"managedFields":[
		{"manager":"nave-spoke","operation":"Apply","fieldsType":"FieldsV1","fieldsV1":%s},{"manager":"rival","operation":"Update","fieldsType":"FieldsV1","fieldsV1":{}}]}}`, name, rv, fields)
}

var app = bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}

func id(name string) manifest.ID { return manifest.ID{Kind: "ConfigMap", Namespace: "n", Name: name} }

// start runs a watcher over a cluster in which a, b and c were applied at resourceVersion 10.
func start(t *testing.T) (*cluster, *Watcher, *inventory.Index) {
	t.Helper()
	c := &cluster{objects: map[string]string{}, watches: make(chan chan string)}
	x := inventory.NewIndex()
	v := inventory.New(app)
	for _, name := range []string{"a", "b", "c"} {
		c.set(name, live(name, "10", fields))
		v.Items[id(name)] = inventory.Item{Version: "v1", Resource: "configmaps", UID: "u", ResourceVersion: "10",
			Managed: managed(t)}
	}
	x.Replace(v)
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	client := connect(t, server.URL)
	client.Warm(v.Mappings()...)
	return c, New(Config{Client: client, Index: x}), x
}

func run(t *testing.T, w *Watcher) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

func connect(t *testing.T, url string) *kube.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	config, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"clusters": []any{map[string]any{"name": "c", "cluster": map[string]any{"server": url}}},
		"contexts": []any{map[string]any{"name": "c", "context": map[string]any{"cluster": "c"}}},
	})
	if err == nil {
		err = os.WriteFile(path, config, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	client, err := kube.Connect(path)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// managed is the hash that the client computes of fields.
func managed(t *testing.T) manifest.Digest {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
		_ *http.Request) {
		fmt.Fprint(w, live("a", "10", fields))
	}))
	defer server.Close()
	c := connect(t, server.URL)
	c.Warm(kube.Mapping{Version: "v1", Kind: "ConfigMap", Resource: "configmaps", Namespaced: true})
	l, err := c.Look(t.Context(), bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "n",
		Name: "a"}, false)
	if err != nil {
		t.Fatal(err)
	}
	return l.Managed
}

// await returns the first observation of an object that the condition holds for.
func await(t *testing.T, w *Watcher, name string, holds func(Observation) bool) Observation {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case <-w.C():
			for _, o := range w.Drain() {
				if o.Object.Name == name && holds(o) {
					return o
				}
			}
		case <-timeout:
			t.Fatalf("no such observation of %s", name)
		}
	}
}

func drifts(kind inventory.DriftKind) func(Observation) bool {
	return func(o Observation) bool { return o.Drift.Kind == kind }
}

func opened(t *testing.T, c *cluster) chan string {
	t.Helper()
	select {
	case events := <-c.watches:
		return events
	case <-time.After(20 * time.Second):
		t.Fatal("no watch was opened")
		return nil
	}
}

func TestWatch_drift(t *testing.T) {
	c, w, x := start(t)
	run(t, w)
	events := opened(t, c)
	events <- `{"type":"MODIFIED","object":` + live("a", "11", fields) + `}`
	events <- `{"type":"MODIFIED","object":` + live("stranger", "12", `{}`) + `}`
	events <- `{"type":"MODIFIED","object":` + live("b", "13", `{}`) + `}`
	o := await(t, w, "b", func(o Observation) bool { return o.Drift.Any() })
	if o.Application != app || o.Drift.Kind != inventory.Changed || len(o.Drift.By) != 1 || o.Drift.By[0] != "rival" ||
		o.Held() {
		t.Errorf("%+v", o)
	}
	if x.Drifted(id("a")).Any() || !x.Drifted(id("b")).Any() {
		t.Error("the index has it wrong")
	}
}

func TestWatch_deleted(t *testing.T) {
	c, w, x := start(t)
	run(t, w)
	events := opened(t, c)
	c.set("a", live("a", "11", `{}`)) // its label was taken off
	events <- `{"type":"DELETED","object":` + live("a", "11", fields) + `}`
	await(t, w, "a", drifts(inventory.Changed))
	c.set("b", "")
	events <- `{"type":"DELETED","object":` + live("b", "12", fields) + `}`
	if o := await(t, w, "b", drifts(inventory.Missing)); o.Health.Status != sharedhealth.NotFound {
		t.Errorf("%+v", o)
	}
	if x.Health(id("b")).Status != sharedhealth.NotFound {
		t.Error(x.Health(id("b")))
	}
}

func TestWatch_expired(t *testing.T) {
	c, w, _ := start(t)
	run(t, w)
	events := opened(t, c)
	c.mu.Lock()
	c.gone = true
	c.mu.Unlock()
	c.set("a", "")
	c.set("b", live("b", "50", `{}`))
	close(events) // the watch ends, and the history is forgotten
	seen := map[string]inventory.DriftKind{}
	timeout := time.After(20 * time.Second)
	for len(seen) < 2 {
		select {
		case <-w.C():
			for _, o := range w.Drain() {
				if o.Drift.Any() {
					seen[o.Object.Name] = o.Drift.Kind
				}
			}
		case <-timeout:
			t.Fatal(seen)
		}
	}
	if seen["a"] != inventory.Missing || seen["b"] != inventory.Changed {
		t.Error(seen)
	}
	opened(t, c)
	if c.lists != 2 {
		t.Errorf("%d lists", c.lists)
	}
}

func TestWatch_resumes(t *testing.T) {
	c, w, _ := start(t)
	run(t, w)
	close(opened(t, c))
	events := opened(t, c)
	events <- `{"type":"MODIFIED","object":` + live("a", "11", `{}`) + `}`
	await(t, w, "a", drifts(inventory.Changed))
	if c.lists != 1 {
		t.Errorf("%d lists", c.lists)
	}
}

func TestWatch_kinds(t *testing.T) {
	c, w, x := start(t)
	run(t, w)
	opened(t, c)
	x.Remove(app)
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		w.mu.Lock()
		n := len(w.followers)
		w.mu.Unlock()
		if n == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d followers", n)
		}
	}
}

func TestWatch_fought(t *testing.T) {
	_, w, x := start(t)
	now := at(0)
	w.Now = func() time.Time { return now }
	drift := func() Observation {
		x.Begin(app, id("a"))
		x.Commit(app, id("a"), inventory.Item{Version: "v1", Resource: "configmaps", UID: "u", ResourceVersion: "10"})
		w.see(kube.Live{ID: bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "n", Name: "a"}, UID: "u",
			ResourceVersion: "11", Managed: manifest.DigestOf([]byte("x")), Others: []string{"rival"}})
		return w.Drain()[0]
	}
	for range burst {
		if o := drift(); o.Held() {
			t.Fatalf("%+v", o)
		}
	}
	o := drift()
	if !o.Held() || o.Drift.By[0] != "rival" {
		t.Fatalf("%+v", o)
	}
	if left := w.release(); left != firstPause || len(w.Drain()) != 0 {
		t.Errorf("released %s early", left)
	}
	now = o.RetryAt
	w.release()
	if got := w.Drain(); len(got) != 1 || got[0].Held() || !got[0].Drift.Any() {
		t.Errorf("%+v", got)
	}
	now = now.Add(time.Second)
	if o = drift(); o.RetryAt.Sub(now) != 2*firstPause {
		t.Errorf("the second pause is %s", o.RetryAt.Sub(now))
	}
}

func TestDrain_drift(t *testing.T) {
	w := New(Config{Index: inventory.NewIndex()})
	o := Observation{Object: bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "n", Name: "a"},
		Drift: inventory.Drift{Kind: inventory.Changed}}
	w.add(o)
	w.add(Observation{Object: o.Object, Health: health.Report{Status: sharedhealth.Current}})
	if got := w.Drain(); len(got) != 1 || !got[0].Drift.Any() || got[0].Health.Status != sharedhealth.Current {
		t.Errorf("%+v", got)
	}
	if got := w.Drain(); len(got) != 0 {
		t.Errorf("taken twice: %+v", got)
	}
}
