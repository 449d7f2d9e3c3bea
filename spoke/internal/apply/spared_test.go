package apply

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// sparing returns the client of a cluster with Flux that does not list Things. It answers with code and thing when it
// is asked for one.
func sparing(t *testing.T, list, code int, thing string) *kube.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		things := strings.Contains(r.URL.Path, "/things")
		switch {
		case r.Method == http.MethodPatch:
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"metadata":{"name":"a","namespace":"n","uid":"1","resourceVersion":"1"}}`)
		case strings.HasSuffix(r.URL.Path, "/things"):
			refuse(w, list)
		case things && code != http.StatusOK:
			refuse(w, code)
		case things:
			fmt.Fprint(w, thing)
		default:
			fmt.Fprint(w, `{"metadata":{},"items":[]}`)
		}
	}))
	t.Cleanup(server.Close)
	config := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"c","cluster":{"server":"` +
		server.URL + `"}}],"contexts":[{"name":"c","context":{"cluster":"c"}}]}`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := kube.Connect(config)
	if err != nil {
		t.Fatal(err)
	}
	client.Warm(kube.Mapping{Version: "v1", Kind: "ConfigMap", Resource: "configmaps", Namespaced: true},
		kube.Mapping{Group: "example.com", Version: "v1", Kind: "Thing", Resource: "things", Namespaced: true},
		kube.Mapping{Group: kube.FluxOwner.Group, Version: kube.FluxOwner.Version, Kind: kube.FluxOwner.Kind,
			Resource: "kustomizations", Namespaced: true})
	return client
}

// TestSpared_unlisted has a kind whose objects cannot be listed. Only new objects of this kind are refused, and only if
// it stays unknown whether they are marked.
func TestSpared_unlisted(t *testing.T) {
	marked := fmt.Sprintf(`{"metadata":{"name":"a","namespace":"n","uid":"1","resourceVersion":"1","labels":{
		"kustomize.toolkit.fluxcd.io/name":%q,"kustomize.toolkit.fluxcd.io/namespace":%q},
		"annotations":{"kustomize.toolkit.fluxcd.io/reconcile":"disabled"}}}`, testOwner.Name, testOwner.Namespace)
	for name, c := range map[string]struct {
		list, code int
		thing      string
		owned      bool
		want       string // in the error of the Thing
	}{
		"webhook_down":    {500, 500, "", false, "see"},
		"forbidden":       {403, 403, "", false, "see"},
		"no_verb":         {405, 405, "", false, "see"},
		"new":             {403, 404, "", false, ""},
		"marked":          {403, 200, marked, false, "put the mark into Git"},
		"marked_and_ours": {403, 200, marked, true, ""},
		"webhook_of_ours": {500, 500, "", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			set := Set{Target: Target{Application: testOwner, Previous: inventory.New(testOwner)}}
			for _, kind := range []string{"Thing", "ConfigMap"} {
				id := bundle.ObjectIdentity{Version: "v1", Kind: kind, Namespace: "n", Name: "a"}
				if kind == "Thing" {
					id.Group = "example.com"
				}
				set.Objects = append(set.Objects, setOf(testOwner, id, func() Loaded {
					o := &manifest.Object{Object: map[string]any{"metadata": map[string]any{"namespace": "n", "name": "a"}}}
					o.SetGroupVersionKind(id.ID().GroupKind().WithVersion("v1"))
					return Loaded{Object: o}
				}).Objects...)
			}
			thing := set.Objects[0]
			if c.owned {
				set.Previous.Items[thing.ID()] = inventory.Item{Version: "v1", UID: "1", Labelled: true}
			}
			client := sparing(t, c.list, c.code, c.thing)
			changes, err := New(Config{Client: client, Index: inventory.NewIndex()}).Apply(context.Background(), set)
			if err != nil {
				t.Fatal(err)
			}
			if e := changes.Entries[1]; e.Action != Created {
				t.Errorf("the ConfigMap: %s, %v", e.Action, e.Err)
			}
			if c.want == "see" {
				c.want = "let the API server show objects of this kind"
			}
			switch e := changes.Entries[0]; {
			case c.want == "" && e.Err != nil:
				t.Errorf("the Thing: %v", e.Err)
			case c.want != "" && (e.Action != Refused || !strings.Contains(fmt.Sprint(e.Err), c.want)):
				t.Errorf("the Thing: %s, %v, want %q", e.Action, e.Err, c.want)
			}
		})
	}
}
