package plan

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/render/cache"
	"github.com/navefleet/nave/hub/internal/render/kustomize"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// several returns a fleet of one cluster with several trees, the first of them "tree-0".
func several(t *testing.T, trees int) *story {
	archive := fleet(1)
	for i := range trees {
		archive.Files = append(archive.Files, txtar.File{
			Name: fmt.Sprintf("tree-%d/root/app.yaml", i),
			Data: fmt.Appendf(nil, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app, namespace: default}\ndata: {value: "+
				"tree %d}\n", i),
		})
	}
	s := newStory(t, archive)
	s.play([]string{"apply", "hub.yaml"})
	for i := range trees {
		s.playTree(i)
	}
	return s
}

// playTree makes one of the trees the newest artifact.
func (s *story) playTree(i int) {
	s.play([]string{"fetch", "fleet", fmt.Sprintf("main@sha1:%d", i), fmt.Sprintf("tree-%d", i)})
	s.play([]string{"plan"})
}

// renderRows are the times at which the rows of store.Renders were used, by key.
func (s *story) renderRows() map[string]time.Time {
	rows := map[string]time.Time{}
	s.must(s.store.View(s.t.Context(), func(tx *store.Tx) error {
		return store.Renders.Scan(tx, "", func(key string, r store.Render) error {
			rows[key] = r.UsedAt
			return nil
		})
	}))
	return rows
}

// TestVariantsAfterRestart checks that the newest variants of a render are answered after a restart.
func TestVariantsAfterRestart(t *testing.T) {
	s := several(t, cache.MaxVariants+1)
	s.play([]string{"renders", fmt.Sprint(cache.MaxVariants + 1)})
	if rows := s.renderRows(); len(rows) != 1+cache.MaxVariants {
		t.Errorf("%d rows, want an index and %d variants", len(rows), cache.MaxVariants)
	}
	for i := range cache.MaxVariants {
		s.restart()
		s.playTree(i + 1)
		s.play([]string{"renders", "0"})
	}
	s.restart()
	s.playTree(0)
	s.play([]string{"renders", "1"})
}

// TestVariantsOfOtherTrees checks that a tree that differs elsewhere is answered by any variant.
func TestVariantsOfOtherTrees(t *testing.T) {
	s := several(t, cache.MaxVariants)
	s.play([]string{"renders", fmt.Sprint(cache.MaxVariants)})
	for i := range cache.MaxVariants {
		other := fmt.Sprintf("other-%d", i)
		s.archive.Files = append(s.archive.Files,
			txtar.File{Name: other + "/root/app.yaml", Data: s.file(fmt.Sprintf("tree-%d/root/app.yaml", i))},
			txtar.File{Name: other + "/elsewhere.yaml", Data: []byte("x")})
		if i%2 == 0 {
			s.restart()
		}
		s.play([]string{"fetch", "fleet", "main@sha1:9" + fmt.Sprint(i), other})
		s.play([]string{"plan"})
		s.play([]string{"renders", "0"})
	}
}

// TestVariantsOutliveIndex checks that no sweep takes a variant before its index.
func TestVariantsOutliveIndex(t *testing.T) {
	s := several(t, 2)
	for _, pause := range []time.Duration{cache.TouchEvery, time.Hour, cache.TouchEvery / 2} {
		s.now = s.now.Add(pause)
		s.must(s.planner.touch(t.Context()))
		s.change("c0000/Kustomization/flux-system/root", func(r *store.Resource) { r.RequestedAt = s.now.String() })
		s.round()
		rows := s.renderRows()
		for key, used := range rows {
			index, _, _ := strings.Cut(key, "/")
			if used.Before(rows[index]) {
				t.Errorf("after %s the row %s was used at %s, before its index", pause, key, used)
			}
			if s.now.Sub(used) >= cache.TouchEvery {
				t.Errorf("after %s the row %s is still marked as used at %s", pause, key, used)
			}
		}
	}
}

// TestRevertAfterSweep checks that a commit that restores an old tree plans only blobs that exist: the variant of that
// tree was deleted, and its objects were swept.
func TestRevertAfterSweep(t *testing.T) {
	s := several(t, cache.MaxVariants+1)
	s.play([]string{"renders", fmt.Sprint(cache.MaxVariants + 1)})
	first := func() manifest.Digest { return s.plan("c0000").Applications[0].Digest }
	named := ""
	s.must(s.store.View(t.Context(), func(tx *store.Tx) error {
		return store.Renders.Scan(tx, "", func(_ string, r store.Render) error { named += string(r.Value); return nil })
	}))
	kept := append(s.objects(first()), first())
	swept := 0
	for range 2 { // the first spares what was just put
		n, err := s.store.Blobs().Sweep(t.Context(), func(d manifest.Digest) bool {
			return slices.Contains(kept, d) || strings.Contains(named, d.String())
		})
		s.must(err)
		swept += n
	}
	if swept == 0 {
		t.Fatal("no blob of the first tree was swept")
	}
	s.playTree(0)
	s.play([]string{"renders", "1"})
	for _, d := range s.objects(first()) {
		if _, err := s.store.Blobs().Get(t.Context(), d); err != nil {
			t.Errorf("planned blob %s is gone: %v", d, err)
		}
	}
}

// objects are the digests that an Application names.
func (s *story) objects(application manifest.Digest) []manifest.Digest {
	a, err := bundle.DecodeApplication(s.blob(application))
	s.must(err)
	return a.Digests()
}

// TestVariantsTogether checks that a variant that is written and deleted in one transaction is forgotten.
func TestVariantsTogether(t *testing.T) {
	s := newStory(t, fleet(1))
	spec, err := kustomize.Encode(api.Build{Name: "apps", Namespace: "flux-system", Path: "./apps", Strict: true})
	s.must(err)
	render := func(i int) *cache.Rendering {
		root := t.TempDir()
		plantConfigMap(t, root, 0, fmt.Sprint("tree ", i))
		r, err := s.planner.renders.Render(t.Context(), api.Key{}, kustomize.Name, spec,
			&artifact.Artifact{Dir: root, Digest: manifest.DigestOf(fmt.Append(nil, i))})
		s.must(err)
		return r
	}
	put := map[*cache.Rendering]bool{}
	var renders []*cache.Rendering
	for i := range cache.MaxVariants + 1 {
		renders = append(renders, render(i))
		put[renders[i]] = true
	}
	s.update(func(tx *store.Tx) error {
		for _, r := range renders {
			s.must(r.Put(tx, s.now))
		}
		return nil
	})
	s.planner.renders.Stored(put)
	for i, r := range renders {
		if remembered := render(i) == r; remembered != (i > 0) {
			t.Errorf("render %d of %d is remembered: %v", i, len(renders), remembered)
		}
	}
}

// BenchmarkCommitAmongThousand measures the cache after a change of one of 1,000 files: it does not find the render,
// renders, and writes the result.
func BenchmarkCommitAmongThousand(b *testing.B) {
	s, err := store.Open(filepath.Join(b.TempDir(), "store"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	p := New(Config{Store: s, Artifacts: artifact.New("/"), Renderer: renderers, Log: slog.New(slog.DiscardHandler)})
	root := b.TempDir()
	for i := range 1000 {
		plantConfigMap(b, root, i, "first")
	}
	spec, err := kustomize.Encode(api.Build{Name: "apps", Namespace: "flux-system", Path: "./apps", Strict: true})
	if err != nil {
		b.Fatal(err)
	}
	for n := 0; b.Loop(); n++ {
		plantConfigMap(b, root, n*7%1000, fmt.Sprint("commit ", n))
		a := &artifact.Artifact{Dir: root, Digest: manifest.DigestOf(fmt.Append(nil, n))}
		r, err := p.renders.Render(b.Context(), api.Key{}, kustomize.Name, spec, a)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Update(b.Context(), func(tx *store.Tx) error { return r.Put(tx, time.Now()) }); err != nil {
			b.Fatal(err)
		}
		p.renders.Stored(map[*cache.Rendering]bool{r: true})
	}
}

func plantConfigMap(b testing.TB, root string, i int, value string) {
	b.Helper()
	name := filepath.Join(root, "apps", fmt.Sprintf("part-%02d", i/50), fmt.Sprintf("cm-%04d.yaml", i))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		b.Fatal(err)
	}
	content := fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm-%04d, namespace: bench}\ndata: {value: "+
		"%q, payload: %s}\n",
		i, value, strings.Repeat("x", 200))
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		b.Fatal(err)
	}
}
