package api_test

import (
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
)

const generatorHead = `
apiVersion: source.extensions.fluxcd.io/v1beta1
kind: ArtifactGenerator
metadata: {name: apps, namespace: flux-system}
spec:
`

const (
	oneSource = "  sources: [{alias: repo, kind: GitRepository, name: fleet}]\n"
	oneCopy   = `[{from: "@repo/x/**", to: "@artifact/"}]`
)

func TestArtifactGenerator(t *testing.T) {
	artifact := func(more string) string {
		return generatorHead + oneSource + "  artifacts: [{name: web, copy: " + oneCopy + more + "}]\n"
	}
	copied := func(text string) string {
		return generatorHead + oneSource + "  artifacts: [{name: web, copy: [" + text + "]}]\n"
	}
	admit(t, artifact(""), api.Hub)
	admit(t, artifact(`, revision: "@repo", originRevision: "@repo"`), api.ClusterGraph)
	admit(t, strings.Replace(artifact(""), "kind: GitRepository", "kind: HelmChart", 1), api.Hub)
	for text, words := range map[string][]string{
		generatorHead + oneSource: {"spec.artifacts", "Required"},
		generatorHead + "  sources: []\n  artifacts: [{name: web, copy: " + oneCopy + "}]\n": {"spec.sources", "1 to 1000"},
		strings.Replace(artifact(""), "alias: repo", "alias: Repo", 1): {
			"spec.sources[0].alias", "small letters"},
		strings.Replace(artifact(""), "kind: GitRepository", "kind: HelmRepository", 1): {
			"spec.sources[0].kind", `"HelmChart"`},
		strings.Replace(artifact(""), "kind: GitRepository", "kind: Secret", 1): {
			"spec.sources[0].kind", "GitRepository"},
		strings.Replace(artifact(""), "sources: [", "sources: [{alias: repo, kind: GitRepository, name: b}, ", 1): {
			"spec.sources[1].alias", "Duplicate"},
		strings.Replace(artifact(""), "artifacts: [", "artifacts: [{name: web, copy: "+oneCopy+"}, ", 1): {
			"spec.artifacts[1].name", "Duplicate"},
		strings.Replace(artifact(""), "name: web", "name: '{app}'", 1): {"spec.artifacts[0].name"},
		artifact(`, revision: repo`):                                   {"spec.artifacts[0].revision", "@alias"},
		artifact(`, originRevision: "@other"`):                         {"spec.artifacts[0].originRevision", "@alias"},
		artifact(`, namespace: other`):                                 {"spec.artifacts[0].namespace", "a generator of its own"},
		artifact(`, inputsFrom: "@repo/x"`):                            {"spec.artifacts[0].inputsFrom", "remove it"},
		artifact("") + "  serviceAccountName: x\n":                     {"spec.serviceAccountName", "remove it"},
		artifact("") + "  managedNamespaces: {prune: true}\n":          {"spec.managedNamespaces", "Kustomization"},
		artifact("") + "  pathPatern: x\n":                             {"spec.pathPatern", "unknown field"},
		copied(""):                                                     {"spec.artifacts[0].copy", "Required"},
		copied(`{from: repo/x, to: "@artifact/"}`):                     {"spec.artifacts[0].copy[0].from", "@alias/path"},
		copied(`{from: "@other/x", to: "@artifact/"}`):                 {"spec.artifacts[0].copy[0].from", "no source", "other"},
		copied(`{from: "@repo/../x", to: "@artifact/"}`):               {"spec.artifacts[0].copy[0].from", "leaves the source"},
		copied(`{from: "@repo/x", to: /x}`):                            {"spec.artifacts[0].copy[0].to", "@artifact/"},
		copied(`{from: "@repo/x", to: "@artifact/a/../../x"}`):         {"spec.artifacts[0].copy[0].to", "below the root"},
		copied(`{from: "@repo/x", to: "@artifact//x"}`):                {"spec.artifacts[0].copy[0].to", "below the root"},
		copied(`{from: "@repo/x", to: "@artifact/", strategy: Patch}`): {"spec.artifacts[0].copy[0].strategy", "Merge"},
		copied(`{from: "@repo/x", to: "@artifact/", exclude: ["{` + strings.Repeat("a,", 64) + `b}"]}`): {
			"spec.artifacts[0].copy[0].exclude[0]", "at most 64 patterns"},
		copied(`{from: "@repo/x", to: "@artifact/", exclude: ["` + strings.Repeat("{*,?*}", 7) + `"]}`): {
			"spec.artifacts[0].copy[0].exclude[0]", "at most 64 patterns"},
		copied(`{from: "@repo/x", to: "@artifact/", exclude: ["{{a,b},{` + strings.Repeat("a,", 20) + `b}}"]}`): {
			"spec.artifacts[0].copy[0].exclude[0]", "at most 64 patterns"},
		copied(`{from: "@repo/` + strings.Repeat("{*,?*}", 7) + `", to: "@artifact/"}`): {
			"spec.artifacts[0].copy[0].from", "at most 64 patterns"},
		copied(`{from: "@repo/x", to: "@artifact/", exclude: [` + strings.Repeat(`"{a,b,c}{d,e}{f,g,h,i}x",`, 11) + `]}`): {
			"spec.artifacts[0].copy[0].exclude", "at most 256 patterns together"},
		artifact("") + "  pathPattern: \"@repo/{a}/{1}\"\n": {"spec.pathPattern", "{name}"},
		artifact("") + "  pathPattern: \"@repo/{a\"\n":      {"spec.pathPattern", "{name}"},
		artifact("") + "  pathPattern: \"@repo/{a}/{a}\"\n": {"spec.pathPattern", "twice"},
		artifact("") + "  pathPattern: \"@other/{a}\"\n":    {"spec.pathPattern", "no source"},
		strings.Replace(artifact(""), "name: web", "name: '{b}'", 1) + "  pathPattern: \"@repo/{a}\"\n": {
			"spec.artifacts[0].name", "{b}"},
	} {
		refuse(t, text, api.ClusterGraph, words...)
	}
	disabled := strings.Replace(artifact(""), "namespace: flux-system",
		"namespace: flux-system, annotations: {source.extensions.fluxcd.io/reconcile: Disabled}", 1)
	if !admit(t, disabled, api.Hub).Suspended() {
		t.Error("the annotation does not suspend the generator")
	}
}

func TestExternalArtifact(t *testing.T) {
	const head = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: ExternalArtifact\n" +
		"metadata: {name: x, namespace: b}\nspec:\n"
	refuse(t, head+"  sourceRef: {apiVersion: example.com/v1, kind: Source, name: mine}\n", api.ClusterGraph,
		"ExternalArtifact b/x", "nothing makes this artifact", "ArtifactGenerator")
	composed := head + "  composition:\n    sources: [{alias: r, kind: GitRepository, name: g}]\n" +
		"    copy: [{from: \"@r/x\", to: \"@artifact/\"}]\n"
	s := sourceView(t, composed)
	if want := (api.Key{Kind: "GitRepository", Namespace: "b", Name: "g"}); len(s.Inputs) != 1 || s.Inputs[0].Key != want {
		t.Errorf("got inputs %v", s.Inputs)
	}
	refuse(t, strings.Replace(composed, "@r/x", "@r/../x", 1), api.ClusterGraph, "copy[0].from", "leaves the source")
}

// FuzzCapturesOf reads the captures of any text: they are names, and the text has them in braces.
func FuzzCapturesOf(f *testing.F) {
	f.Add("apps/{app}/{env}")
	f.Add("{}{a}}{")
	f.Fuzz(func(t *testing.T, text string) {
		names, err := api.CapturesOf(text)
		for _, name := range names {
			if err != nil || !strings.Contains(text, "{"+name+"}") {
				t.Errorf("%q: %q, %v", text, names, err)
			}
		}
	})
}
