package kustomize

import (
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// TestFlux_live leaves all variables to the spoke, and requires the same object as from Flux's library.
func TestFlux_live(t *testing.T) {
	for _, c := range []struct{ name, references, inline, object string }{
		{"order", "first second third", "", `data: {a: "${domain} ${user} ${port}x"}`},
		{"inline_beats_all", "first second third", "domain", `data: {a: "${domain} ${port}"}`},
		{"newlines_go", "first", "", `data: {a: "${lines}", b: "x${lines}\ny"}`},
		{"types_change", "first", "", `spec: {replicas: "${port}", on: "${on}", list: "${list}", x: "0${port}"}`},
		{"quotes", "first", "", `data: {a: "${quote}${port}${quote}", b: "'${port}'"}`},
		{"empty", "first", "", `data: {a: "${empty}", b: "${empty:-d}", c: "x${empty}"}`},
		{"folded", "first", "", `data: {a: "${long} ${long} ${long} ${long} ${long} ${domain}"}`},
		{"block", "first", "", `data: {a: "server ${domain};\nlisten ${port};\n  $host $${host}\n"}`},
		{"functions", "first", "", `data: {a: "${domain^^} ${domain%%.*} ${domain/first/x} ${#domain} ${domain:1:3} ${x:=y}"}`},
		{"missing", "first", "", `data: {a: "${nobody}"}`},
		{"not_yaml", "first", "", `data: {a: "${quote}${port}"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster, ks := variablesFor(t, c.references, c.inline)
			o := &manifest.Object{}
			text := `{apiVersion: example.com/v1, kind: Thing, metadata: {name: o}, ` + c.object + `}`
			if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
				t.Fatal(err)
			}
			want, fluxErr := fluxSubstitute(t, cluster, ks, o)
			got, err := liveSubstitute(t, cluster, ks, o)
			if (err == nil) != (fluxErr == nil) {
				t.Fatalf("error %v, Flux's %v", err, fluxErr)
			}
			if err == nil && !sameYAML(t, got, want) {
				t.Errorf("got\n%s\nFlux\n%s", got, want)
			}
		})
	}
}

// liveSubstitute returns an object as the spoke finishes it.
func liveSubstitute(t *testing.T, cluster fluxCluster, ks *kustomizev1.Kustomization, o *manifest.Object) (string,
	error) {
	t.Helper()
	spec := &Spec{Name: ks.Name, Namespace: ks.Namespace, Strict: true, Substitute: ks.Spec.PostBuild.Substitute}
	values := map[string]string{}
	for _, ref := range ks.Spec.PostBuild.SubstituteFrom {
		input := api.InputData{Input: api.Input{Kind: ref.Kind, Namespace: ks.Namespace, Name: ref.Name}, Live: true}
		data, err := api.DataOf(cluster.objects[input.ID()])
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range data {
			values[name] = strings.ReplaceAll(value, "\n", "")
		}
		spec.Variables = append(spec.Variables, input)
	}
	for name, value := range spec.Substitute {
		values[name] = value
	}
	vars, err := newVariables(spec, nil)
	if err != nil {
		return "", err
	}
	c := o.DeepCopy()
	if err := vars.substitute(c); err != nil {
		return "", err
	}
	texts := map[sealed.Placeholder]string{}
	for _, e := range vars.remainder([]*manifest.Object{c}, nil).Expressions {
		texts[sealed.Placeholder(e.Placeholder)] = e.Text
	}
	finished, err := sealed.FinishObject(c,
		func(p sealed.Placeholder) (sealed.Value, bool) { return sealed.Expression(texts[p]), texts[p] != "" },
		&sealed.Variables{Strict: true, Limit: bundle.MaxObjectBytes, Value: func(name string) (sealed.Value, bool) {
			value, ok := values[name]
			return sealed.Text(value), ok
		}})
	if err != nil {
		return "", err
	}
	text, err := yaml.Marshal(finished.Object)
	return string(text), err
}
