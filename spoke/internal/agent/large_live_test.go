package agent

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/generate"
	"github.com/navefleet/nave/spoke/internal/inventory"
)

// grown is an API server whose objects have one field that has grown, whatever is applied. It takes its time to apply.
type grown struct {
	value string
	takes time.Duration
}

func (g grown) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	name := path.Base(r.URL.Path)
	if r.Method == http.MethodPatch {
		_, _ = io.Copy(io.Discard, r.Body)
		<-time.After(g.takes)
	} else if !strings.HasPrefix(name, "x-") {
		_, _ = io.WriteString(w, `{"kind":"APIResourceList","resources":[{"name":"xs","kind":"X","namespaced":true,"verbs":["get"]}]}`)
		return
	}
	_, _ = fmt.Fprintf(w, `{"apiVersion":"example.com/v1","kind":"X","metadata":{"name":%q,"namespace":"y","uid":"u",
		"resourceVersion":"1"},"spec":{"grown":`, name)
	_, _ = io.WriteString(w, g.value)
	_, _ = io.WriteString(w, "}}")
}

// applyGrown applies small objects of several applications, whose live objects are large, with the memory of the
// manifests. ignored is the path of a field that is left as it is in the cluster.
func applyGrown(t *testing.T, g grown, apps, objects int, ignored string) ([]*apply.ChangeSet, *Agent) {
	t.Helper()
	server := httptest.NewServer(g)
	defer server.Close()
	b, a := blobs{}, &Agent{budget: newBudget(deployedMemory(t))}
	a.Index = inventory.NewIndex()
	a.Applier = apply.New(apply.Config{Client: connect(t, server.URL), Index: a.Index})
	changes := make([]*apply.ChangeSet, apps)
	var running sync.WaitGroup
	for i := range apps {
		app := application(fmt.Sprint("app-", i))
		if ignored != "" {
			app.Ignore = []bundle.IgnoreRule{{Paths: []string{ignored}}}
		}
		for j := range objects {
			app.Objects = append(app.Objects, b.object(t, fmt.Appendf(nil, `{"apiVersion":"example.com/v1","kind":"X",
				"metadata":{"name":"x-%d-%d","namespace":"y"},"spec":{"grown":{}}}`, i, j)))
		}
		l := newTestLoader(b, a.budget, app)
		running.Go(func() {
			defer l.close()
			set := apply.Set{Target: apply.Target{Application: app.Name}, Ignore: app.Ignore}
			var err error
			if set.Objects, err = l.objects(t.Context(), false); err == nil {
				changes[i], err = a.Applier.Apply(t.Context(), set)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	return changes, a
}

// TestApply_large_live applies many small objects of eight applications at the same time, whose live objects have a
// megabyte each. They take no more than their share of the memory and some answers, and no two wait for each other.
func TestApply_large_live(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures memory")
	}
	item := `{"n":0,"text":"` + strings.Repeat("x", 110) + `"},`
	g := grown{"[" + strings.TrimSuffix(strings.Repeat(item, 8000), ",") + "]", 500 * time.Millisecond}
	for name, ignored := range map[string]string{"answers": "", "ignored_fields": "/spec/grown"} {
		t.Run(name, func(t *testing.T) {
			const limit = 56 << 20 // 23 MiB for live objects, and some answers that are being read
			used := leastPeak(t, limit, func() {
				all, a := applyGrown(t, g, 8, 5, ignored)
				for _, changes := range all {
					if err := changes.Err(); err != nil || changes.Count(apply.Created)+changes.Count(apply.Configured) != 5 {
						t.Errorf("%v, error %v", changes, err)
					}
				}
				for _, p := range []pool{a.budget.objects, a.budget.live} {
					if !p.free.TryAcquire(p.size) {
						t.Error("memory is held after the apply")
					}
				}
			})
			if t.Logf("%d MiB of %d", used>>20, limit>>20); used > limit {
				t.Errorf("%d MiB used", used>>20)
			}
		})
	}
}

// TestApply_too_large_live refuses an object whose field is to be left as it is if the live object never fits. An
// answer that does not fit is no failure: the object was applied, and the watch finds out its health.
func TestApply_too_large_live(t *testing.T) {
	g := grown{value: "[" + strings.TrimSuffix(strings.Repeat(`{"n":0},`, 250_000), ",") + "]"}
	all, _ := applyGrown(t, g, 1, 1, "/spec/grown")
	err := all[0].Entries[0].Err
	if err == nil || !strings.Contains(err.Error(), "raise its memory limit") {
		t.Errorf("error %v", err)
	}
	all, a := applyGrown(t, g, 1, 1, "")
	if err := all[0].Err(); err != nil {
		t.Error(err)
	}
	id := all[0].Entries[0].Object.ID()
	if h := a.Index.Health(id); h.Status != health.Unknown || len(a.Index.TakeDoubts()) != 1 {
		t.Errorf("health %+v", h)
	}
}

// TestTakeLive looks for a generated value in a large live object within the memory for live objects, and refuses one
// that never fits.
func TestTakeLive(t *testing.T) {
	for name, c := range map[string]struct {
		items int
		want  string // of the error
	}{"small": {10, ""}, "large": {40_000, ""}, "too_large": {300_000, "raise its memory limit"}} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(grown{value: `{"items":[` + strings.Repeat(`{"n":0},`, c.items) +
				`0],"password":"of-before"}`})
			defer server.Close()
			b := newBudget(deployedMemory(t))
			l := newTestLoader(blobs{}, b, &bundle.Application{})
			id := bundle.ObjectIdentity{Group: "example.com", Version: "v1", Kind: "X", Namespace: "y", Name: "x-1"}
			search := generate.NewSearch(passwordRecipes())
			objects, err := manifest.Parse([]byte("apiVersion: example.com/v1\nkind: X\nmetadata: {name: x-1, " +
				"namespace: \"y\"}\nspec: {grown: {password: " + passwordPlaceholder + "}}"))
			if err != nil || !search.Add(objects[0]) {
				t.Fatal(err)
			}
			err = l.takeLive(t.Context(), connect(t, server.URL), search, id)
			if c.want == "" && (err != nil || !search.IsComplete()) {
				t.Error("not found:", err)
			} else if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Error(err)
			}
			for _, p := range []pool{b.objects, b.live} {
				if !p.free.TryAcquire(p.size) {
					t.Error("memory is held afterwards")
				}
			}
		})
	}
}
