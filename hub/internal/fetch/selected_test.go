package fetch_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/manifest"
)

// Writer is a made-up kind: it pushes to the GitRepository fleet, and selects those with the label write=yes.
func init() {
	api.Register(api.Kind{
		Name: "Writer", Plural: "writers", Group: "test.nave.io", Version: "v1", Namespaced: true, Role: api.SourceRole,
		Check: func(*manifest.Object, field.ErrorList) field.ErrorList { return nil },
		View: func(o *api.Object) (any, error) {
			w, err := api.Decode[writer](o)
			if err != nil {
				return nil, err
			}
			var secrets []api.SecretReference
			if w.Spec.Forge != nil {
				secrets = []api.SecretReference{{Field: "spec.forge.secretRef", Name: "forge", API: w.Spec.Forge}}
			}
			return &api.Source{
				Secrets: secrets, Interval: time.Hour, Identity: "writer" + w.Spec.Text, Upstream: true, Writes: true,
				Offline: w.Spec.Offline,
				Inputs: []api.SourceInput{{Field: "spec.ref", Key: api.Key{
					Kind: api.GitRepositoryKind, Namespace: w.Spec.Namespace, Name: "fleet"}}},
				Selects: &api.Selection{Kind: api.GitRepositoryKind, Delay: w.Spec.Delay.Duration,
					Labels: metav1.LabelSelector{MatchLabels: map[string]string{"write": "yes"}}},
			}, nil
		},
	})
}

type writer struct {
	Spec struct {
		Namespace string          `json:"namespace"`
		Delay     metav1.Duration `json:"delay"`
		Offline   bool            `json:"offline"`
		Text      string          `json:"text"`
		Forge     *api.ForgeAPI   `json:"forge"`
	} `json:"spec"`
}

func writerKey(cluster string) api.Key {
	return api.Key{Cluster: cluster, Kind: "Writer", Namespace: "flux-system", Name: "writer"}
}

// putWriter writes a Writer.
func (h *hub) putWriter(k api.Key, delay string, confined *api.Confinement) {
	h.Helper()
	h.putWriterWith(k, fmt.Sprintf(`"delay":%q`, delay), confined)
}

// putWriterWith writes a Writer with fields in its spec.
func (h *hub) putWriterWith(k api.Key, fields string, confined *api.Confinement) {
	h.Helper()
	text := fmt.Sprintf(`{"kind":"Writer","metadata":{"namespace":%q,"name":%q},"spec":{"namespace":"flux-system",%s}}`,
		k.Namespace, k.Name, fields)
	row := store.Resource{Key: k, Generation: 1, Object: api.StoredObject(k, []byte(text)), Confined: confined}
	h.update(func(tx *store.Tx) error { return store.Resources.Put(tx, k.Path(), row) })
}

// labelled returns a source with an URL of its own, and with the label of a Writer if write is yes.
func labelled(name, write string) []option {
	return []option{from("https://example.com/" + name), func(_ *store.Resource, spec map[string]any) {
		spec["labels"] = map[string]any{"write": write}
	}}
}

// writes returns what the Writers selected in each of their fetches since the last call.
func (h *hub) writes() (all []string) {
	h.remote.mu.Lock()
	defer h.remote.mu.Unlock()
	for _, c := range h.remote.calls {
		if c.selected == nil {
			continue
		}
		var names []string
		for _, s := range c.selected {
			names = append(names, s.Key.Name+"="+s.Revision)
		}
		all = append(all, strings.Join(names, " "))
	}
	h.remote.calls = nil
	return all
}

func (h *hub) wantWrites(when string, want ...string) {
	h.Helper()
	if got := h.writes(); !slices.Equal(got, want) {
		h.Errorf("%s: %q, want %q", when, got, want)
	}
}

// TestUnselected has sources with another label, of which one is somebody else's: a Writer learns of the ones that it
// could select.
func TestUnselected(t *testing.T) {
	play(t, func(h *hub) {
		h.put(key("", "fleet"))
		h.put(key("", "a"), labelled("a", "yes")...)
		h.put(key("", "b"), labelled("b", "no")...)
		h.put(key("c1", "c"), labelled("c", "no")...)
		h.putWriter(writerKey(""), "0s", nil)
		h.pass(time.Second)
		for _, c := range h.remote.calls {
			if c.selected != nil && !slices.Equal(c.others, []api.Key{key("", "b"), key("", "fleet")}) {
				h.Errorf("not selected: %v", c.others)
			}
		}
		if len(h.writes()) == 0 {
			h.Error("nothing was written")
		}
	})
}

func TestSelected(t *testing.T) {
	play(t, func(h *hub) {
		a, b := "https://example.com/a", "https://example.com/b"
		h.remote.set(a, "a1", nil)
		h.remote.set(b, "b1", nil)
		h.remote.set("", "written", nil)
		h.put(key("", "fleet"))
		h.put(key("", "a"), labelled("a", "yes")...)
		h.put(key("", "b"), labelled("b", "no")...)
		h.put(key("c1", "a"), labelled("a", "yes")...)
		h.putWriter(writerKey(""), "0s", nil)
		h.pass(time.Second)
		h.wantWrites("at first", "a=a1")
		h.remote.set(a, "a2", nil)
		h.pass(2 * time.Minute)
		h.wantWrites("after a change", "a=a2")
		h.remote.set(b, "b2", nil)
		h.pass(2 * time.Minute)
		h.wantWrites("after a change of another one")
		h.put(key("", "b"), labelled("b", "yes")...)
		h.pass(time.Second)
		h.wantWrites("with another label", "a=a2 b=b2")
		h.remote.set(url, "two", nil)
		h.pass(2 * time.Minute)
		h.wantWrites("after a change of the source", "a=a2 b=b2")
		h.pass(time.Hour)
		h.wantWrites("after the interval", "a=a2 b=b2")
		h.update(func(tx *store.Tx) error { return store.Resources.Delete(tx, key("", "a").Path()) })
		h.pass(time.Second)
		h.wantWrites("without one that was deleted", "b=b2")
	})
}

// TestSelected_suspended has a suspended source that shares its fetch with one of another cluster. It keeps the
// revision that it had, also when the hub starts again, until it is resumed.
func TestSelected_suspended(t *testing.T) {
	play(t, func(h *hub) {
		a := "https://example.com/a"
		h.remote.set(a, "a1", nil)
		h.remote.set("", "written", nil)
		h.put(key("", "fleet"))
		h.put(key("c1", "a"), labelled("a", "yes")...)
		h.put(key("c2", "a"), labelled("a", "yes")...)
		h.putWriter(writerKey("c1"), "0s", nil)
		h.pass(time.Second)
		h.wantWrites("at first", "a=a1")
		h.put(key("c1", "a"), append(labelled("a", "yes"), suspended)...)
		h.remote.set(a, "a2", nil)
		h.pass(2 * time.Minute)
		if c := h.condition(key("c2", "a")); c.Revision != "a2" {
			t.Errorf("the other cluster has %s", c.Revision)
		}
		h.wantWrites("while it is suspended")
		h.pass(time.Hour)
		h.wantWrites("after the interval", "a=a1")
		h.stop()
		h.start()
		h.wantWrites("after a start", "a=a1")
		h.put(key("c1", "a"), labelled("a", "yes")...)
		h.pass(2 * time.Second)
		h.wantWrites("resumed", "a=a2")
	})
}

// TestSelected_delay has changes that wait for each other.
func TestSelected_delay(t *testing.T) {
	play(t, func(h *hub) {
		a, b := "https://example.com/a", "https://example.com/b"
		h.remote.set("", "written", nil)
		h.put(key("", "fleet"))
		h.put(key("", "a"), append(labelled("a", "yes"), every("1m"))...)
		h.put(key("", "b"), append(labelled("b", "yes"), every("3m"))...)
		h.putWriter(writerKey(""), "5m", nil)
		h.pass(10 * time.Minute)
		h.writes()
		h.remote.set(a, "a2", nil)
		h.remote.set(b, "b2", nil)
		h.pass(4 * time.Minute)
		h.wantWrites("before the delay is over")
		h.pass(3 * time.Minute)
		h.wantWrites("after the delay", "a=a2 b=b2")
		h.remote.set(a, "a3", nil)
		h.pass(2 * time.Minute)
		h.wantWrites("before the delay is over again")
		h.putWriter(writerKey(""), "1s", nil)
		h.pass(2 * time.Second)
		h.wantWrites("with a shorter delay", "a=a3 b=b2")
	})
}

// TestSelected_offline has a source that needs its server's last content only: neither a server that asks to wait nor a
// Secret that is not there keeps it from a change.
func TestSelected_offline(t *testing.T) {
	play(t, func(h *hub) {
		h.remote.set("", "written", nil)
		path := store.CredentialPath("flux-system", "git")
		h.putSecret(path, map[string][]byte{"username": []byte("u"), "password": []byte("p")})
		h.put(key("", "fleet"), every("1h"), secret("git"))
		h.put(key("", "a"), labelled("a", "yes")...)
		h.putWriterWith(writerKey(""), `"offline":true`, nil)
		h.pass(time.Second)
		h.writes()
		h.remote.set(url, "1", busyUntil("example.com:443", time.Hour))
		h.put(key("", "fleet"), every("1h"), secret("git"), requested("now"))
		h.pass(time.Second)
		h.writes()
		h.remote.set("https://example.com/a", "a2", nil)
		h.pass(2 * time.Minute)
		h.wantWrites("while the server is busy", "a=a2")
		h.update(func(tx *store.Tx) error { return store.Secrets.Delete(tx, path) })
		h.remote.set("https://example.com/a", "a3", nil)
		h.pass(2 * time.Minute)
		h.wantWrites("without the Secret", "a=a3")
	})
}

// TestSelected_running has changes while the Writer runs: it runs once more for them, after the delay.
func TestSelected_running(t *testing.T) {
	play(t, func(h *hub) {
		a := "https://example.com/a"
		h.remote.set(a, "a1", nil)
		h.remote.set("", "written", nil)
		h.remote.slowly = map[string]time.Duration{"": 10 * time.Second}
		h.put(key("", "fleet"), every("1h"))
		h.put(key("", "a"), append(labelled("a", "yes"), every("1h"))...)
		h.put(key("", "b"), append(labelled("b", "no"), every("1h"))...)
		h.putWriter(writerKey(""), "5m", nil)
		h.pass(time.Second)
		h.wantWrites("at first", "a=a1")
		h.put(key("", "b"), append(labelled("b", "yes"), every("1h"))...)
		h.pass(4 * time.Minute)
		h.wantWrites("before the delay of another label is over")
		h.pass(time.Minute)
		h.wantWrites("with another label", "a=a1 b=")
		h.remote.set(a, "a2", nil)
		h.put(key("", "a"), append(labelled("a", "yes"), every("1h"), requested("now"))...)
		h.pass(4 * time.Minute)
		h.wantWrites("before the delay of a change is over")
		h.pass(time.Minute)
		h.wantWrites("after a change", "a=a2 b=")
	})
}

// TestWrites has a Writer that pushes: its source is fetched at once.
func TestWrites(t *testing.T) {
	play(t, func(h *hub) {
		h.remote.set("", "written", nil)
		h.put(key("", "fleet"), every("1h"))
		h.put(key("", "a"), append(labelled("a", "yes"), every("1m"))...)
		h.putWriter(writerKey(""), "0s", nil)
		h.pass(time.Second)
		h.remote.set(url, "pushed", nil)
		h.remote.set("", "written again", nil)
		h.remote.set("https://example.com/a", "a2", nil)
		h.pass(2 * time.Minute)
		if c := h.condition(key("", "fleet")); c.Revision != "pushed" {
			t.Errorf("the source is at %s", c.Revision)
		}
	})
}

// TestWrites_changed has a Writer whose spec changes: it knows what it has written before, and runs again.
func TestWrites_changed(t *testing.T) {
	play(t, func(h *hub) {
		h.remote.set("", "written", nil)
		h.put(key("", "fleet"), every("1h"))
		h.put(key("", "a"), append(labelled("a", "yes"), every("1h"))...)
		h.putWriter(writerKey(""), "0s", nil)
		h.pass(time.Second)
		h.wantWrites("at first", "a=")
		h.putWriterWith(writerKey(""), `"text":"other"`, nil)
		h.pass(time.Second)
		last := h.remote.calls[0].last
		if h.wantWrites("after the change", "a="); last == nil || last.Revision != "written" {
			t.Errorf("it knows of %+v", last)
		}
	})
}

// TestWrites_unfinished has a Writer that fails after it has pushed: it is not ready, has what it pushed, and its
// source is fetched at once.
func TestWrites_unfinished(t *testing.T) {
	play(t, func(h *hub) {
		h.remote.set("", "one", nil)
		h.put(key("", "fleet"), every("1h"))
		h.put(key("", "a"), append(labelled("a", "yes"), every("1m"))...)
		h.putWriter(writerKey(""), "0s", nil)
		h.pass(time.Second)
		h.remote.breaks = map[string]error{"": source.ErrDeclined}
		h.remote.set(url, "pushed", nil)
		h.remote.set("", "two", nil)
		h.remote.set("https://example.com/a", "a2", nil)
		h.pass(2 * time.Minute)
		if c := h.condition(writerKey("")); c.Ready != "False" || c.Revision != "two" {
			t.Errorf("the condition is %+v", c)
		}
		if c := h.condition(key("", "fleet")); c.Revision != "pushed" {
			t.Errorf("the source is at %s", c.Revision)
		}
	})
}

// TestWrites_against has two Writers that push different values to one source. Neither answers the commits of the other
// one before its own interval is over, but each carries out changes of what it selects at once. So it is if the server
// moves the branch to what was pushed to be reviewed.
func TestWrites_against(t *testing.T) {
	for name, c := range map[string]struct{ pushedTo, read string }{
		"unknown": {}, "branch": {"main@", "main@"}, "name": {"main@", "refs/heads/main@"}, "review": {"refs/for/main@", "main@"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(h *hub) {
				h.remote.slow, h.remote.pushes, h.remote.pushedTo, h.remote.read = time.Second, true, c.pushedTo, c.read
				h.put(key("", "fleet"))
				h.put(key("c1", "a"), labelled("a", "yes")...)
				h.putWriter(writerKey("c1"), "0s", nil)
				h.putWriter(writerKey("c2"), "0s", nil)
				h.pass(10 * time.Minute)
				first := h.remote.pushed()
				if first < 2 || first > 6 {
					t.Errorf("%d commits at first", first)
				}
				h.pass(10 * time.Hour)
				if n := h.remote.pushed() - first; n < 18 || n > 24 {
					t.Errorf("%d commits in ten intervals", n)
				}
				h.writes()
				h.remote.set("https://example.com/a", "a2", nil)
				h.pass(2 * time.Minute)
				if got := h.writes(); !slices.Contains(got, "a=a2") {
					t.Errorf("after a change of what one selects: %q", got)
				}
			})
		})
	}
}

// TestWrites_apart has Writers of many clusters that push to one source: one runs at a time, and sources that have
// nothing to do with them do not wait.
func TestWrites_apart(t *testing.T) {
	play(t, func(h *hub) {
		h.remote.set("", "written", nil)
		h.remote.slowly = map[string]time.Duration{"": time.Minute}
		h.put(key("", "other"), from("https://example.com/other"), every("1h"))
		for i := range 20 {
			cluster := fmt.Sprint("c", i)
			h.put(key(cluster, "fleet"), every("1h"))
			h.putWriter(writerKey(cluster), "0s", nil)
		}
		h.pass(10 * time.Second)
		h.put(key("", "other"), from("https://example.com/other"), every("1h"), requested("now"))
		h.pass(time.Second)
		if c := h.condition(key("", "other")); c.HandledRequest != "now" {
			t.Errorf("another source waits: %+v", c)
		}
		h.pass(20 * time.Minute)
		if h.remote.most > 2 {
			t.Errorf("%d fetches at once", h.remote.most)
		}
		for i := range 20 {
			if c := h.condition(writerKey(fmt.Sprint("c", i))); c.Ready != "True" {
				t.Errorf("c%d: %+v", i, c)
			}
		}
	})
}

// TestWrites_oneURL has Writers that push to one repository by way of different sources: one runs at a time, and what
// reads the repository does not wait for all of them.
func TestWrites_oneURL(t *testing.T) {
	play(t, func(h *hub) {
		h.remote.set("", "written", nil)
		h.remote.slowly = map[string]time.Duration{"": time.Minute}
		fleet := func(cluster string, options ...option) {
			h.put(key(cluster, "fleet"), append(options, every("1h"), func(_ *store.Resource, spec map[string]any) {
				spec["ignore"] = cluster
			})...)
		}
		for i := range 10 {
			cluster := fmt.Sprint("c", i)
			fleet(cluster)
			h.pass(time.Millisecond)
			h.putWriter(writerKey(cluster), "0s", nil)
		}
		for i := range 8 {
			fleet(fmt.Sprint("c", i), requested("now"))
		}
		h.pass(2 * time.Minute)
		for i := range 8 {
			if c := h.condition(key(fmt.Sprint("c", i), "fleet")); c.HandledRequest != "now" {
				t.Errorf("source %d waits: %+v", i, c)
			}
		}
		h.pass(20 * time.Minute)
		if h.remote.mostWrites > 1 {
			t.Errorf("%d Writers at once", h.remote.mostWrites)
		}
		for i := range 10 {
			if c := h.condition(writerKey(fmt.Sprint("c", i))); c.Ready != "True" {
				t.Errorf("c%d: %+v", i, c)
			}
		}
	})
}

// TestWrites_confinedLater has a Writer and what it selects, which become those of a tenant together.
func TestWrites_confinedLater(t *testing.T) {
	play(t, func(h *hub) {
		a := "https://example.com/a"
		h.remote.set(a, "a1", nil)
		h.remote.set("", "written", nil)
		h.put(key("c1", "fleet"))
		h.put(key("c1", "a"), labelled("a", "yes")...)
		h.putWriter(writerKey("c1"), "0s", nil)
		h.pass(time.Second)
		h.wantWrites("of an operator", "a=a1")
		tenant := &api.Confinement{By: key("c1", "x"), Namespace: "flux-system", Account: "team"}
		h.put(key("c1", "a"), append(labelled("a", "yes"),
			func(row *store.Resource, _ map[string]any) { row.Confined = tenant })...)
		h.pass(time.Second)
		h.writes()
		h.putWriter(writerKey("c1"), "0s", tenant)
		h.pass(time.Second)
		h.wantWrites("of a tenant", "a=a1")
		h.remote.set(a, "a2", nil)
		h.pass(2 * time.Minute)
		h.wantWrites("after a change", "a=a2")
	})
}

// TestWrites_confined has tenants: they push with the credentials of sources of their own only.
func TestWrites_confined(t *testing.T) {
	tenant := &api.Confinement{By: key("c1", "x"), Namespace: "team", Account: "team"}
	play(t, func(h *hub) {
		h.remote.set("", "written", nil)
		h.put(key("", "fleet"))
		h.put(key("c1", "fleet"))
		other := writerKey("c1")
		other.Namespace = "team"
		h.putWriter(other, "0s", tenant)
		h.pass(time.Second)
		if c := h.condition(other); c.Ready != "False" || !strings.Contains(c.Message, `"flux-system" is not allowed`) {
			t.Errorf("condition %+v", c)
		}
		h.putWriter(writerKey("c2"), "0s", &api.Confinement{By: key("c2", "x"), Namespace: "flux-system", Account: "team"})
		h.pass(time.Second)
		c := h.condition(writerKey("c2"))
		if c.Ready != "False" || !strings.Contains(c.Message, "only operators' objects push") {
			t.Errorf("condition %+v", c)
		}
		h.putWriter(writerKey("c1"), "0s", &api.Confinement{By: key("c1", "x"), Namespace: "flux-system", Account: "team"})
		h.pass(time.Second)
		if c := h.condition(writerKey("c1")); c.Ready != "True" {
			t.Errorf("condition %+v", c)
		}
	})
}
