package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/manifest"
)

// TestAdmitAll checks that an error names the faults of all fields, documents and files, each with its place.
func TestAdmitAll(t *testing.T) {
	files := []File{
		{Name: "a.yaml", Data: []byte("apiVersion: fleet.nave.io/v1alpha1\nkind: Cluster\nmetadata: {name: a}\n---\n" +
			"apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata:\n  name: b\n  labels: {a b: c}\n" +
			"spec:\n  interval: 10\n  prune: maybe\n  path: [a]\n  wait: 3\n  timeout: soon\n  intervall: 1m\n" +
			"  sourceRef: {kind: Git, name: a, nmespace: y}\n")},
		{Name: "b.yaml", Data: []byte("kind: X\n---\na: [\n---\napiVersion: fleet.nave.io/v1alpha1\nkind: Cluster\n" +
			"metadata: {name: a}\nspec:\n  vars: {x: 1, z: true}\n")},
		{Name: "c.yaml", Data: []byte("apiVersion: fleet.nave.io/v1alpha1\nkind: Cluster\nmetadata: {name: a}\n")},
	}
	err := AdmitAll(files, func(o *manifest.Object) (Key, error) {
		admitted, err := Admit(o, Hub)
		if err != nil {
			return Key{}, err
		}
		return admitted.Key, nil
	})
	const b = "Kustomization b: "
	want := []string{
		"a.yaml:9 (document 2): " + b + "metadata.labels: Invalid",
		"a.yaml:16 (document 2): " + b + "spec.intervall: Forbidden: unknown field: did you mean interval?",
		"a.yaml:11 (document 2): " + b + "spec.interval: Invalid",
		"a.yaml:13 (document 2): " + b + "spec.path: Invalid",
		"a.yaml:12 (document 2): " + b + "spec.prune: Invalid",
		"a.yaml:17 (document 2): " + b + "spec.sourceRef.nmespace: Forbidden: unknown field: did you mean namespace?",
		"a.yaml:17 (document 2): " + b + "spec.sourceRef.kind: Unsupported",
		"a.yaml:15 (document 2): " + b + "spec.timeout: Invalid",
		"a.yaml:14 (document 2): " + b + "spec.wait: Invalid",
		"b.yaml:1: apiVersion is missing",
		"b.yaml:3 (document 2): did not find expected node content",
		"b.yaml:9 (document 3): Cluster a: spec.vars[x]: Invalid",
		"b.yaml:9 (document 3): Cluster a: spec.vars[z]: Invalid",
		"c.yaml:1: Cluster a is given twice, also at a.yaml:1: remove one of the two",
	}
	got := strings.Split(err.Error(), "\n")
	for _, line := range want {
		if !strings.Contains(err.Error(), line) {
			t.Errorf("no line %s", line)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d lines, want %d:\n%v", len(got), len(want), err)
	}
}

// TestAdmit_many_faults names a limited number of faults, whatever an object has.
func TestAdmit_many_faults(t *testing.T) {
	var labels strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&labels, "_%d_: x, ", i)
	}
	objects, err := manifest.Parse([]byte("apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n" +
		"metadata: {name: a, labels: {" + labels.String() + "}}\nspec: {interval: 1m}\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Admit(objects[0], Hub)
	if err == nil || !strings.Contains(err.Error(), "and 49") || len(err.Error()) > 64<<10 {
		t.Errorf("%.200v… has %d bytes", err, len(fmt.Sprint(err)))
	}
	if texts := (&Place{File: "a.yaml"}).Faults(err); len(texts) != maxFaults+1 {
		t.Errorf("%d faults with their places", len(texts))
	}
}

// TestAdmitAll_long limits the error, however long the wrong values are: place and reason of each fault stay.
func TestAdmitAll_long(t *testing.T) {
	var files []File
	text := "apiVersion: fleet.nave.io/v1alpha1\nkind: Cluster\nmetadata: {name: a}\nspec: {spoke: {image: \"" +
		strings.Repeat("é ", 10_000) + "\"}}\n"
	for range 2 * maxFaults {
		files = append(files, File{Name: "a.yaml", Data: []byte(text)})
	}
	err := AdmitAll(files, func(o *manifest.Object) (Key, error) {
		_, err := Admit(o, Hub)
		return Key{}, err
	})
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != maxFaults+1 || len(err.Error()) > maxFaults*(maxFault+10) {
		t.Errorf("%d lines, %d bytes", len(lines), len(err.Error()))
	}
	if line := lines[0]; !strings.HasPrefix(line, "a.yaml:4: Cluster a: spec.spoke.image: Invalid value: \"é é") ||
		!strings.HasSuffix(line, "30000 bytes: at most 256") {
		t.Errorf("got %s", line)
	}
}
