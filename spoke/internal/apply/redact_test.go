package apply

import (
	"context"
	"encoding/json"
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

// quotingServer is an API server with one object. A webhook refuses requests and quotes the whole object.
func quotingServer(t *testing.T, app bundle.ApplicationName) *kube.Client {
	t.Helper()
	mine := map[string]any{"manager": kube.FieldManager, "operation": "Apply", "fieldsType": "FieldsV1",
		"fieldsV1": map[string]any{"f:spec": map[string]any{}}}
	answers := map[string]any{
		"/apis/example.com/v1": map[string]any{"kind": "APIResourceList", "resources": []any{
			map[string]any{"name": "xs", "kind": "X", "namespaced": true, "verbs": []any{"get", "delete"}},
		}},
		"/apis/example.com/v1/namespaces/n/xs/a": map[string]any{
			"apiVersion": "example.com/v1", "kind": "X", "metadata": map[string]any{
				"namespace": "n", "name": "a", "uid": "1", "resourceVersion": "1", "managedFields": []any{mine},
				"labels": map[string]any{inventory.Label: inventory.LabelOf(app)},
			},
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer := answers[r.URL.Path]
		if r.Method != http.MethodGet {
			w.WriteHeader(http.StatusForbidden)
			answer = map[string]any{"kind": "Status", "code": 403,
				"message": `admission webhook "w" denied the request: {"password":"hunter2"}`}
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	config := filepath.Join(t.TempDir(), "kubeconfig")
	text := "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: " + server.URL +
		"}}]\n" +
		"contexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := kube.Connect(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// TestRefusalQuotes makes a webhook quote a value when it refuses an apply, a prune and a deletion.
func TestRefusalQuotes(t *testing.T) {
	hide := func(s string) string { return strings.ReplaceAll(s, "hunter2", "[redacted]") }
	id := bundle.ObjectIdentity{Group: "example.com", Version: "v1", Kind: "X", Namespace: "n", Name: "a"}
	app := bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "a"}
	owned := inventory.New(app)
	owned.Items[id.ID()] = inventory.Item{Version: "v1", Resource: "xs", UID: "1", Digest: manifest.DigestOf([]byte("a"))}
	target := Target{Application: app, Previous: owned, Redact: hide}
	load := func() Loaded {
		o := &manifest.Object{Object: map[string]any{"apiVersion": "example.com/v1", "kind": "X",
			"metadata": map[string]any{"namespace": "n", "name": "a"}}}
		return Loaded{Object: o, Redact: hide}
	}
	for name, run := range map[string]func(*Applier) (*ChangeSet, error){
		"apply": func(a *Applier) (*ChangeSet, error) { return a.Apply(t.Context(), setOf(app, id, load)) },
		"prune": func(a *Applier) (*ChangeSet, error) {
			return a.Apply(t.Context(), Set{Target: target, Prune: true})
		},
		"removal": func(a *Applier) (*ChangeSet, error) {
			return a.Delete(t.Context(), Removal{Target: target, Policy: bundle.Delete})
		},
	} {
		t.Run(name, func(t *testing.T) {
			changes, err := run(New(Config{Client: quotingServer(t, app), Index: inventory.NewIndex()}))
			if err != nil || changes.Err() == nil {
				t.Fatalf("%v, %v", changes, err)
			}
			if said := changes.Err().Error(); strings.Contains(said, "hunter2") || !strings.Contains(said, "[redacted]") {
				t.Errorf("%q", said)
			}
		})
	}
}

func setOf(app bundle.ApplicationName, id bundle.ObjectIdentity, load func() Loaded) Set {
	return Set{Target: Target{Application: app}, Objects: []Object{{
		ObjectReference: bundle.ObjectReference{ObjectIdentity: id, Digest: manifest.DigestOf([]byte("a"))},
		Load:            func(context.Context) (Loaded, error) { return load(), nil },
	}}}
}
