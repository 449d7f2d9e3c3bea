package kustomize

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	fluxkustomize "github.com/fluxcd/pkg/kustomize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/manifest"
)

// fluxCluster is a cluster for Flux's library: it only has ConfigMaps and Secrets.
type fluxCluster struct {
	client.Client
	objects map[manifest.ID]*manifest.Object
}

// Get implements client.Client for objects that exist.
func (c fluxCluster) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	kind := strings.TrimPrefix(fmt.Sprintf("%T", into), "*v1.")
	o := c.objects[manifest.ID{Kind: kind, Namespace: key.Namespace, Name: key.Name}]
	if o == nil {
		return fmt.Errorf("no %s %s", kind, key)
	}
	return runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, into)
}

// fluxSubstitute returns an object as Flux's library substitutes it.
func fluxSubstitute(
	t testing.TB,
	cluster fluxCluster,
	ks *kustomizev1.Kustomization,
	o *manifest.Object,
) (string, error) {
	t.Helper()
	spec, err := runtime.DefaultUnstructuredConverter.ToUnstructured(ks)
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(o.Object)
	if err != nil {
		t.Fatal(err)
	}
	resource, err := provider.NewDefaultDepProvider().GetResourceFactory().FromBytes(text)
	if err != nil {
		return "", err
	}
	out, err := fluxkustomize.SubstituteVariables(t.Context(), cluster, unstructured.Unstructured{Object: spec}, resource,
		fluxkustomize.SubstituteWithStrict(true))
	if err != nil {
		return "", err
	}
	if out == nil { // the object disables the substitution
		out = resource
	}
	result, err := out.AsYAML()
	return string(result), err
}

// variableSources are the ConfigMaps and Secrets that the objects of TestFlux_variables read.
const variableSources = `
apiVersion: v1
kind: ConfigMap
metadata: {name: first, namespace: apps}
data: {domain: first.example.com, port: "80", empty: "", lines: "a\nb", list: "[a, b]", on: "yes", quote: '"', long: "012345678901234567890123456789"}
---
apiVersion: v1
kind: Secret
metadata: {name: second, namespace: apps}
data: {domain: c2Vjb25kLmV4YW1wbGUuY29t, user: cm9vdA==}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: third, namespace: apps}
data: {domain: third.example.com}
`

// TestFlux_variables substitutes objects as Flux's library does, with variables of several sources.
func TestFlux_variables(t *testing.T) {
	for _, c := range []struct{ name, references, inline, object string }{
		{"later_beats_earlier", "first second", "", `data: {a: "${domain}"}`},
		{"earlier_is_last", "second first", "", `data: {a: "${domain} ${user}"}`},
		{"three", "first second third", "", `data: {a: "${domain} ${user} ${port}x"}`},
		{"inline_beats_all", "first second third", "domain", `data: {a: "${domain}"}`},
		{"newlines_go", "first", "", `data: {a: "${lines}", b: "x${lines}\ny"}`},
		{"types_change", "first", "", `spec: {replicas: "${port}", on: "${on}", list: "${list}", x: "0${port}"}`},
		{"quotes", "first", "", `data: {a: "${quote}${port}${quote}", b: "'${port}'"}`},
		{"empty", "first", "", `data: {a: "${empty}", b: "${empty:-d}", c: "x${empty}"}`},
		{"keys", "first", "", `data: {"${domain}": a, "k${port}": b}`},
		{"folded", "first", "", `data: {a: "${long} ${long} ${long} ${long} ${long} ${domain}"}`},
		{"block", "first", "", `data: {a: "server ${domain};\nlisten ${port};\n  $host $${host}\n"}`},
		{"functions", "first", "", `data: {a: "${domain^^} ${domain%%.*} ${domain/first/x} ${#domain} ${domain:1:3} ${x:=y}"}`},
		{"disabled", "first", "", `data: {a: "${domain}"}, metadata: {name: o, labels: {kustomize.toolkit.fluxcd.io/substitute: disabled}}`},
		{"missing", "first", "", `data: {a: "${nobody}"}`},
		{"broken", "first", "", `data: {a: "${domain"}`},
		{"no_variables", "", "", `data: {a: "${domain}"}`},
		{"binary", "first", "", `data: {a: "${domain}"}, binaryData: {b: "JHtkb21haW59"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster, ks := variablesFor(t, c.references, c.inline)
			o := &manifest.Object{}
			text := `{apiVersion: example.com/v1, kind: Thing, metadata: {name: o}, ` + c.object + `}`
			if strings.Contains(c.object, "metadata:") {
				text = `{apiVersion: example.com/v1, kind: Thing, ` + c.object + `}`
			}
			if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
				t.Fatal(err)
			}
			want, fluxErr := fluxSubstitute(t, cluster, ks, o)
			got, err := naveSubstitute(t, cluster, ks, o)
			if (err == nil) != (fluxErr == nil) {
				t.Fatalf("error %v, Flux's %v", err, fluxErr)
			}
			if !sameYAML(t, got, want) {
				t.Errorf("got\n%s\nFlux\n%s", got, want)
			}
		})
	}
}

// variablesFor returns a cluster with the sources and a Kustomization that refers to some of them.
func variablesFor(t testing.TB, references, inline string) (fluxCluster, *kustomizev1.Kustomization) {
	t.Helper()
	objects, err := manifest.Parse([]byte(variableSources))
	if err != nil {
		t.Fatal(err)
	}
	cluster := fluxCluster{objects: map[manifest.ID]*manifest.Object{}}
	kinds := map[string]string{}
	for _, o := range objects {
		cluster.objects[manifest.IDOf(o)] = o
		kinds[o.GetName()] = o.GetKind()
	}
	ks := &kustomizev1.Kustomization{}
	ks.Name, ks.Namespace = "apps", "apps"
	ks.Spec.PostBuild = &kustomizev1.PostBuild{}
	for _, name := range strings.Fields(references) {
		ks.Spec.PostBuild.SubstituteFrom = append(ks.Spec.PostBuild.SubstituteFrom,
			kustomizev1.SubstituteReference{Kind: kinds[name], Name: name})
	}
	if inline != "" {
		ks.Spec.PostBuild.Substitute = map[string]string{inline: "inline"}
	}
	return cluster, ks
}

// naveSubstitute returns an object as it is substituted here. Sources that the cluster lacks are live.
func naveSubstitute(t testing.TB, cluster fluxCluster, ks *kustomizev1.Kustomization, o *manifest.Object) (string,
	error) {
	t.Helper()
	spec := &Spec{Name: ks.Name, Namespace: ks.Namespace, Strict: true, Substitute: ks.Spec.PostBuild.Substitute}
	for _, ref := range ks.Spec.PostBuild.SubstituteFrom {
		input := api.InputData{Input: api.Input{Kind: ref.Kind, Namespace: ks.Namespace, Name: ref.Name}}
		source := cluster.objects[input.ID()]
		input.Live = source == nil
		if source != nil {
			data, err := api.DataOf(source)
			if err != nil {
				t.Fatal(err)
			}
			input.Data = data
		}
		spec.Variables = append(spec.Variables, input)
	}
	vars, err := newVariables(spec, nil)
	if err != nil {
		return "", err
	}
	c := o.DeepCopy()
	if err := vars.substitute(c); err != nil {
		return "", err
	}
	text, err := yaml.Marshal(c.Object)
	return string(text), err
}

// sameYAML reports whether two texts are the same object.
func sameYAML(t testing.TB, a, b string) bool {
	t.Helper()
	x, err := yaml.YAMLToJSON([]byte(a))
	y, err2 := yaml.YAMLToJSON([]byte(b))
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(x, y)
}

// FuzzFluxVariables substitutes any text as Flux's library does. A text at which Flux's own parser panics is refused.
func FuzzFluxVariables(f *testing.F) {
	for _, text := range []string{
		"${domain}", "$${domain}", "${domain:-x}", "${lines}", "a: ${port}", "${list}", "\"${quote}\"", "${domain/first/}",
		"#${port}", "${port}: ${on}", "${x:-\"}", "${x:-: }", "- ${domain}", "${long}${long}${long}${long}\n", "é${domain}",
	} {
		f.Add(text)
	}
	cluster, ks := variablesFor(f, "first second", "")
	f.Fuzz(func(t *testing.T, text string) {
		o := &manifest.Object{Object: map[string]any{"apiVersion": "example.com/v1", "kind": "Thing",
			"metadata": map[string]any{"name": "o"}, "spec": map[string]any{"text": text}}}
		if written, err := yaml.Marshal(text); err != nil || yaml.Unmarshal(written, new(string)) != nil {
			t.Skip("not a text of YAML")
		}
		want, fluxErr := func() (out string, err error) {
			defer func() {
				if r := recover(); r != nil {
					err = fmt.Errorf("panic: %v", r)
				}
			}()
			return fluxSubstitute(t, cluster, ks, o)
		}()
		got, err := naveSubstitute(t, cluster, ks, o)
		if (err == nil) != (fluxErr == nil) {
			t.Fatalf("%q: error %v, Flux's %v", text, err, fluxErr)
		}
		if err == nil && !sameYAML(t, got, want) {
			t.Errorf("%q: got\n%s\nFlux\n%s", text, got, want)
		}
	})
}
