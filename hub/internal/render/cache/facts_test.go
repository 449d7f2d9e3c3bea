package cache

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/helm"
	"github.com/navefleet/nave/hub/internal/store"
)

// asking is a cache over a chart, whose renders it counts.
type asking struct {
	*source
	renders atomic.Int32
}

// Render implements render.Renderer.
func (s *asking) Render(ctx context.Context, req render.Request) (*render.Result, error) {
	s.renders.Add(1)
	return helm.Renderer{}.Render(ctx, req)
}

func newAsking(t *testing.T, template string) *asking {
	s := &asking{source: newSource(t, map[string]string{"Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n",
		"templates/a.yaml": template})}
	s.restart()
	s.commit()
	return s
}

func (s *asking) restart() {
	s.cache = New(Config{Store: s.store, Artifacts: s.artifacts, Renderer: s})
}

// rendered returns the text of the first object's data.
func (s *asking) render(facts api.ChartFacts) *Rendering {
	s.Helper()
	spec, err := json.Marshal(api.ChartBuild{Name: "a", Namespace: "b", ReleaseName: "a", ReleaseNamespace: "b"})
	s.must(err)
	r, err := s.cache.RenderFor(s.Context(), api.Key{}, helm.Name, spec, s.last, facts)
	s.must(err)
	return r
}

func (s *asking) want(renders int32) {
	s.Helper()
	if got := s.renders.Swap(0); got != renders {
		s.Errorf("%d renders, want %d", got, renders)
	}
}

// put writes a render as the planner does.
func (s *asking) put(r *Rendering) {
	s.Helper()
	s.must(r.PutBlobs(s.Context(), s.store.Blobs()))
	s.must(s.store.Update(s.Context(), func(tx *store.Tx) error { return r.Put(tx, time.Now()) }))
	s.cache.Stored(map[*Rendering]bool{r: true})
}

func factsOf(version string, apis ...string) api.ChartFacts {
	return api.ChartFacts{Capabilities: api.Capabilities{KubeVersion: version, APIVersions: apis}}
}

const versioned = `apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {version: "{{ .Capabilities.KubeVersion.Version }}"}
`

const serving = `apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data:
  one: "{{ .Capabilities.APIVersions.Has "one/v1" }}"
{{ if .Capabilities.APIVersions.Has "one/v1" }}
  two: "{{ .Capabilities.APIVersions.Has "two/v1" }}"
{{ end }}
`

// TestRenderFor_equal checks that a thousand clusters with equal answers cost one render, at the same time, too.
func TestRenderFor_equal(t *testing.T) {
	s := newAsking(t, versioned)
	var wait sync.WaitGroup
	for i := range 1000 {
		wait.Go(func() { s.render(factsOf("v1.36.0", fmt.Sprintf("group%d/v1", i))) })
	}
	wait.Wait()
	s.want(1)
	s.render(factsOf("v1.37.0"))
	s.want(1)
	s.render(factsOf("v1.36.0"))
	s.want(0)
}

// TestRenderFor_answers checks that only the answers count, also of questions that depend on answers.
func TestRenderFor_answers(t *testing.T) {
	s := newAsking(t, serving)
	first := s.render(factsOf("v1.36.0"))
	s.want(1)
	if s.render(factsOf("v1.37.0", "two/v1")) != first {
		t.Error("a question that was not asked counts")
	}
	s.want(0)
	both := s.render(factsOf("v1.36.0", "one/v1", "two/v1"))
	s.want(1)
	if s.render(factsOf("v1.36.0", "one/v1")) == both {
		t.Error("an answer does not count")
	}
	s.want(1)
	if s.render(factsOf("v1.36.0")) != first || s.render(factsOf("v1.35.0", "one/v1", "two/v1")) != both {
		t.Error("another render is the answer now")
	}
	s.want(0)
}

// TestRenderFor_restart checks that renders are answered from the store, and those of a tree that differs elsewhere.
func TestRenderFor_restart(t *testing.T) {
	s := newAsking(t, serving)
	s.put(s.render(factsOf("v1.36.0")))
	s.put(s.render(factsOf("v1.36.0", "one/v1")))
	s.renders.Store(0)
	s.restart()
	if r := s.render(factsOf("v1.37.0", "one/v1")); !r.IsStored() || r.Release().Chart.Name != "app" {
		t.Error("the store did not answer")
	}
	s.render(factsOf("v1.37.0"))
	s.files["README.md"] = "of no template"
	s.commit()
	s.want(0)
}

// TestRenderFor_touch checks that the sweep keeps what a chart asks for as long as its renders.
func TestRenderFor_touch(t *testing.T) {
	s := newAsking(t, versioned)
	r := s.render(factsOf("v1.36.0"))
	s.put(r)
	later := time.Now().Add(TouchEvery)
	rows := map[string]bool{}
	for _, row := range r.Rows() {
		rows[row] = true
	}
	s.must(s.cache.Touch(s.Context(), rows, later))
	s.must(s.store.View(s.Context(), func(tx *store.Tx) error {
		n := 0
		err := store.Renders.Scan(tx, "", func(_ string, row store.Render) error {
			n++
			if !row.UsedAt.Equal(later) {
				t.Errorf("used at %s", row.UsedAt)
			}
			return nil
		})
		if n != 3 {
			t.Errorf("%d rows, want those of the questions, of the index and of the variant", n)
		}
		return err
	}))
}

// TestRenderFor_failure checks that a failure is final for the facts, and for no others.
func TestRenderFor_failure(t *testing.T) {
	s := newAsking(t, `{{ if eq .Capabilities.KubeVersion.Minor "36" }}{{ fail "too old" }}{{ end }}`+versioned)
	spec, _ := json.Marshal(api.ChartBuild{Name: "a", Namespace: "b", ReleaseName: "a", ReleaseNamespace: "b"})
	for range 2 {
		if _, err := s.cache.RenderFor(t.Context(), api.Key{}, helm.Name, spec, s.last, factsOf("v1.36.0")); err == nil {
			t.Error("no error")
		}
	}
	s.want(1)
	s.render(factsOf("v1.37.0"))
	s.want(1)
}
