package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestSetData_missing tells an object that no file has from a key that the object lacks, with what there is.
func TestSetData_missing(t *testing.T) {
	root, other := chartWorkspace(t), t.TempDir()
	write(t, other, "settings.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: apps}\n"+
		"data: {x: \"\", value.yaml: \"color: blue\"}\n")
	const about = "HelmRelease apps/app: spec.valuesFrom[0]: ConfigMap apps/settings, key values.yaml: "
	for name, c := range map[string]struct {
		more []string
		want string
	}{
		"object": {nil, about + "no such object in the files: name a file that has it with --values-from"},
		"key":    {[]string{"--values-from", other}, about + "no such key in the object, which has: value.yaml, x"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"build", "helmrelease", filepath.Join(root, "hr.yaml"), "--chart",
				filepath.Join(root, "charts/app")}, c.more...)
			if out, err := run(t, args...); err == nil || !strings.Contains(err.Error(), c.want) || out != "" {
				t.Errorf("%v, printed %q, want %s", err, out, c.want)
			}
		})
	}
}
