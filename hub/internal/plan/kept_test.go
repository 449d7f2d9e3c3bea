package plan

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/kustomize"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// fixed is a renderer whose results have the objects for the path.
type fixed map[string]func() []*manifest.Object

func (g fixed) Render(ctx context.Context, req render.Request) (*render.Result, error) {
	var spec kustomize.Spec
	if err := json.Unmarshal(req.Spec, &spec); err != nil {
		return nil, err
	}
	objects, known := g[spec.Path]
	if known && spec.Path != "./first" { // a path that the tree has
		req.Spec = json.RawMessage(`{"path":"./root"}`)
	}
	result, err := renderers.Render(ctx, req)
	if err == nil && known {
		result.Objects = objects()
	}
	return result, err
}

// renders returns a Kustomization that renders the path of its name, with more fields of its spec.
func renders(name string, more ...string) *manifest.Object {
	k := kustomization(name)
	spec := k.Object["spec"].(map[string]any)
	spec["path"] = "./" + name
	for _, field := range more {
		if on, depends := strings.CutPrefix(field, "after "); depends {
			spec["dependsOn"] = []any{map[string]any{"name": on}}
		} else {
			spec[field] = true
		}
	}
	return k
}

// tree are the objects of Kustomizations by name; those of the root are under "first".
type tree map[string][]*manifest.Object

func (t tree) renderer() fixed {
	g := fixed{}
	for name, objects := range t {
		g["./"+name] = func() (copies []*manifest.Object) {
			for _, o := range objects {
				copies = append(copies, o.DeepCopy())
			}
			return copies
		}
	}
	return g
}

// TestBundleTooLarge_confirmed lets applications go while no bundle holds the next plan.
func TestBundleTooLarge_confirmed(t *testing.T) {
	apart := tree{"a": {configMap("a", 1)}, "b": {configMap("b", 1)}, "c": {configMap("c", 1)}}
	with := func(more tree) tree {
		all := maps.Clone(apart)
		maps.Copy(all, more)
		return all
	}
	for name, tt := range map[string]struct {
		before, after tree
		confirm       []string
		want          string // the applications that stay, beside the root
	}{
		"goes": {
			with(tree{"first": {renders("a"), renders("b")}}), with(tree{"first": {renders("b")}}), []string{"a"}, "b",
		},
		"taken_over": {
			with(tree{"first": {renders("a"), renders("b")}}),
			with(tree{"first": {renders("b")}, "b": {configMap("a", 1)}}), []string{"a"}, "a b",
		},
		"depended_on": {
			with(tree{"first": {renders("a"), renders("b", "after a")}}),
			with(tree{"first": {renders("b")}}), []string{"a"}, "a b",
		},
		"with_its_dependent": {
			with(tree{"first": {renders("a"), renders("b", "after a")}}),
			with(tree{"first": {renders("c")}}), []string{"a", "b"}, "",
		},
		"without_its_dependent": {
			with(tree{"first": {renders("a"), renders("b", "after a")}}),
			with(tree{"first": {renders("c")}}), []string{"a"}, "a b",
		},
		"health_checked": {
			with(tree{"first": {renders("b", "wait")}, "b": {renders("a")}}),
			with(tree{"first": {renders("b", "wait")}, "b": {}}), []string{"a"}, "b",
		},
		"awaited": {
			with(tree{"first": {renders("b", "wait"), renders("c", "after b")}, "b": {renders("a")}}),
			with(tree{"first": {renders("b", "wait"), renders("c", "after b")}, "b": {}}), []string{"a"}, "a b c",
		},
		"above_another": {
			with(tree{"first": {renders("a"), renders("c")}, "a": {renders("b")}}), with(tree{"first": {renders("c")}}),
			[]string{"a"}, "a b c",
		},
		"another_moves": {
			with(tree{"first": {renders("a"), renders("c")}, "a": {renders("b")}}),
			with(tree{"first": {renders("b"), renders("c")}}),
			[]string{"a"}, "b c",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := pair(t)
			s.renderer.Renderer = tt.before.renderer()
			s.play([]string{"fetch", "fleet", "main@sha1:3", "two"})
			s.play([]string{"fetch", "other", "main@sha1:3", "three"})
			s.play([]string{"plan"})
			before := s.plan("c0000")
			s.renderer.Renderer = tt.after.renderer()
			s.play([]string{"fetch", "fleet", "main@sha1:4", "one"})
			s.play([]string{"fetch", "other", "main@sha1:4" + strings.Repeat("x", bundle.MaxBundleBytes), "two"})
			s.play([]string{"plan"})
			if o := get(s, store.Conditions, "/Cluster//c0000"); o.Reason != condition.BundleTooLarge {
				t.Fatalf("the Cluster: %s: %s", o.Reason, o.Message)
			}
			if got := s.plan("c0000"); len(got.Applications) != len(before.Applications) || len(got.Removals) > 0 {
				t.Fatalf("removed unconfirmed: %+v", got)
			}
			s.letGo(t, before, tt.confirm, tt.want)
		})
	}
}

// letGo confirms removals from the first cluster of pair, and checks the plan after the next two walks.
func (s *story) letGo(t *testing.T, before store.Plan, confirmed []string, want string) {
	t.Helper()
	content := map[string]store.Content{}
	for _, e := range before.Applications {
		content[e.Name.Name] = e.Content
	}
	path := func(name string) string { return "c0000/Kustomization/flux-system/" + name }
	var paths []string
	for _, name := range confirmed {
		paths = append(paths, path(name))
	}
	s.confirm("c0000", paths)
	for range 2 {
		s.play([]string{"plan"})
		plan, stay := s.plan("c0000"), map[string]bool{}
		for _, e := range plan.Applications {
			stay[e.Name.Name] = true
			if e.Content != content[e.Name.Name] {
				t.Errorf("the content of %s changed: %+v, was %+v", e.Name, e.Content, content[e.Name.Name])
			}
		}
		delete(stay, "root")
		if got := strings.Join(names(stay), " "); got != want {
			t.Errorf("%s stay, want %s", got, want)
		}
		removed := len(before.Applications) - len(plan.Applications)
		if len(plan.Removals) != removed || removed > 0 && !plan.Removals[0].Confirmed {
			t.Errorf("removals %+v", plan.Removals)
		}
		for _, name := range confirmed {
			known := get(s, store.Resources, path(name)).Object != nil
			_, waits := get(s, store.Confirmations, store.ConfirmationKey("c0000")).Removals[path(name)]
			if known != stay[name] || waits != stay[name] {
				t.Errorf("%s is a row: %t; its confirmation is kept: %t", name, known, waits)
			}
		}
		s.play([]string{"request", rootOfFirst, "again"})
	}
	s.play([]string{"carryout", "c0000"})
	s.play([]string{"request", rootOfFirst, "done"})
	s.play([]string{"plan"})
	if got := s.plan("c0000").Removals; len(got) > 0 {
		t.Errorf("carried out, and still removed: %+v", got)
	}
}
