package kustomize

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
)

// growTree makes a tree whose build reads files, lists directories, misses paths and follows links.
func growTree(t testing.TB) string {
	root := t.TempDir()
	for name, content := range map[string]string{
		"apps/kustomization.yaml": "resources: [../base, linked.yaml]\n",
		"base/kustomization.yml":  "configMapGenerator: [{name: a, files: [a.txt]}]\n",
		"base/a.txt":              "content",
		"files/one.yaml":          "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n",
		"files/two.yaml":          "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: two}\n",
		"unrelated/x.yaml":        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n",
		"plain/deep/one.yaml":     "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n",
	} {
		plant(t, root, name, []byte(content))
	}
	if err := os.Symlink("../files/one.yaml", filepath.Join(root, "apps/linked.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("plain", filepath.Join(root, "way")); err != nil {
		t.Fatal(err)
	}
	return root
}

// TestReads checks that reads change exactly if the build may change.
func TestReads(t *testing.T) {
	changes := []struct {
		name     string
		path     string
		change   func(root string) error
		affected bool
	}{
		{"nothing", "apps", func(string) error { return nil }, false},
		{"file_elsewhere", "apps", write("unrelated/x.yaml", "changed"), false},
		{"new_file_elsewhere", "apps", write("unrelated/y.yaml", "new"), false},
		{"new_file_beside_listed_one", "apps", write("apps/new.yaml", "new"), false},
		{"read_file", "apps", write("base/a.txt", "changed"), true},
		{"linked_file", "apps", write("files/one.yaml", "kind: changed"), true},
		{"kustomization_file", "apps", write("apps/kustomization.yaml", "resources: [../base]\n"), true},
		{"second_kustomization_file", "apps", write("apps/Kustomization", "resources: []\n"), true},
		{"removed_file", "apps", func(root string) error { return os.Remove(filepath.Join(root, "base/a.txt")) }, true},
		{"new_file_in_whole_directory", "plain", write("plain/deep/two.yaml", "x"), true},
		{"new_kustomization_file_below", "plain", write("plain/deep/kustomization.yaml", "resources: []\n"), true},
		{"new_directory", "plain", write("plain/other/x.txt", "x"), true},
		{"link_on_path", "way", func(root string) error {
			if err := os.Remove(filepath.Join(root, "way")); err != nil {
				return err
			}
			return os.Symlink("unrelated", filepath.Join(root, "way"))
		}, true},
	}
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			result, err := buildTree(t.Context(), growTree(t), Spec{Name: "a", Namespace: "b", Path: c.path})
			if err != nil {
				t.Fatal(err)
			}
			other := growTree(t)
			if err := c.change(other); err != nil {
				t.Fatal(err)
			}
			if unchanged(result.Reads, other) == c.affected {
				t.Errorf("unchanged is %t", c.affected)
			}
		})
	}
}

// TestProbeSeveralReads checks that a probe judges each of several reads as if it were the only one.
func TestProbeSeveralReads(t *testing.T) {
	trees := []string{growTree(t), growTree(t), growTree(t)}
	for i, change := range []func(string) error{
		write("base/a.txt", "changed"), write("plain/deep/two.yaml",
			"kind: ConfigMap\napiVersion: v1\nmetadata: {name: two}\n"),
	} {
		if err := change(trees[i]); err != nil {
			t.Fatal(err)
		}
	}
	var reads []render.Reads
	for _, root := range trees {
		for _, path := range []string{"apps", "plain", "way", "files", "base"} {
			result, err := buildTree(t.Context(), root, Spec{Name: "a", Namespace: "b", Path: path})
			if err != nil {
				t.Fatal(err)
			}
			reads = append(reads, result.Reads)
		}
	}
	for i, root := range trees {
		for first := range reads {
			probe := tree.NewProbe(root)
			for n := range reads {
				r := reads[(first+n)%len(reads)]
				if got, want := probe.Unchanged(r), unchanged(r, root); got != want {
					t.Errorf("tree %d, reads %d after those from %d: unchanged is %t, alone %t", i, (first+n)%len(reads), first,
						got, want)
				}
			}
			probe.Close()
		}
	}
}

func write(name, content string) func(string) error {
	return func(root string) error {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		return os.WriteFile(file, []byte(content), 0o600)
	}
}

// TestReadsJSON checks that reads survive JSON.
func TestReadsJSON(t *testing.T) {
	root := growTree(t)
	result, err := buildTree(t.Context(), root, Spec{Name: "a", Namespace: "b", Path: "apps"})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(result.Reads)
	if err != nil {
		t.Fatal(err)
	}
	var back render.Reads
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if !unchanged(back, root) {
		t.Error("changed by JSON")
	}
	again, err := json.Marshal(back)
	if err != nil || !bytes.Equal(data, again) {
		t.Errorf("not canonical: %s and %s (%v)", data, again, err)
	}
	if unchanged(render.Reads{}, root) {
		t.Error("the zero Reads holds of every tree")
	}
	if unchanged(back, filepath.Join(root, "missing")) {
		t.Error("unchanged in a tree that is not there")
	}
}
