package kube

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// script is an API server that gives scripted answers and records requests.
type script struct {
	mu    sync.Mutex
	asked []string
	user  []string
	next  func(w http.ResponseWriter, r *http.Request)
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.Method+" "+r.URL.Path)
	s.user = append(s.user, r.Header.Get("Impersonate-User"))
	if r.URL.Path == "/api/v1" {
		fmt.Fprint(w, `{"kind":"APIResourceList","groupVersion":"v1","resources":[
			{"name":"configmaps","kind":"ConfigMap","namespaced":true},{"name":"secrets","kind":"Secret","namespaced":true},
			{"name":"namespaces","kind":"Namespace"},{"name":"namespaces/status","kind":"Namespace"}]}`)
		return
	}
	s.next(w, r)
}

func (s *script) requests() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.asked, "\n")
}

func scripted(t *testing.T, next func(http.ResponseWriter, *http.Request)) (*Client, *script) {
	t.Helper()
	s := &script{next: next}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	c, err := connect(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

func configMap(name string) *manifest.Object {
	return &manifest.Object{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"namespace": "n", "name": name}}}
}

func echo(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusCreated)
	fmt.Fprint(w, `{"metadata":{"name":"a","namespace":"n","uid":"u","resourceVersion":"1"}}`)
}

func TestApply_requests(t *testing.T) {
	c, s := scripted(t, echo)
	for _, name := range []string{"a", "b"} {
		applied, err := c.Apply(t.Context(), configMap(name), ApplyOptions{})
		if err != nil || !applied.Created {
			t.Fatal(applied, err)
		}
	}
	want := "GET /api/v1\nPATCH /api/v1/namespaces/n/configmaps/a\nPATCH /api/v1/namespaces/n/configmaps/b"
	if s.requests() != want {
		t.Errorf("requests:\n%s\nwant:\n%s", s.requests(), want)
	}
}

func TestWarm(t *testing.T) {
	c, s := scripted(t, echo)
	c.Warm(configMaps)
	if _, err := c.Apply(t.Context(), configMap("a"), ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(s.requests(), "/api/v1\n") || c.Requests() != 1 {
		t.Error(s.requests())
	}
}

func TestMapping_unknown(t *testing.T) {
	c, s := scripted(t, http.NotFound)
	for range 5 {
		_, err := c.Look(t.Context(), bundle.ObjectIdentity{Group: "example.com", Version: "v1", Kind: "Widget",
			Name: "w"}, false)
		if ReasonOf(err) != NoMatch || !strings.Contains(err.Error(), "CustomResourceDefinition") ||
			!strings.HasPrefix(err.Error(), "get Widget.example.com w: ") {
			t.Fatal(err)
		}
	}
	if s.requests() != "GET /apis/example.com/v1" {
		t.Error(s.requests())
	}
	c.Invalidate("example.com")
	_, _ = c.Mapping(t.Context(), schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"})
	if c.Requests() != 2 {
		t.Errorf("%d requests after the group was invalidated", c.Requests())
	}
}

func TestRetry_busy(t *testing.T) {
	busy := 2
	c, s := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		if busy--; busy >= 0 {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		echo(w, r)
	})
	if _, err := c.Apply(t.Context(), configMap("a"), ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(s.requests(), "PATCH"); n != 3 {
		t.Errorf("%d attempts", n)
	}
}

func TestRetry_refused(t *testing.T) {
	c, _ := scripted(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"kind":"Status","code":403,"reason":"Forbidden","message":"no"}`)
	})
	c.Warm(configMaps)
	if _, err := c.Apply(t.Context(), configMap("a"), ApplyOptions{}); ReasonOf(err) != Forbidden || c.Requests() != 1 {
		t.Error(err, c.Requests())
	}
}

func TestAs(t *testing.T) {
	c, s := scripted(t, echo)
	as, err := c.As("team", "deployer")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := as.Apply(t.Context(), configMap("a"), ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if s.user[0] != "" || s.user[1] != "system:serviceaccount:team:deployer" {
		t.Errorf("users %q: discovery is the spoke's own, the apply is the account's", s.user)
	}
	for _, bad := range [][2]string{{"", "x"}, {"x", ""}, {"", ""}, {"a:b", "c"}, {"a", "b:c"}, {"a", "b\nX: y"},
		{"kube-system:admin", "x"}} {
		if as, err := c.As(bad[0], bad[1]); err == nil || as != nil {
			t.Errorf("%q was not refused", bad)
		}
	}
}

func TestMisplaced(t *testing.T) {
	c, s := scripted(t, echo)
	c.Warm(configMaps, Mapping{Version: "v1", Kind: "Namespace", Resource: "namespaces"})
	for _, id := range []bundle.ObjectIdentity{
		{Version: "v1", Kind: "ConfigMap", Namespace: "n", Name: "../secrets/a"},
		{Version: "v1", Kind: "ConfigMap", Namespace: "n/secrets", Name: "a"},
		{Version: "v1", Kind: "ConfigMap", Namespace: "n", Name: ".."},
		{Version: "v1", Kind: "ConfigMap", Namespace: "n", Name: ""},
		{Version: "v1", Kind: "ConfigMap", Name: "a"},
		{Version: "v1", Kind: "Namespace", Namespace: "n", Name: "a"},
	} {
		if err := c.Delete(t.Context(), id, DeleteOptions{}); ReasonOf(err) != Invalid {
			t.Errorf("%+v: %v", id, err)
		}
	}
	if s.requests() != "" {
		t.Error(s.requests())
	}
}

// TestList_large asks for fewer objects at a time if a page is too large, and for the same objects again.
func TestList_large(t *testing.T) {
	const objects = 20
	var limits []string
	c, _ := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		limits = append(limits, r.FormValue("limit"))
		limit, _ := strconv.Atoi(r.FormValue("limit"))
		from, _ := strconv.Atoi(r.FormValue("continue"))
		to := min(from+limit, objects)
		next := fmt.Sprint(to)
		if to == objects {
			next = ""
		}
		fmt.Fprintf(w, `{"metadata":{"resourceVersion":"7","continue":%q},"items":[`, next)
		for i := from; i < to; i++ {
			fmt.Fprintf(w, `{"metadata":{"name":"x-%02d"},"data":{"k":"%s"}},`, i, strings.Repeat("x", 1<<20))
		}
		fmt.Fprint(w, `{}]}`)
	})
	var seen []string
	rv, err := c.List(t.Context(), configMaps, Scope{Whole: true, Page: 100}, func(l Live) error {
		if l.ID.Name != "" {
			seen = append(seen, l.ID.Name)
		}
		return nil
	})
	const want = "100 12 1"
	if got := strings.Join(limits[:3], " "); got != want || rv != "7" || err != nil {
		t.Errorf("limits %s, want %s; version %q, error %v", got, want, rv, err)
	}
	if len(seen) != objects || !slices.IsSorted(seen) {
		t.Errorf("seen %v", seen)
	}
}

func TestList_pages(t *testing.T) {
	c, s := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		next := `"continue":"more",`
		if r.URL.Query().Get("continue") != "" {
			next = ""
		}
		fmt.Fprintf(w, `{"metadata":{%s"resourceVersion":"9"},"items":[{"metadata":{"name":"a","namespace":"n","uid":"u"}}]}`,
			next)
	})
	var seen int
	rv, err := c.List(t.Context(), configMaps, Scope{Selector: "x"}, func(Live) error { seen++; return nil })
	if err != nil || rv != "9" || seen != 2 || strings.Count(s.requests(), "GET /api/v1/configmaps") != 2 {
		t.Error(rv, seen, err, s.requests())
	}
}

func TestWatch_end(t *testing.T) {
	for _, c := range []struct {
		name, tail string
		end        func(error) bool
	}{
		{"end", "", func(err error) bool { return errors.Is(err, io.EOF) }},
		{"expired", `{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}`,
			func(err error) bool { return ReasonOf(err) == Expired }},
		{"broken_line", `{"type":"MOD`, func(err error) bool { return ReasonOf(err) == Unreachable }},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, _ := scripted(t, func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, `{"type":"ADDED","object":{"metadata":{"name":"a","namespace":"n","resourceVersion":"2"}}}`+"\n"+
					`{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"5"}}}`+"\n"+c.tail)
			})
			stream, err := client.Watch(t.Context(), configMaps, Scope{}, "1")
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			for _, want := range []string{"ADDED 2", "BOOKMARK 5"} {
				e, err := stream.Next()
				if got := fmt.Sprint(e.Type, " ", e.Live.ResourceVersion); err != nil || got != want {
					t.Fatalf("%s, %v; want %s", got, err, want)
				}
			}
			if _, err := stream.Next(); !c.end(err) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var now, most int
		c := &Client{connection: &connection{slots: make(chan struct{}, 2), kinds: newKinds(),
			limit: unlimited{}, base: mustURL(t)}}
		c.http = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second) // of the bubble's clock: all that may be under way are
			mu.Lock()
			now--
			mu.Unlock()
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(`{"metadata":{}}`))}, nil
		})}
		c.Warm(configMaps)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { _, _ = c.Apply(t.Context(), configMap("a"), ApplyOptions{}) })
		}
		wg.Wait()
		if most != 2 {
			t.Errorf("%d at a time", most)
		}
	})
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Client{connection: &connection{slots: make(chan struct{}, 2), kinds: newKinds(),
			limit: unlimited{}, base: mustURL(t)}}
		c.http = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}
		c.Warm(configMaps)
		_, err := c.Apply(t.Context(), configMap("a"), ApplyOptions{})
		if ReasonOf(err) != Unreachable || !Retryable(err) {
			t.Errorf("%v (%s)", err, ReasonOf(err))
		}
	})
}

func TestSecret_error(t *testing.T) {
	c, _ := scripted(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"data":{"k":"hunter2!"}}`) })
	_, err := c.Secret(t.Context(), "n", "s")
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}
