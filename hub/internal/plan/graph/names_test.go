package graph

import (
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// FuzzNames walks a root that gives a good Kustomization and an object with any kind and names. Whatever they are, the
// good Kustomization has an Application, the store can have all conditions, and a bundle can name all that is pending.
func FuzzNames(f *testing.F) {
	for _, names := range [][3]string{
		{"Kustomization", "n", "x"}, {"Kustomization", "", "x"}, {"Kustomization", "n", ""}, {"Kustomization", "", ""},
		{"Kustomization", "a/b", "x"}, {"Kustomization", "n", "a/b"}, {"Kustomization", "N_", "X y"},
		{"Kustomization", "n", strings.Repeat("x", 40_000)}, {"Kustomization", "n", "\xff"},
		{"GitRepository", "", "x"}, {"A/B", "n", "x"},
	} {
		f.Add(names[0], names[1], names[2])
	}
	f.Fuzz(func(t *testing.T, kind, namespace, name string) {
		group := api.Key{Kind: kind}.Identity().Group
		if group == "" {
			group = api.GroupKustomize
		}
		o := &manifest.Object{Object: map[string]any{
			"apiVersion": group + "/v1", "kind": kind, "metadata": map[string]any{"name": name, "namespace": namespace},
		}}
		child := Child{Key: api.KeyOf(o)}
		child.Object, child.Err = api.Admit(o, api.ClusterGraph)
		g := walked(t, rootGiving(child))
		checkNames(t, g)
	})
}

// rootGiving returns a walk of a root that gives the Kustomization good and another child.
func rootGiving(child Child) Input {
	fleet := api.FleetKey("f")
	good := Child{Key: keyOf("Kustomization", "good"), Object: named("good")}
	return Input{
		Cluster:   "east",
		Roots:     []Root{{Key: keyOf("Kustomization", "root").In("east"), Owner: &fleet, Object: named("root")}},
		HubSource: func(api.Key) *api.Object { return repository(0, 0) },
		Contents:  func(manifest.Digest) ([]manifest.ID, error) { return nil, nil },
		Render: func(works []Work) (results []Result) {
			for _, w := range works {
				r := Result{Revision: "r", Rendered: &Rendered{}}
				if w.Key.Name == "root" {
					r.Rendered.Children = []Child{good, child}
				}
				results = append(results, r)
			}
			return results
		},
	}
}

func checkNames(t *testing.T, g *Graph) {
	t.Helper()
	root, good := keyOf("Kustomization", "root").In("east"), keyOf("Kustomization", "good").In("east")
	if f := g.Findings[root]; f.Ready || f.Reason != condition.ObjectRefused {
		t.Errorf("root: %+v", f)
	}
	if f := g.Findings[good]; !f.Ready {
		t.Errorf("good: %+v", f)
	}
	for key := range g.Findings {
		if !key.HasPath() {
			t.Errorf("the store cannot have a condition of %q", key)
		}
	}
	now := time.Now()
	b := bundle.Bundle{Cluster: "east", Sequence: 1, IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
	for _, key := range g.Pending {
		b.Pending = append(b.Pending, key.Application())
	}
	if _, err := b.Encode(); err != nil {
		t.Error(err)
	}
}
