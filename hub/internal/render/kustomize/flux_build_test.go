package kustomize

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	fluxkustomize "github.com/fluxcd/pkg/kustomize"
	"github.com/rogpeppe/go-internal/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/shared/manifest"
)

// differsFromFlux are the stories whose result differs from that of Flux's library, with the reason.
var differsFromFlux = map[string]string{
	"configuration-dropped": "the library returns the file, and Flux's controller drops it later",
	"dots-stay-inside":      "the library refuses the path; Flux's controller joins paths safely before",
	"folded":                "the library puts an empty line in front of lines that are indented more",
	"large-integers":        "the library rounds integers above 2^53",
	"substitution-own":      "in Flux the variables come from the cluster, after the first reconciliation",
	"target-namespace":      "the library puts the namespace on custom kinds without namespaces",
}

// TestFlux_build builds the stories without secrets with Flux's own library, and compares the objects.
func TestFlux_build(t *testing.T) {
	stories, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(stories) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range stories {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if section(archive, "error") != nil || strings.HasPrefix(name, "sealed-") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			result, err := buildTree(t.Context(), plantTree(t, archive), specIn(t, archive))
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := fluxBuild(t, archive)
			if err != nil && differsFromFlux[name] == "" {
				t.Fatalf("Flux: %v", err)
			}
			ours := map[manifest.ID]string{}
			for _, o := range result.Objects {
				ours[manifest.IDOf(o)] = asYAML(t, o)
			}
			same := len(ours) == len(theirs)
			for id, want := range theirs {
				same = same && ours[id] == want
			}
			if reason := differsFromFlux[name]; same == (reason != "") {
				t.Errorf("equal: %v, known difference: %q", same, reason)
				for id, want := range theirs {
					if ours[id] != want {
						t.Errorf("%s: got\n%s\nFlux\n%s", id, ours[id], want)
					}
				}
			}
		})
	}
}

func asYAML(t *testing.T, o *manifest.Object) string {
	t.Helper()
	text, err := yaml.Marshal(o.Object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// fluxBuild builds a story as Flux's kustomize-controller does, without a cluster.
func fluxBuild(t *testing.T, archive *txtar.Archive) (map[manifest.ID]string, error) {
	t.Helper()
	root := plantTree(t, archive)
	ks := &kustomizev1.Kustomization{}
	if err := yaml.UnmarshalStrict(section(archive, "spec.yaml"), &ks.Spec); err != nil {
		t.Fatal(err)
	}
	ks.Name, ks.Namespace = "apps", "flux-system"
	ks.Kind, ks.APIVersion = "Kustomization", "kustomize.toolkit.fluxcd.io/v1"
	spec, err := runtime.DefaultUnstructuredConverter.ToUnstructured(ks)
	if err != nil {
		t.Fatal(err)
	}
	object := unstructured.Unstructured{Object: spec}
	dir := filepath.Join(root, ks.Spec.Path)
	if _, err := fluxkustomize.NewGenerator(root, object).WriteFile(dir); err != nil {
		return nil, err
	}
	built, err := fluxkustomize.Build(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, err
	}
	strict := !bytes.Contains(archive.Comment, []byte("\nlenient\n"))
	found := map[manifest.ID]string{}
	for _, resource := range built.Resources() {
		if ks.Spec.PostBuild != nil {
			out, err := fluxkustomize.SubstituteVariables(context.Background(), fluxCluster{}, object, resource,
				fluxkustomize.SubstituteWithDryRun(true), fluxkustomize.SubstituteWithStrict(strict),
				fluxkustomize.SubstituteWithAlways(ks.Spec.PostBuild.SubstituteStrategy == "Always"))
			if err != nil {
				return nil, err
			}
			if out != nil {
				resource = out
			}
		}
		text, err := resource.AsYAML()
		if err != nil {
			return nil, err
		}
		o := &manifest.Object{}
		if err := yaml.Unmarshal(text, &o.Object); err != nil {
			return nil, errors.Join(err, errors.New(string(text)))
		}
		own(o, ks)
		found[manifest.IDOf(o)] = asYAML(t, o)
	}
	return found, nil
}

// own adds to an object what Flux's controller adds after the build: the owner labels and spec.commonMetadata.
func own(o *manifest.Object, ks *kustomizev1.Kustomization) {
	labels, annotations := o.GetLabels(), o.GetAnnotations()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[NameLabel], labels[NamespaceLabel] = ks.Name, ks.Namespace
	if m := ks.Spec.CommonMetadata; m != nil {
		for key, value := range m.Labels {
			labels[key] = value
		}
		if annotations == nil && len(m.Annotations) > 0 {
			annotations = map[string]string{}
		}
		for key, value := range m.Annotations {
			annotations[key] = value
		}
	}
	o.SetLabels(labels)
	if annotations != nil {
		o.SetAnnotations(annotations)
	}
}
