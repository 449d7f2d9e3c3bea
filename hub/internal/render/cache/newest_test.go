package cache

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/kustomize"
	"github.com/navefleet/nave/hub/internal/store"
)

// source is a Git repository in memory, and a cache over its artifacts.
type source struct {
	*testing.T
	files     map[string]string
	artifacts *artifact.Store
	store     *store.Store
	cache     *Cache
	last      *artifact.Artifact
	renders   int
}

func newSource(t *testing.T, files map[string]string) *source {
	s := &source{T: t, files: files, artifacts: artifact.New(t.TempDir()), store: store.OpenMemory()}
	t.Cleanup(func() { s.store.Close() })
	s.cache = New(Config{Store: s.store, Artifacts: s.artifacts, Renderer: s})
	return s
}

// Render implements render.Renderer, and counts.
func (s *source) Render(ctx context.Context, req render.Request) (*render.Result, error) {
	s.renders++
	return kustomize.Renderer{}.Render(ctx, req)
}

// Size implements artifact.Contents.
func (s *source) Size(f artifact.File) (int64, error) { return int64(len(s.files[f.Path])), nil }

// Read implements artifact.Contents.
func (s *source) Read(_ context.Context, f artifact.File, _ int64) ([]byte, error) {
	return []byte(s.files[f.Path]), nil
}

func (s *source) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// commit makes an artifact of the files.
func (s *source) commit() {
	s.Helper()
	tree := artifact.Tree{Revision: "main", Contents: s}
	for path, text := range s.files {
		tree.Files = append(tree.Files, artifact.File{Path: path, Mode: artifact.Regular,
			Content: artifact.IdentifyContent([]byte(text))})
	}
	a, err := s.artifacts.Make(s.Context(), s.last, func(w artifact.Workspace, last *artifact.Artifact) (artifact.Artifact,
		error) {
		return w.Put(s.Context(), "00", tree, last)
	})
	s.must(err)
	s.last = &a
}

// render renders a path of the newest artifact, and writes the result as the planner does.
func (s *source) render(path string) (*Rendering, error) {
	s.Helper()
	r, err := s.cache.Render(s.Context(), api.Key{Name: path}, kustomize.Name, s.spec(path), s.last)
	if err != nil {
		return nil, err
	}
	s.must(r.PutBlobs(s.Context(), s.store.Blobs()))
	s.must(s.store.Update(s.Context(), func(tx *store.Tx) error { return r.Put(tx, time.Unix(1_800_000_000, 0)) }))
	s.cache.Stored(map[*Rendering]bool{r: true})
	return r, nil
}

func (s *source) spec(path string) []byte {
	s.Helper()
	spec, err := kustomize.Encode(api.Build{Name: "apps", Namespace: "flux-system", Path: path, Strict: true})
	s.must(err)
	return spec
}

func configMap(name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {value: %s}\n", name, value)
}

// TestNewest checks which commits cost a render, and that the others read only the files that differ.
func TestNewest(t *testing.T) {
	s := newSource(t, map[string]string{"a/one.yaml": configMap("one", "1"), "b/two.yaml": configMap("two", "2")})
	for _, step := range []struct {
		name, path, text string // text "": the file goes
		renders          int
	}{
		{"first", "README.md", "first", 1},
		{"file_that_nobody_reads", "README.md", "second", 0},
		{"file_of_another", "b/two.yaml", configMap("two", "3"), 0},
		{"folder_of_another", "c/d/three.yaml", configMap("three", "3"), 0},
		{"own_file", "a/one.yaml", configMap("one", "4"), 1},
		{"back", "a/one.yaml", configMap("one", "1"), 0},
		{"new_file", "a/new.yaml", configMap("new", "1"), 1},
		{"file_gone", "a/new.yaml", "", 0}, // as at first
		{"new_folder", "a/sub/new.yaml", configMap("new", "1"), 1},
		{"new_kustomization", "a/kustomization.yaml", "resources: [one.yaml]", 1},
	} {
		t.Run(step.name, func(t *testing.T) {
			if s.files[step.path] = step.text; step.text == "" {
				delete(s.files, step.path)
			}
			before := s.renders
			s.commit()
			if _, err := s.render("./a"); err != nil {
				t.Fatal(err)
			}
			if got := s.renders - before; got != step.renders {
				t.Errorf("%d renders, want %d", got, step.renders)
			}
		})
	}
}

// TestNewest_random changes trees at random, and compares each answer of the cache with a new render.
func TestNewest_random(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		s := newSource(t, map[string]string{"a/x.yaml": configMap("x", "0")})
		for step := range 25 {
			change(random, s.files)
			s.commit()
			for _, path := range []string{"./a", "./a/b", "./c"} {
				got, gotErr := s.render(path)
				want, wantErr := kustomize.Renderer{}.Render(t.Context(), render.Request{Renderer: kustomize.Name,
					Spec: s.spec(path), Root: s.artifacts.Path(*s.last), Salt: s.cache.salt})
				if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
					t.Fatalf("seed %d, step %d, %s: %v, want %v\n%v", seed, step, path, gotErr, wantErr, s.files)
				}
				if wantErr != nil {
					continue
				}
				fresh, err := NewRendering(want)
				s.must(err)
				if !slices.Equal(got.variant.Objects, fresh.variant.Objects) || !maps.Equal(got.variant.Reads.Facts,
					fresh.variant.Reads.Facts) {
					t.Fatalf("seed %d, step %d, %s: %v, want %v\n%v", seed, step, path, got.variant, fresh.variant, s.files)
				}
			}
		}
	}
}

// change adds, changes or removes some files of a tree.
func change(random *rand.Rand, files map[string]string) {
	folders := []string{"a", "a/b", "c", "a/b/d"}
	for range 1 + random.IntN(2) {
		folder := folders[random.IntN(len(folders))]
		name := []string{"x.yaml", "y.yaml", "README.md", "kustomization.yaml", "b", "d"}[random.IntN(6)]
		path := folder + "/" + name
		for p := range files { // what is a folder is no file
			if len(p) > len(path) && p[:len(path)+1] == path+"/" || len(path) > len(p) && path[:len(p)+1] == p+"/" {
				delete(files, p)
			}
		}
		switch {
		case random.IntN(3) == 0:
			delete(files, path)
		case name == "kustomization.yaml":
			files[path] = []string{"resources: [x.yaml]", "resources: [../c]", "resources: [x.yaml, y.yaml]"}[random.IntN(3)]
		default:
			files[path] = configMap(name[:1], fmt.Sprint(random.IntN(3)))
		}
	}
	if len(files) == 0 {
		files["README.md"] = "empty"
	}
}
