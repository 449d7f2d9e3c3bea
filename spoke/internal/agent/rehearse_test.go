package agent

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/state"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// echo is an API server with objects in which each number is 1, and which answers a dry run with the object.
type echo map[string]string // the objects as they would be, by name

func (e echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	text, ok := e[path.Base(r.URL.Path)]
	switch {
	case !ok:
		_, _ = io.WriteString(w, `{"kind":"APIResourceList","resources":[{"name":"xs","kind":"X","namespaced":true,"verbs":["get"]}]}`)
	case r.Method == http.MethodPatch:
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, text)
	default:
		_, _ = strings.NewReplacer(":0", ":1").WriteString(w, text)
	}
}

// TestPreview_memory previews the largest applications in a spoke with the memory of the manifests. A preview takes no
// more than the share of the objects that are being applied, and nothing is applied meanwhile.
func TestPreview_memory(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures memory")
	}
	object := func(name, spec string) string {
		return `{"apiVersion":"example.com/v1","kind":"X","metadata":{"name":"` + name + `","namespace":"y","uid":"u"},"spec":` +
			spec + "}"
	}
	nested := strings.Repeat(`{"a":`, 100) + "0" + strings.Repeat("}", 100)
	maps := "[" + strings.TrimSuffix(strings.Repeat(nested+",", (bundle.MaxObjectValues-1000)/101), ",") + "]"
	const grown = "grown" // in the cluster: what is previewed has no spec
	for _, c := range []struct {
		name    string
		objects int
		spec    string
		more    int // references to what is no object
	}{
		{"maps", 2, maps, 0},
		{"fewer_maps", 4, "[" + strings.TrimSuffix(strings.Repeat(nested+",", 300), ",") + "]", 0},
		{"numbers", 3, "[" + strings.TrimSuffix(strings.Repeat(`{"n":0},`, 32_000), ",") + "]", 0},
		{"texts", 2, `["` + strings.Repeat("x", bundle.MaxObjectBytes-1000) + `",{"n":0}]`, 0},
		{"many", 1000, `{"n":0,"text":"` + strings.Repeat("x", 7000) + `"}`, 0},
		{"grown", 2, maps + grown, 0},
		{"references", 0, "", 85_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			hub, objects := newFarHub(), echo{}
			app := application("apps")
			for i := range c.objects {
				name := fmt.Sprint("x-", i)
				spec, isGrown := strings.CutSuffix(c.spec, grown)
				objects[name] = object(name, spec)
				if isGrown {
					spec = "{}"
				}
				app.Objects = append(app.Objects, blobs(hub.blobs).object(t, []byte(object(name, spec))))
			}
			for i := range c.more {
				id := bundle.ObjectIdentity{Version: "v1", Kind: "X", Name: fmt.Sprint(i)}
				app.Objects = append(app.Objects, bundle.ObjectReference{ObjectIdentity: id, Digest: hub.put([]byte("none"))})
			}
			p := newTestPreview(t, hub, objects)
			envelope := hub.preview(t, self, time.Now().Add(time.Minute), app)
			limit := p.budget.objects.size
			used := leastPeak(t, limit, func() {
				var answer spokev1.AnswerPreviewRequest
				p.fill(t.Context(), envelope, &answer)
				if answer.Error != "" || len(answer.Applications) != 1 ||
					len(answer.Applications[0].Objects)+int(answer.Applications[0].More) != len(app.Objects) {
					t.Errorf("%.300s", &answer)
				}
			})
			t.Logf("%d MiB of %d", used>>20, limit>>20)
			if used > limit {
				t.Errorf("%d bytes used, %d estimated", used, limit)
			}
			if err := p.budget.objects.free.Acquire(t.Context(), limit); err != nil {
				t.Error("memory is held after the preview")
			}
		})
	}
}

// newTestPreview returns a preview of an agent with the memory of the manifests.
func newTestPreview(t *testing.T, hub *farHub, objects http.Handler) *preview {
	t.Helper()
	store, err := state.Open(filepath.Join(t.TempDir(), "spoke.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	keyring, err := signing.NewKeyring(hub.signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(objects)
	t.Cleanup(server.Close)
	index := inventory.NewIndex()
	a := New(Config{Cluster: self, Keyring: keyring, Store: store, Hub: hub, Index: index, Kubernetes: &farAPI{},
		Applier: apply.New(apply.Config{Client: connect(t, server.URL), Index: index}), Memory: deployedMemory(t)})
	return &preview{Agent: a, known: newRedactors(), apps: map[bundle.ApplicationName]*node{},
		inventories: map[bundle.ApplicationName]*inventory.Inventory{}}
}
