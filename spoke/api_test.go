package spoke_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// api is a scripted API server on loopback: it keeps Secrets and ConfigMaps, applies them for several field managers,
// and watches nothing.
type api struct {
	kubeconfig string

	mu       sync.Mutex
	objects  map[string]*stored // by path
	written  []string           // the paths that were written or deleted, in order
	version  int
	requests int
	refuse   func(r *http.Request) int // the code to refuse a request with; 0: it is answered
}

type stored struct {
	object map[string]any
	owners map[string]string // key of data → field manager
}

func newAPI(t *testing.T) *api {
	t.Helper()
	a := &api{objects: map[string]*stored{}}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	config := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"c","cluster":{"server":%q}}],`+
		`"contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],"users":[{"name":"u","user":{"token":"t"}}]}`,
		server.URL)
	if err := os.WriteFile(a.kubeconfig, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("watch") != "" {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests++
	if a.refuse != nil {
		if code := a.refuse(r); code != 0 {
			answer(w, code, map[string]any{"kind": "Status", "code": code, "message": "refused"})
			return
		}
	}
	code, body := a.handle(r)
	answer(w, code, body)
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

func (a *api) handle(r *http.Request) (int, any) {
	kinds := []any{}
	for name, kind := range map[string]string{"secrets": "Secret", "configmaps": "ConfigMap"} {
		kinds = append(kinds, map[string]any{"name": name, "kind": kind, "namespaced": true})
	}
	switch path := r.URL.Path; {
	case path == "/api/v1":
		return http.StatusOK, map[string]any{"kind": "APIResourceList", "resources": kinds}
	case path == "/version":
		return http.StatusOK, map[string]any{"gitVersion": "v1.37.2"}
	case r.Method == http.MethodGet && (strings.HasSuffix(path, "/configmaps") || strings.HasSuffix(path, "/secrets")):
		return http.StatusOK, a.list(path, r.URL.Query().Get("labelSelector"))
	case r.Method == http.MethodGet && a.objects[path] != nil:
		return http.StatusOK, a.objects[path].object
	case r.Method == http.MethodDelete && a.objects[path] != nil:
		a.written = append(a.written, "-"+path)
		delete(a.objects, path)
		return http.StatusOK, map[string]any{"kind": "Status", "status": "Success"}
	case r.Method == http.MethodPatch:
		a.written = append(a.written, path)
		return a.apply(path, r)
	}
	return http.StatusNotFound, map[string]any{"kind": "Status", "reason": "NotFound", "code": 404,
		"message": r.URL.Path + " not found", "details": map[string]any{"name": "x", "kind": "x"}}
}

func (a *api) list(path, selector string) any {
	items := []any{}
	label, value, _ := strings.Cut(selector, "=")
	for at, o := range a.objects {
		labels, _ := o.object["metadata"].(map[string]any)["labels"].(map[string]any)
		if got, there := labels[label]; strings.HasPrefix(at, path+"/") &&
			(label == "" || there && (value == "" || got == value)) {
			items = append(items, o.object)
		}
	}
	return map[string]any{"kind": "List", "metadata": map[string]any{"resourceVersion": fmt.Sprint(a.version)},
		"items": items}
}

// apply is server-side apply, as far as data goes: what a manager does not give any more is gone, if it was its own.
func (a *api) apply(path string, r *http.Request) (int, any) {
	var o map[string]any
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		return http.StatusBadRequest, map[string]any{"kind": "Status", "message": err.Error()}
	}
	manager, was, code := r.URL.Query().Get("fieldManager"), a.objects[path], http.StatusOK
	a.version++
	if was == nil {
		code = http.StatusCreated
		was = &stored{object: map[string]any{"metadata": map[string]any{"uid": fmt.Sprint("uid-", a.version)}},
			owners: map[string]string{}}
	}
	data, _ := was.object["data"].(map[string]any)
	given, _ := o["data"].(map[string]any)
	merged := map[string]any{}
	for k, v := range data {
		if was.owners[k] != manager {
			merged[k] = v
		}
	}
	for k, v := range given {
		merged[k], was.owners[k] = v, manager
	}
	meta := o["metadata"].(map[string]any)
	meta["uid"] = was.object["metadata"].(map[string]any)["uid"]
	meta["resourceVersion"] = fmt.Sprint(a.version)
	meta["managedFields"] = []any{map[string]any{
		"manager": manager, "operation": "Apply", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z",
		"fieldsType": "FieldsV1", "fieldsV1": map[string]any{"f:data": map[string]any{}},
	}}
	o["data"] = merged
	was.object = o
	a.objects[path] = was
	return code, o
}

// get returns a value of an object's data; "" when there is none.
func (a *api) get(resource, namespace, name, key string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.objects["/api/v1/namespaces/"+namespace+"/"+resource+"/"+name]
	if o == nil {
		return ""
	}
	data, _ := o.object["data"].(map[string]any)
	value, _ := data[key].(string)
	return value
}
