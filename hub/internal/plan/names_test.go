package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/navefleet/nave/hub/internal/store"
)

// TestBadNames commits a Kustomization or a source with a name that no API server accepts. Only that object is refused:
// a change of another one reaches the cluster in a bundle.
func TestBadNames(t *testing.T) {
	long := strings.Repeat("x", 40_000)
	for name, test := range map[string]struct{ kind, metadata, want string }{
		"no_namespace":      {"Kustomization", "name: x", "Kustomization x: metadata.namespace: Required value"},
		"empty_namespace":   {"Kustomization", "name: x, namespace: ''", "metadata.namespace: Required value"},
		"slash":             {"Kustomization", "name: x, namespace: a/b", "metadata.namespace: Invalid value"},
		"upper_case":        {"Kustomization", "name: X, namespace: n", "metadata.name: Invalid value"},
		"long_name":         {"Kustomization", "namespace: n, name: " + long, "metadata.name: Invalid value"},
		"source":            {"GitRepository", "name: x", "GitRepository x: metadata.namespace: Required value"},
		"long_source":       {"GitRepository", "namespace: n, name: " + long, "metadata.name: Invalid value"},
		"unsupported_kind":  {"Receiver", "name: x", "Receiver x"},
		"unknown_kind":      {"Other", "name: x, namespace: a/b", "unknown kind Other"},
		"unknown_long_kind": {"O" + long, "name: x, namespace: n", "unknown kind"},
	} {
		t.Run(name, func(t *testing.T) {
			group := "kustomize.toolkit.fluxcd.io"
			if test.kind == "GitRepository" {
				group = "source.toolkit.fluxcd.io"
			}
			archive := fleet(1)
			archive.Files = append(archive.Files, txtar.File{Name: "two/root/bad.yaml", Data: fmt.Appendf(nil,
				"apiVersion: %s/v1\nkind: %s\nmetadata: {%s}\n", group, test.kind, test.metadata)})
			s := newStory(t, archive)
			for _, command := range [][]string{
				{"apply", "hub.yaml"}, {"fetch", "fleet", "main@sha1:1", "one"}, {"plan"},
				{"fetch", "fleet", "main@sha1:2", "two"}, {"plan"}, {"quiet"},
			} {
				s.play(command)
			}
			s.encodeAll()
			isNew := func(e store.Entry) bool { return e.Revision == "main@sha1:2" }
			if !slices.ContainsFunc(s.plan("c0000").Applications, isNew) {
				t.Errorf("the change is not in the plan: %v", s.plan("c0000"))
			}
			root := get(s, store.Conditions, "c0000/Kustomization/flux-system/root")
			if root.Reason != "ObjectRefused" || !strings.Contains(root.Message, test.want) {
				t.Errorf("got %s: %.300s, want %s", root.Reason, root.Message, test.want)
			}
		})
	}
}

// encodeAll checks that a bundle can be made of the plan of each cluster.
func (s *story) encodeAll() {
	s.t.Helper()
	s.must(s.store.View(s.t.Context(), func(tx *store.Tx) error {
		return store.Plans.Scan(tx, "", func(cluster string, plan store.Plan) error {
			b := bundleOf(plan)
			b.Cluster, b.Sequence, b.IssuedAt, b.ExpiresAt = cluster, 1, s.now, s.now.Add(time.Hour)
			_, err := b.Encode()
			return err
		})
	}))
}
