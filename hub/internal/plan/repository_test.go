package plan

import (
	"fmt"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestRepositoryRenders counts the renders of a repository of 130 Kustomizations. A commit that touches one
// Kustomization renders one, and a commit or a restart that touches none renders none.
func TestRepositoryRenders(t *testing.T) {
	const kustomizations = 130
	archive := fleet(1)
	put := func(tree, path, format string, args ...any) {
		archive.Files = append(archive.Files, txtar.File{Name: tree + "/" + path, Data: fmt.Appendf(nil, format, args...)})
	}
	for _, tree := range []string{"first", "other", "touched"} {
		for i := range kustomizations {
			value := "same"
			if tree == "touched" && i == 17 {
				value = "changed"
			}
			put(tree, fmt.Sprintf("root/app-%03d.yaml", i), "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n"+
				"metadata: {name: app-%03[1]d, namespace: flux-system}\nspec: {interval: 1h, prune: true, path: ./apps/%[1]d, "+
				"sourceRef: {kind: GitRepository, name: fleet}}\n", i)
			put(tree, fmt.Sprintf("apps/%d/app.yaml", i), "apiVersion: v1\nkind: ConfigMap\n"+
				"metadata: {name: app-%03d, namespace: default}\ndata: {value: %s}\n", i, value)
		}
		put(tree, "README.md", "tree %s", tree)
	}
	s := newStory(t, archive)
	s.play([]string{"apply", "hub.yaml"})
	for i, step := range []struct{ tree, renders string }{
		{"first", fmt.Sprint(1 + kustomizations)}, {"other", "0"}, {"touched", "1"},
	} {
		s.play([]string{"fetch", "fleet", fmt.Sprintf("main@sha1:%d", i), step.tree})
		s.play([]string{"plan"})
		s.play([]string{"renders", step.renders})
	}
	s.restart()
	s.play([]string{"plan"})
	s.play([]string{"renders", "0"})
	s.play([]string{"fetch", "fleet", "main@sha1:9", "other"})
	s.play([]string{"plan"})
	s.play([]string{"renders", "0"}) // remembered in the store
}
