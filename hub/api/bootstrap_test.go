package api

import (
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/manifest"
)

// parseOne returns the object of a YAML document.
func parseOne(t *testing.T, text string) *manifest.Object {
	t.Helper()
	objects, err := manifest.Parse([]byte(text))
	if err != nil || len(objects) != 1 {
		t.Fatal(objects, err)
	}
	return objects[0]
}

// admitted returns a Kustomization with these fields of its spec.
func admitted(t *testing.T, spec string) *Object {
	t.Helper()
	o, err := Admit(parseOne(t, "{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {name: "+
		"flux-system, namespace: flux-system}, spec: {interval: 10m, prune: true, "+spec+"}}"), ClusterGraph)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestUpdateRoot(t *testing.T) {
	const fleet = "path: ./clusters/east, sourceRef: {kind: GitRepository, name: fleet}"
	const inGit = "path: ./clusters/copied, sourceRef: {kind: GitRepository, name: flux-system}"
	for name, c := range map[string]struct{ root, inGit, want, not string }{
		"source_and_path": {fleet, inGit, `"path":"./clusters/east"`, "copied"},
		"source":          {fleet, inGit, `"name":"fleet"`, `"name":"flux-system"},"spec":{"sourceRef`},
		"field":           {fleet, inGit + ", timeout: 7m", `"timeout":"7m"`, ""},
		"suspended":       {fleet + ", suspend: true", inGit + ", suspend: false", `"suspend":true`, ""},
		"flux_account":    {fleet, inGit + ", serviceAccountName: kustomize-controller", "", "kustomize-controller"},
		"other_account":   {fleet, inGit + ", serviceAccountName: team", `"serviceAccountName":"team"`, ""},
		"account_stays":   {fleet + ", serviceAccountName: fleet", inGit + ", serviceAccountName: team", `"serviceAccountName":"fleet"`, "team"},
	} {
		t.Run(name, func(t *testing.T) {
			updated, err := UpdateRoot(admitted(t, c.root), admitted(t, c.inGit))
			if err != nil {
				t.Fatal(err)
			}
			if got := string(updated.JSON); !strings.Contains(got, c.want) || c.not != "" && strings.Contains(got, c.not) {
				t.Errorf("got %s, want %q without %q", got, c.want, c.not)
			}
		})
	}
}

func TestIsFluxComponent(t *testing.T) {
	const labels = "app.kubernetes.io/part-of: flux, app.kubernetes.io/version: v2.7.5"
	for name, c := range map[string]struct {
		kind, labels string
		want         bool
	}{
		"controller": {"Deployment", labels, true},
		"namespace":  {"Namespace", labels, false},
		"monitor":    {"PodMonitor", "app.kubernetes.io/part-of: flux, app.kubernetes.io/component: monitoring", false},
		"other":      {"Deployment", "app.kubernetes.io/part-of: shop, app.kubernetes.io/version: v1", false},
	} {
		o := parseOne(t, "{apiVersion: v1, kind: "+c.kind+", metadata: {name: x, labels: {"+c.labels+"}}}")
		if got := IsFluxComponent(o); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestPassThrough(t *testing.T) {
	fleet := func(kind string) error {
		_, err := Admit(parseOne(t, "{apiVersion: fleet.nave.io/v1alpha1, kind: Cluster, metadata: {name: east}, "+
			"spec: {passThrough: [\""+kind+"\"]}}"), Hub)
		return err
	}
	for kind, want := range map[string]string{
		"HelmRelease.helm.toolkit.fluxcd.io":        "",
		"ImagePolicy.image.toolkit.fluxcd.io":       "",
		"Kustomization.kustomize.toolkit.fluxcd.io": "the hub renders every Kustomization itself",
		"HelmRelease":     "want Kind.group",
		"Deployment.apps": "not a kind of Flux",
		"HelmRelease.helm.toolkit.fluxcd.io,X.y.com": "want Kind.group",
	} {
		err := fleet(kind)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", kind, err, want)
		}
	}
	set := PassThroughOf(
		[]string{"HelmRelease.helm.toolkit.fluxcd.io"},
		nil,
		[]string{"HelmRelease.helm.toolkit.fluxcd.io"},
	)
	for text, want := range map[string]bool{
		"{apiVersion: helm.toolkit.fluxcd.io/v2beta1, kind: HelmRelease, metadata: {name: a}}": true,
		"{apiVersion: source.toolkit.fluxcd.io/v1, kind: HelmRepository, metadata: {name: a}}": false,
	} {
		if set.Has(parseOne(t, text)) != want || PassThrough("").Has(parseOne(t, text)) {
			t.Errorf("%s: not %t", text, want)
		}
	}
}
