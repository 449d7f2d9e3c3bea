package worker

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/internal/confine"
	"github.com/navefleet/nave/hub/internal/render"
)

// TestGrowth builds trees of a few lines from which kustomize makes gigabytes. Each fails only its own build.
func TestGrowth(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no limit on memory on this system")
	}
	if testing.Short() {
		t.Skip("it takes memory and time until it is stopped")
	}
	p := newPool(t, Config{Workers: 1, Memory: 400 << 20, Timeout: 6 * time.Second}, Command)
	for name, files := range map[string]map[string]string{
		"patch": copying(), "bases": diamond(), "replacement": doubling(),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := p.Render(t.Context(), tree(t, files))
			var died *confine.DiedError
			stopped := errors.Is(err, confine.ErrMemory) || errors.Is(err, confine.ErrTimeout) ||
				errors.Is(err, confine.ErrOutput)
			if !stopped && !errors.As(err, &died) && !errors.Is(err, render.ErrLarge) && !errors.Is(err, render.ErrLimit) {
				t.Errorf("error %v", err)
			}
			if _, err := p.Render(t.Context(), tree(t, map[string]string{"a.yaml": object("a")})); err != nil {
				t.Errorf("the next build: %v", err)
			}
		})
	}
}

// copying returns a patch that copies all data of an object into it, again and again.
func copying() map[string]string {
	var patch strings.Builder
	for i := range 40 {
		fmt.Fprintf(&patch, "    - {op: copy, from: /data, path: /data/k%d}\n", i)
	}
	return map[string]string{
		"kustomization.yaml": "resources: [a.yaml]\npatches:\n- target: {kind: X}\n  patch: |\n" + patch.String(),
		"a.yaml":             "apiVersion: example.com/v1\nkind: X\nmetadata: {name: a}\ndata: {k: v}\n",
	}
}

// diamond returns bases that each include the one below twice, under different names.
func diamond() map[string]string {
	files := map[string]string{"b0/kustomization.yaml": "resources: [a.yaml]\n", "b0/a.yaml": object("a")}
	const levels = 24
	for i := 1; i <= levels; i++ {
		for _, side := range []string{"l", "r"} {
			files[fmt.Sprintf("%s%d/kustomization.yaml", side, i)] = fmt.Sprintf("namePrefix: %s-\nresources: [../b%d]\n",
				side, i-1)
		}
		files[fmt.Sprintf("b%d/kustomization.yaml", i)] = fmt.Sprintf("resources: [../l%d, ../r%d]\n", i, i)
	}
	files["kustomization.yaml"] = fmt.Sprintf("resources: [b%d]\n", levels)
	return files
}

// doubling returns replacements that put a text into many places of another text, and that one into the next.
func doubling() map[string]string {
	var fields, replacements strings.Builder
	for i := range 12 {
		fmt.Fprintf(&fields, "  k%d: \"x%s\"\n", i, strings.Repeat(",x", 9))
		if i == 0 {
			continue
		}
		for part := range 10 {
			fmt.Fprintf(&replacements, "- source: {kind: ConfigMap, fieldPath: data.k%d}\n"+
				"  targets: [{select: {kind: ConfigMap}, fieldPaths: [data.k%d], options: {delimiter: \",\", index: "+
				"%d}}]\n", i-1, i, 9-part)
		}
	}
	return map[string]string{
		"kustomization.yaml": "resources: [a.yaml]\nreplacements:\n" + replacements.String(),
		"a.yaml":             "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n" + fields.String(),
	}
}
