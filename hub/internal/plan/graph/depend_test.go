package graph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// walked walks a graph.
func walked(t *testing.T, in Input) *Graph {
	t.Helper()
	g, err := Walk(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// spec is a Kustomization of a made-up graph: its name, and what its spec has besides the required fields. It gives
// the Kustomizations in gives; those that no other gives are given by the root.
type spec struct {
	name, extra string
	payload     []string // ConfigMaps
	gives       []string
}

// made returns the Input of a graph of Kustomizations in the namespace n.
func made(specs ...spec) Input {
	fleet := api.FleetKey("f")
	root := spec{name: "root"}
	given := map[string]bool{}
	for _, s := range specs {
		for _, name := range s.gives {
			given[name] = true
		}
	}
	rendered, objects := map[string]*Rendered{}, map[string]*api.Object{}
	for _, s := range specs {
		objects[s.name] = specified(s)
		if !given[s.name] {
			root.gives = append(root.gives, s.name)
		}
	}
	for _, s := range append(specs, root) {
		r := &Rendered{}
		for _, name := range s.gives {
			r.Children = append(r.Children, Child{Key: keyOf("Kustomization", name), Object: objects[name]})
		}
		for _, name := range s.payload {
			r.Payload = append(r.Payload, bundle.ObjectReference{
				ObjectIdentity: bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "n", Name: name}})
		}
		rendered[s.name] = r
	}
	return Input{
		Cluster:   "east",
		Roots:     []Root{{Key: keyOf("Kustomization", "root").In("east"), Owner: &fleet, Object: specified(root)}},
		HubSource: func(api.Key) *api.Object { return repository(0, 0) },
		Contents:  func(manifest.Digest) ([]manifest.ID, error) { return nil, nil },
		Object: func(_ Application, id manifest.ID) (*manifest.Object, error) {
			return &manifest.Object{Object: map[string]any{"apiVersion": "v1", "kind": id.Kind,
				"metadata": map[string]any{"name": id.Name}, "data": map[string]any{"a": "b"}}}, nil
		},
		Render: func(works []Work) (results []Result) {
			for _, w := range works {
				results = append(results, Result{Revision: "r", Rendered: rendered[w.Key.Name]})
			}
			return results
		},
	}
}

func specified(s spec) *api.Object {
	return api.StoredObject(keyOf("Kustomization", s.name), fmt.Appendf(nil,
		`{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":%q,"namespace":"n"},`+
			`"spec":{"interval":"10m0s","prune":true,"path":"./%s"%s,"sourceRef":{"kind":"GitRepository","name":"s"}}}`,
		s.name, s.name, s.extra))
}

func numbered(i int) string { return fmt.Sprintf("k%05d", i) }

// chained returns n Kustomizations, each of which names the next one in its spec; the last names one that is missing,
// or the first.
func chained(n int, ring bool, format string) (specs []spec) {
	for i := range n {
		next := i + 1
		if ring {
			next %= n
		}
		specs = append(specs, spec{name: numbered(i), extra: fmt.Sprintf(format, numbered(next))})
	}
	return specs
}

const (
	dependsOn = `,"dependsOn":[{"name":%q}]`
	checks    = `,"healthChecks":[{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization",` +
		`"namespace":"n","name":%q}]`
)

// all returns a spec that depends on n Kustomizations.
func all(n int) string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf(`{"name":%q}`, numbered(i)))
	}
	return `,"dependsOn":[` + strings.Join(names, ",") + `]`
}

// TestWalk_many walks graphs whose edges are many or in long chains. Each walk ends in a time that does not grow faster
// than the edges, with messages of a bounded length.
func TestWalk_many(t *testing.T) {
	const n = 1000
	dense := func() (specs []spec) {
		for i := range 150 {
			specs = append(specs, spec{name: numbered(i), extra: all(150)})
		}
		return specs
	}
	alternating := func(n int) (specs []spec) { // each gives the one that the next one depends on
		for i := range n {
			specs = append(specs,
				spec{name: numbered(i), extra: fmt.Sprintf(dependsOn, fmt.Sprint("c", i)), gives: []string{fmt.Sprint("c", i+1)}},
				spec{name: fmt.Sprint("c", i+1)})
		}
		return specs
	}
	for name, c := range map[string]struct {
		specs  []spec
		reason string // of k00000
		text   string
		count  int // of that reason
	}{
		"missing_end": {chained(n, false, dependsOn), condition.DependencyNotReady,
			"dependency Kustomization n/k00001 is not ready: DependencyNotReady", n - 1},
		"ring": {chained(n, true, dependsOn), condition.DependencyCycle, "dependsOn forms cycles through ", n},
		"small_ring": {chained(30, true, dependsOn), condition.DependencyCycle,
			"dependsOn forms a cycle: n/k00000 → n/k00001 → n/k00002 → n/k00003 → n/k00004 → n/k00005 → n/k00006 → " +
				"n/k00007 → 22 more → n/k00000", 30},
		"dense": {dense(), condition.DependencyCycle, "dependsOn forms cycles through ", 150},
		"included": {append(chained(n, false, checks), spec{name: "bad", extra: fmt.Sprintf(dependsOn, "none")},
			spec{name: numbered(n), extra: fmt.Sprintf(checks, "bad")},
			spec{name: "last", extra: fmt.Sprintf(dependsOn, numbered(0))}), condition.DependencyNotReady, "", 1},
		"turns": {alternating(maxWaves), condition.DependencyNotFound,
			"dependency Kustomization n/c0 does not exist; waiting for it to be created", maxWaves},
		"many_turns": {alternating(n / 10), condition.DependencyNotReady, "", n/10 - maxWaves},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			g := walked(t, made(c.specs...))
			if spent := time.Since(start); spent > 5*time.Second {
				t.Errorf("the walk took %s", spent)
			}
			count := 0
			for key, f := range g.Findings {
				if f.Reason == c.reason {
					count++
				}
				if len(f.Message) > 1000 {
					t.Errorf("the message about %s has %d bytes", key, len(f.Message))
				}
			}
			if f := g.Findings[keyOf("Kustomization", numbered(0)).In("east")]; count != c.count ||
				c.text != "" && (f.Reason != c.reason || !strings.HasPrefix(f.Message, c.text)) {
				t.Errorf("%d are %s, want %d; k00000: %+v", count, c.reason, c.count, f)
			}
		})
	}
}

// TestWalk_included names the object at the end of a chain of renderables that include each other's readiness.
func TestWalk_included(t *testing.T) {
	g := walked(t, made(
		spec{name: "app", extra: fmt.Sprintf(dependsOn, "infra")}, spec{name: "infra", extra: fmt.Sprintf(checks, "net")},
		spec{name: "net", extra: fmt.Sprintf(checks, "dns")}, spec{name: "dns", extra: fmt.Sprintf(dependsOn, "none")}))
	want := "dependency Kustomization n/infra is not ready: it waits for Kustomization n/dns (DependencyNotFound)"
	if f := g.Findings[keyOf("Kustomization", "app").In("east")]; f.Message != want {
		t.Errorf("message %q, want %q", f.Message, want)
	}
}

// TestWalk_ends ends a walk with its context.
func TestWalk_ends(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	in := made(chained(3, false, dependsOn)...)
	render, levels := in.Render, 0
	in.Render = func(works []Work) []Result {
		levels++
		cancel()
		return render(works)
	}
	if g, err := Walk(ctx, in); !errors.Is(err, context.Canceled) || g != nil || levels != 1 {
		t.Errorf("%v, %v after %d levels", g, err, levels)
	}
}

// FuzzCycles compares the groups of cycles with what a search from each object finds.
func FuzzCycles(f *testing.F) {
	f.Add([]byte{0, 1, 1, 2, 2, 0, 3, 3, 4, 0})
	f.Add([]byte{0, 1, 1, 2, 2, 1, 2, 3, 3, 0, 4, 5, 5, 6})
	f.Fuzz(func(t *testing.T, data []byte) {
		edges := map[api.Key][]api.Key{}
		var keys []api.Key
		for i := 0; i+1 < len(data) && i < 60; i += 2 {
			from, to := keyOf("K", fmt.Sprint(data[i]%12)), keyOf("K", fmt.Sprint(data[i+1]%12))
			edges[from] = append(edges[from], to)
			keys = append(keys, from)
		}
		groups := findCycles(edges, keys)
		for _, key := range keys {
			circle := circleOf(key, edges)
			if (circle != nil) != (groups[key] != nil) {
				t.Fatalf("%s is in the group %v and on the cycle %v", key, groups[key], circle)
			}
			for _, member := range groups[key] {
				if !slices.Equal(groups[member], groups[key]) {
					t.Fatalf("the groups of %s and %s differ", key, member)
				}
			}
		}
	})
}
