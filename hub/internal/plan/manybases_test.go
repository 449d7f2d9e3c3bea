package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
)

const chainRoot = `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: chain, namespace: flux-system}
spec: {interval: 10m, prune: true, path: ./chain, sourceRef: {kind: GitRepository, name: fleet}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: other, namespace: flux-system}
spec: {interval: 10m, prune: true, path: ./other, sourceRef: {kind: GitRepository, name: fleet}}
`

// chainBase is the kustomization file of the base with a number, which names the next one.
func chainBase(n int) []byte {
	return fmt.Appendf(nil, "resources: ['https://github.com/acme/base-%03d', own.yaml]\n", n+1)
}

func chainObject(name, value string) []byte {
	return fmt.Appendf(nil, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {k: %q}\n", name, value)
}

// TestRemoteBases_chain has a Kustomization with a base that names a base, and so on. As many as the limit are built.
// With one more it keeps what it had, its message names the chain, and nothing else notices.
func TestRemoteBases_chain(t *testing.T) {
	a := &txtar.Archive{Files: []txtar.File{
		{Name: "hub.yaml", Data: fmt.Appendf(nil, historyHub, "prod")},
		{Name: "one/root/root.yaml", Data: []byte(chainRoot)},
		{Name: "one/other/own.yaml", Data: chainObject("other", "one")},
		{Name: "one/chain/kustomization.yaml", Data: chainBase(0)}, {Name: "one/chain/own.yaml", Data: chainObject("a", "1")},
	}}
	for i := 1; i <= render.MaxMounts+1; i++ {
		a.Files = append(a.Files, txtar.File{Name: fmt.Sprintf("%d/kustomization.yaml", i), Data: chainBase(i)},
			txtar.File{Name: fmt.Sprintf("%d/own.yaml", i), Data: chainObject(fmt.Sprint("b", i), "1")})
	}
	end := []txtar.File{{Name: "end/own.yaml", Data: chainObject("end", "1")},
		{Name: "end/kustomization.yaml", Data: []byte("resources: [own.yaml]\n")}}
	two := []txtar.File{{Name: "two/root/root.yaml", Data: []byte(chainRoot)},
		{Name: "two/other/own.yaml", Data: chainObject("other", "two")},
		{Name: "two/chain/kustomization.yaml", Data: chainBase(0)}, {Name: "two/chain/own.yaml", Data: chainObject("a", "2")}}
	a.Files = slices.Concat(a.Files, end, two)
	s := newStory(t, a)
	s.play([]string{"apply", "hub.yaml"})
	s.play([]string{"fetch", "fleet", "main@sha1:1", "one"})
	s.play([]string{"remotes", "github.com"})
	s.play([]string{"plan"})
	for i := 1; i < render.MaxMounts; i++ {
		s.play([]string{"fetch", fmt.Sprintf("base-%03d", i), "HEAD@sha1:a", fmt.Sprint(i)})
		s.play([]string{"plan"})
	}
	last := fmt.Sprintf("base-%03d", render.MaxMounts)
	s.play([]string{"fetch", last, "HEAD@sha1:a", "end"})
	s.play([]string{"plan"})
	before := s.digestOf("chain")
	if c := s.conditionOf("chain"); c.Ready != condition.True || before == "" {
		t.Fatalf("with %d bases it is %+v", render.MaxMounts, c)
	}

	s.play([]string{"fetch", last, "HEAD@sha1:b", fmt.Sprint(render.MaxMounts)})
	s.play([]string{"fetch", "fleet", "main@sha1:2", "two"})
	s.play([]string{"plan"})
	c := s.conditionOf("chain")
	for _, want := range []string{"more than 64 remote bases", "each named by the one before: " +
		"https://github.com/acme/base-001, " +
		"https://github.com/acme/base-002, https://github.com/acme/base-003, 59 more, https://github.com/acme/base-063, " +
		"https://github.com/acme/base-064, https://github.com/acme/base-065"} {
		if c.Ready != condition.False || !strings.Contains(c.Message, want) {
			t.Errorf("the message lacks %q: %+v", want, c)
		}
	}
	if after := s.digestOf("chain"); after != before {
		t.Errorf("it runs %s, and ran %s", after, before)
	}
	if c := s.conditionOf("other"); c.Ready != condition.True || c.Revision != "main@sha1:2" {
		t.Errorf("the other one is %+v", c)
	}
	s.play([]string{"quiet"})
}

// conditionOf returns the condition of a Kustomization of the cluster.
func (s *story) conditionOf(name string) store.Condition {
	s.t.Helper()
	var c store.Condition
	s.must(s.store.View(s.t.Context(), func(tx *store.Tx) (err error) {
		key := api.Key{Cluster: "east", Kind: api.KustomizationKind, Namespace: "flux-system", Name: name}
		c, _, err = store.Conditions.Get(tx, key.Path())
		return err
	}))
	return c
}

// digestOf returns the digest that the plan of the cluster has of a Kustomization.
func (s *story) digestOf(name string) (digest string) {
	s.t.Helper()
	s.must(s.store.View(s.t.Context(), func(tx *store.Tx) error {
		plan, _, err := store.Plans.Get(tx, "east")
		for _, e := range plan.Applications {
			if e.Name.Name == name {
				digest = e.Digest.String()
			}
		}
		return err
	}))
	return digest
}
