package kustomize

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// manyFiles makes a tree of n one-object files.
func manyFiles(t testing.TB, n int) string {
	dir := t.TempDir()
	for i := range n {
		content := fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: cm-%04d\n  namespace: default\n  "+
			"labels:\n    app: demo\n"+
			"data:\n  key: \"value-%d\"\n  other: |\n    some text\n    more text\n", i, i)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("cm-%04d.yaml", i)), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func BenchmarkBuild1000Files(b *testing.B) {
	plain := manyFiles(b, 1000)
	listed, labelled := manyFiles(b, 1000), manyFiles(b, 1000)
	var k strings.Builder
	k.WriteString("namespace: other\nresources:\n")
	for i := range 1000 {
		fmt.Fprintf(&k, "- cm-%04d.yaml\n", i)
	}
	text := strings.Replace(k.String(), "namespace: other", "commonLabels: {a: b}", 1)
	if err := os.WriteFile(filepath.Join(labelled, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(listed, "kustomization.yaml"), []byte(k.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	spec := Spec{Name: "apps", Namespace: "flux-system"}
	for name, dir := range map[string]string{"plain": plain, "namespace": listed, "labels": labelled} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				result, err := buildTree(b.Context(), dir, spec)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := result.Encode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	result, err := buildTree(b.Context(), plain, spec)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("unchanged", func(b *testing.B) {
		for b.Loop() {
			if !unchanged(result.Reads, plain) {
				b.Fatal("changed")
			}
		}
	})
}
