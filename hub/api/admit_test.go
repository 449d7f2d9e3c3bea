package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/manifest"
)

// parse reads one YAML document.
func parse(t testing.TB, text string) *manifest.Object {
	t.Helper()
	o := &manifest.Object{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

func admit(t testing.TB, text string, scope api.Scope) *api.Object {
	t.Helper()
	o, err := api.Admit(parse(t, text), scope)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// sourceView admits a source and returns its view.
func sourceView(t testing.TB, text string) *api.Source {
	t.Helper()
	s, err := admit(t, text, api.Hub).Source()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// refuse fails the test unless Admit returns an error with all the words.
func refuse(t *testing.T, text string, scope api.Scope, words ...string) {
	t.Helper()
	_, err := api.Admit(parse(t, text), scope)
	if err == nil {
		t.Fatalf("admitted: %s", text)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the message lacks %q: %v", w, err)
		}
	}
}

// same fails the test unless the value and the YAML are equal as JSON.
func same(t testing.TB, gotValue any, wantYAML string) {
	t.Helper()
	var got, want any
	text, err := yaml.Marshal(gotValue)
	if err := errors.Join(err, yaml.Unmarshal(text, &got), yaml.Unmarshal([]byte(wantYAML), &want)); err != nil {
		t.Fatal(err)
	}
	g, err1 := json.MarshalIndent(got, "", "  ")
	w, err2 := json.MarshalIndent(want, "", "  ")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if string(g) != string(w) {
		t.Errorf("got %s\nwant %s", g, w)
	}
}

// gitRepository returns a v1 object with an interval and the given lines of spec.
func gitRepository(spec string) string {
	return "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: fleet, namespace: " +
		"flux-system}\nspec:\n  interval: 1m\n" + indent(spec)
}

// kustomization returns a v1 object with the required fields and the given lines of spec.
func kustomization(spec string) string {
	return "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps, namespace: " +
		"flux-system}\nspec:\n" +
		"  interval: 10m\n  prune: true\n  sourceRef: {kind: GitRepository, name: fleet}\n" + indent(spec)
}

func indent(lines string) string {
	if lines == "" {
		return ""
	}
	return "  " + strings.ReplaceAll(strings.TrimSpace(lines), "\n", "\n  ") + "\n"
}

// What flux bootstrap has written into every repository since 2021, as exported from a cluster.
const bootstrapped = `
apiVersion: kustomize.toolkit.fluxcd.io/v1beta2
kind: Kustomization
metadata:
  name: flux-system
  namespace: flux-system
  uid: 5a2c
  resourceVersion: "123"
  generation: 3
  creationTimestamp: "2022-05-01T10:00:00Z"
  finalizers: [finalizers.fluxcd.io]
  labels: {team: platform}
  managedFields: [{manager: flux, operation: Apply}]
spec:
  interval: 10m0s
  path: ./clusters/prod
  prune: true
  sourceRef:
    kind: GitRepository
    name: flux-system
  validation: client
status:
  lastAppliedRevision: main/abc
`

func TestAdmit_export(t *testing.T) {
	text := parse(t, bootstrapped)
	before, _ := json.Marshal(text)
	o, err := api.Admit(text, api.ClusterGraph)
	if err != nil {
		t.Fatal(err)
	}
	same(t, o.JSON, `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: flux-system, namespace: flux-system, labels: {team: platform}}
spec:
  interval: 10m0s
  path: ./clusters/prod
  prune: true
  sourceRef: {kind: GitRepository, name: flux-system}
`)
	if after, _ := json.Marshal(text); string(after) != string(before) {
		t.Error("the object that was given is changed")
	}
}

func TestConvertKustomization(t *testing.T) {
	for _, version := range []string{"v1beta1", "v1beta2"} {
		o := admit(t, strings.Replace(kustomization(`
patches:
- patch: |
    kind: Deployment
  target: {kind: Deployment}
patchesStrategicMerge:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: a}
  data: {k: "1"}
patchesJson6902:
- target: {version: v1, kind: ConfigMap, name: a}
  patch:
  - {op: add, path: /data/x, value: 7}
`), "/v1\n", "/"+version+"\n", 1), api.ClusterGraph)
		k, err := api.Decode[kustomizev1.Kustomization](o)
		if err != nil {
			t.Fatal(err)
		}
		same(t, k.Spec.Patches, `
- patch: '{"apiVersion":"v1","data":{"k":"1"},"kind":"ConfigMap","metadata":{"name":"a"}}'
- patch: "kind: Deployment\n"
  target: {kind: Deployment}
- patch: '[{"op":"add","path":"/data/x","value":7}]'
  target: {version: v1, kind: ConfigMap, name: a}
`)
	}
}

func TestAdmit_old_fields(t *testing.T) {
	refuse(t, kustomization("validation: client"), api.ClusterGraph, "spec.validation", "unknown field")
	refuse(t, kustomization("patchesStrategicMerge: [{kind: X}]"), api.ClusterGraph, "spec.patchesStrategicMerge")
	refuse(t, gitRepository("url: https://x/y\ngitImplementation: libgit2"), api.Hub, "spec.gitImplementation")
}

func TestConvertKustomization_refused(t *testing.T) {
	for _, field := range []string{"patchesStrategicMerge: {a: b}", "patchesStrategicMerge: [text]",
		"patchesJson6902: [{patch: []}]", "patchesJson6902: [3]"} {
		refuse(t, strings.Replace(kustomization(field), "/v1\n", "/v1beta2\n", 1), api.ClusterGraph,
			strings.Split(field, ":")[0])
	}
}

func TestConvertGitRepository(t *testing.T) {
	for _, version := range []string{"v1", "v1beta1", "v1beta2"} {
		implementation := "gitImplementation: go-git\naccessFrom: {namespaceSelectors: [{}]}"
		if version == "v1" {
			implementation = "suspend: false"
		}
		text := strings.Replace(gitRepository("url: https://github.com/stefanprodan/podinfo\nref: {branch: "+
			"master}\n"+implementation), "/v1\n", "/"+version+"\n", 1)
		o := admit(t, text, api.Hub)
		g, err := api.Decode[sourcev1.GitRepository](o)
		if err != nil {
			t.Fatal(err)
		}
		if g.APIVersion != "source.toolkit.fluxcd.io/v1" || g.Spec.Timeout.Duration.String() != "1m0s" ||
			g.Spec.Reference.Branch != "master" {
			t.Errorf("%s: %s", version, o.JSON)
		}
	}
}

func TestAdmit_supported(t *testing.T) {
	text := kustomization(`
path: ./apps/prod
retryInterval: 2m
timeout: 3m30s
deletionPolicy: WaitForTermination
force: true
wait: false
suspend: true
healthChecks:
- {apiVersion: apps/v1, kind: Deployment, name: web, namespace: prod}
dependsOn:
- name: infra
- {name: apps, namespace: other}
serviceAccountName: deployer
targetNamespace: prod
namePrefix: a-
nameSuffix: -z
commonMetadata: {labels: {team: web}, annotations: {note: "1"}}
patches:
- {patch: "[{op: remove, path: /x}]", target: {kind: Deployment, labelSelector: a=b, annotationSelector: c, group: apps, version: v1, name: x.*, namespace: ns}}
images:
- {name: web, newName: registry/web, newTag: "2", digest: "sha256:aa"}
components: [../../components/tls]
ignoreMissingComponents: true
postBuild:
  substitute: {region: eu, _x1: ""}
  substituteStrategy: Always
decryption: {provider: sops, secretRef: {name: sops-age}}
healthCheckExprs:
- {apiVersion: example.com/v1, kind: Claim, current: status.ready, inProgress: "has(status.a)", failed: status.a == 'b'}
- {apiVersion: example.com/v1, current: "true"}
`)
	same(t, admit(t, text, api.ClusterGraph).JSON, text)
	text = gitRepository(`
url: ssh://git@github.com/navefleet/fleet
provider: generic
ref: {branch: main, tag: v1, semver: ">=1.0.0 <2.0.0", name: refs/heads/main, commit: a123456789012345678901234567890123456789}
secretRef: {name: key}
timeout: 30s
suspend: true
recurseSubmodules: false
ignore: |
  /*
  !/apps
`)
	same(t, admit(t, text, api.Hub).JSON, text)
}

// TestAdmit_unsupported_fields has rows with a spec that Admit must refuse, and parts of the message.
func TestAdmit_unsupported_fields(t *testing.T) {
	for _, c := range []struct{ spec, field, wayOut string }{
		{"kubeConfig: {secretRef: {name: k}}", "spec.kubeConfig", "Fleet"},
		{"postBuild: {substituteFrom: [{kind: ConfigMap, name: vars}, {kind: Service, name: vars}]}",
			"spec.postBuild.substituteFrom[1].kind", `"ConfigMap", "Secret"`},
		{"postBuild: {substituteFrom: [{kind: Secret}]}", "spec.postBuild.substituteFrom[0].name", "Required"},
		{"postBuild: {substituteFrom: [{name: vars}]}", "spec.postBuild.substituteFrom[0].kind", "Required"},
		{"postBuild: {substituteFrom: [{kind: Secret, name: a_b}]}", "spec.postBuild.substituteFrom[0].name", "lower case"},
		{"healthCheckExprs: [{apiVersion: a/v1, kind: A, current: 'status.a ='}]", "spec.healthCheckExprs[0].current",
			"line 1, column 10: Syntax error"},
		{"healthCheckExprs: [{apiVersion: a/v1, kind: A, current: 'true', failed: status.any()}]",
			"spec.healthCheckExprs[0].failed", `unknown function "any"`},
		{"healthCheckExprs: [{apiVersion: a/v1, kind: A, current: 'true', inProgress: 'a.join()'}]",
			"spec.healthCheckExprs[0].inProgress", "not supported"},
		{"healthCheckExprs: [{apiVersion: a/v1, kind: A}]", "spec.healthCheckExprs[0].current", "Required"},
		{"healthCheckExprs: [{kind: A, current: 'true'}]", "spec.healthCheckExprs[0].apiVersion", "group/version"},
		{"healthCheckExprs: [{apiVersion: v1, kind: Secret, current: 'true'}]", "spec.healthCheckExprs[0].kind",
			"only the metadata"},
		{"healthCheckExprs: [{apiVersion: a/v1, kind: A, current: 'true'}, {apiVersion: a/v2, kind: A, current: 'true'}]",
			"spec.healthCheckExprs[1]", "Duplicate"},
		{"dependsOn: [{name: a}, {name: b, readyExpr: 'dep.status.a ='}]", "spec.dependsOn[1].readyExpr",
			"line 1, column 14: Syntax error"},
		{"dependsOn: [{name: b, readyExpr: 'status.ready'}]", "spec.dependsOn[0].readyExpr",
			`unknown variable "status": there are dep, self`},
		{"buildMetadata: [managedByLabel]", "spec.buildMetadata[0]", "originAnnotations"},
		{"ignore: [{}]", "spec.ignore[0].paths", "at least one JSON pointer"},
		{"ignore: [{paths: [/spec/replicas, spec.replicas]}]", "spec.ignore[0].paths[1]", "want a JSON pointer"},
		{"ignore: [{paths: [/spec/a~2b]}]", "spec.ignore[0].paths[0]", "want a JSON pointer"},
		{"ignore: [{paths: [/metadata/name]}]", "spec.ignore[0].paths[0]", "identifies the object"},
		{"ignore: [{paths: [/a], target: {name: '('}}]", "spec.ignore[0].target.name", "missing closing"},
		{"ignore: [{paths: [/a], target: {name: '" + strings.Repeat(".{1000}", 5) + "'}}]", "spec.ignore[0].target.name",
			"more than 500 instructions"},
		{"ignore: [" + strings.Repeat("{paths: [/a], target: {name: 'a{450}'}},", 12) + "]", "spec.ignore",
			"instructions of regular expressions, the limit is 4000"},
		{"ignore: [" + strings.Repeat("{paths: [/a]},", 201) + "]", "spec.ignore", "201 rules, the limit is 200"},
		{"ignore: [{paths: [" + strings.Repeat("/a,", 1001) + "]}]", "spec.ignore", "1001 paths, the limit is 1000"},
		{"ignore: [{paths: [/" + strings.Repeat("a", 1024) + "]}]", "spec.ignore[0].paths[0]", "1025 bytes"},
		{"ignore: [{paths: [/a], target: {labelSelector: '" + strings.Repeat("a", 1025) + "'}}]",
			"spec.ignore[0].target.labelSelector", "1025 bytes"},
		{"ignore: [{paths: [/a], target: {labelSelector: '=='}}]", "spec.ignore[0].target.labelSelector", "=="},
		{"decryption: {provider: sops, serviceAccountName: kms}", "spec.decryption.serviceAccountName", "key service"},
		{"decryption: {provider: vault}", "spec.decryption.provider", `"sops"`},
		{"decryption: {}", "spec.decryption.provider", `"sops"`},
		{"decryption: {provider: sops, secretRef: {name: A_B}}", "spec.decryption.secretRef.name", "lower case"},
		{"dependsOn: [{name: apps}]", "spec.dependsOn[0]", "itself"},
		{"dependsOn: [{name: apps, namespace: flux-system}]", "spec.dependsOn[0]", "itself"},
		{"dependsOn: [{namespace: x}]", "spec.dependsOn[0].name", "Required"},
		{"pth: ./apps", "spec.pth", "unknown field"},
		{"postBuild: {subst: {}}", "spec.postBuild.subst", "unknown field"},
		{"patches: [{patch: x, targets: {}}]", "spec.patches[0].targets", "unknown field"},
		{"Path: ./apps", "spec.Path", "unknown field"},
		{"path: ../../etc", "spec.path", "leaves the source"},
		{"path: a/../../b", "spec.path", "leaves the source"},
		{"path: /../b", "spec.path", "leaves the source"},
		{"path: 'a\\b'", "spec.path", "/ between folders"},
		{"path: [a]", "spec.path", "want a string"},
		{"postBuild: {substitute: {name: x, replicas: 3}}", "spec.postBuild.substitute[replicas]", "it is a number"},
		{"postBuild: {substitute: {name: x, on: true, list: [a], none: null}}", "spec.postBuild.substitute[list]", "it is a list"},
		{"postBuild: {substitute: {name: x, on: true, list: [a], none: null}}", "spec.postBuild.substitute[true]",
			"it is true or false, want a string (put quotes around it); where variables are substituted, write ${quote}"},
		{"force: 'yes'", "spec.force", "true or false"},
		{"components: [https://github.com/x/y]", "spec.components[0]", "relative"},
		{"components: ['']", "spec.components[0]", "Required"},
		{"timeout: 0s", "spec.timeout", "above zero"},
		{"timeout: -1m", "spec.timeout", "above zero"},
		{"timeout: 5", "spec.timeout", "30s"},
		{"retryInterval: soon", "spec.retryInterval", "30s"},
		{"retryInterval: 99999999999h", "spec.retryInterval", "30s"},
		{"deletionPolicy: Keep", "spec.deletionPolicy", "Orphan"},
		{"targetNamespace: Prod", "spec.targetNamespace", "lower case"},
		{"serviceAccountName: ../admin", "spec.serviceAccountName", "lower case"},
		{"namePrefix: " + strings.Repeat("x", 201), "spec.namePrefix", "at most 200"},
		{"nameSuffix: " + strings.Repeat("x", 201), "spec.nameSuffix", "at most 200"},
		{"postBuild: {substitute: {a-b: c}}", "spec.postBuild.substitute[a-b]", "letters"},
		{"postBuild: {substituteStrategy: Never}", "spec.postBuild.substituteStrategy", "Always"},
		{"commonMetadata: {labels: {a: 'b c'}}", "spec.commonMetadata.labels", "a valid label"},
		{"commonMetadata: {annotations: {'a b': c}}", "spec.commonMetadata.annotations", "name part"},
		{"healthChecks: [{kind: Deployment}]", "spec.healthChecks[0].name", "Required"},
		{"healthChecks: [{name: x}]", "spec.healthChecks[0].kind", "Required"},
		{"healthChecks: [{kind: X, name: x, apiVersion: a/b/c}]", "spec.healthChecks[0].apiVersion", "apps/v1"},
		{"images: [{newTag: '1'}]", "spec.images[0].name", "Required"},
		{"patches: [{target: {kind: X}}]", "spec.patches[0].patch", "Required"},
	} {
		t.Run(c.field, func(t *testing.T) {
			refuse(t, kustomization(c.spec), api.ClusterGraph, "Kustomization flux-system/apps", c.field, c.wayOut)
		})
	}
}

func TestAdmit_required(t *testing.T) {
	refuse(t,
		`{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {name: a, namespace: b}, spec: {}}`,
		api.ClusterGraph, "spec.interval", "spec.prune", "spec.sourceRef")
	refuse(t, `{apiVersion: source.toolkit.fluxcd.io/v1, kind: GitRepository, metadata: {name: a, namespace: b}}`,
		api.Hub, "spec.url", "spec.interval")
}

// TestAdmit_misspelt checks that the misspelt name of a required field is named beside the field.
func TestAdmit_misspelt(t *testing.T) {
	refuse(t, strings.Replace(kustomization(""), "prune:", "prun:", 1), api.ClusterGraph, "spec.prune: Required value",
		"spec.prun: Forbidden: unknown field")
	refuse(t, `{apiVersion: fleet.nave.io/v1alpha1, kind: Fleet, metadata: {name: a}, spec: {clusterSelector: {}, `+
		`templat: {spec: {path: ./a}}}}`, api.Hub, "spec.template: Required value", "spec.templat: Forbidden: unknown field")
}

// TestAdmit_numbers tells a number that is wrong which one is wanted.
func TestAdmit_numbers(t *testing.T) {
	for _, number := range []string{"1.5", "2147483648", "99999999999999999999"} {
		refuse(t, `{apiVersion: fleet.nave.io/v1alpha1, kind: Cluster, metadata: {name: a}, spec: {spoke: {image: "r/s:v1", `+
			`maxConcurrent: `+number+`}}}`, api.Hub, "spec.spoke.maxConcurrent", "want a whole number of at most 2147483647")
	}
}

// TestAdmit_unsupported checks that a kind for another controller of the cluster is not to be deleted.
func TestAdmit_unsupported(t *testing.T) {
	refuse(t, `{apiVersion: notification.toolkit.fluxcd.io/v1beta3, kind: Alert, metadata: {name: a, namespace: b}}`,
		api.ClusterGraph, "add Alert.notification.toolkit.fluxcd.io to spec.passThrough of the Cluster or the Fleet",
		"Deleting it from Git")
}

func TestAdmit_source_kinds(t *testing.T) {
	source := func(ref string) string {
		return strings.Replace(kustomization(""), "{kind: GitRepository, name: fleet}", ref, 1)
	}
	for _, kind := range []string{"HelmRepository", "HelmChart", "RemoteBase", "Fleet"} {
		refuse(t, source("{kind: "+kind+", name: a}"), api.ClusterGraph, "spec.sourceRef.kind", `"GitRepository"`)
	}
	refuse(t, source("{kind: Git, name: a}"), api.ClusterGraph, "spec.sourceRef.kind", "GitRepository")
	refuse(t, source("{kind: GitRepository}"), api.ClusterGraph, "spec.sourceRef.name")
	refuse(t, source("{kind: GitRepository, name: a, namespace: A}"), api.ClusterGraph, "spec.sourceRef.namespace")
	refuse(t, source("{kind: GitRepository, name: a, apiVersion: apps/v1}"), api.ClusterGraph, "spec.sourceRef.apiVersion")
	admit(t, source("{kind: GitRepository, name: a, apiVersion: source.toolkit.fluxcd.io/v1beta2, namespace: b}"),
		api.ClusterGraph)
}

func TestAdmit_GitRepository(t *testing.T) {
	const url = "url: https://github.com/x/y\n"
	for _, c := range []struct{ spec, field, wayOut string }{
		{"url: git@github.com:x/y.git", "spec.url", "ssh://"},
		{"url: git://github.com/x/y", "spec.url", "https://"},
		{"url: file:///etc", "spec.url", "https://"},
		{"url: git@github.com:org/repo", "spec.url", "write ssh://git@github.com/org/repo"},
		{"url: git@git.example.com:/srv/git/a.git", "spec.url", "write ssh://git@git.example.com/srv/git/a.git"},
		{"url: ssh://git@github.com:org/repo.git", "spec.url", "write ssh://git@github.com/org/repo.git"},
		{"url: git@host:canary@x", "spec.url", "ssh://git@host/path"},
		{"url: /srv/git", "spec.url", "https://"},
		{"url: https:///x", "spec.url", "host"},
		{"url: ssh://-oProxyCommand=touch/x", "spec.url", "host"},
		{"url: https://me:canary@github.com/x", "spec.url", "Secret"},
		{"url: 'https://github.com/x#'", "spec.url", "spec.ref"},
		{"url: 'https://github.com/x#main'", "spec.url", "spec.ref"},
		{"url: \"https://github.com/x\\n\"", "spec.url", "URL"},
		{url + "verify: {}", "spec.verify.secretRef.name", "Required"},
		{url + "verify: {mode: All, secretRef: {name: a}}", "spec.verify.mode", "TagAndHEAD"},
		{url + "verify: {mode: Tag, secretRef: {name: a}}", "spec.verify.mode", "spec.ref.tag"},
		{url + "ref: {commit: " + strings.Repeat("a", 40) + ", tag: v1}\nverify: {mode: TagAndHEAD, secretRef: {name: a}}",
			"spec.verify.mode", "spec.ref.tag"},
		{url + "proxySecretRef: {}", "spec.proxySecretRef.name", "Required"},
		{url + "sparseCheckout: [a, b/../../c]", "spec.sparseCheckout[1]", "folder of the repository"},
		{url + "sparseCheckout: ['']", "spec.sparseCheckout[0]", "folder of the repository"},
		{url + "provider: github", "spec.secretRef", "githubAppID"},
		{"url: ssh://git@github.com/x/y\nprovider: github\nsecretRef: {name: a}", "spec.provider", "https://"},
		{url + "provider: gitlab", "spec.provider", "github"},
		{"url: http://git.example/x\nprovider: aws", "spec.provider", "https://"},
		{url + "provider: azure\nserviceAccountName: x", "spec.serviceAccountName", "--git-credential-helper"},
		{url + "accessFrom: {namespaceSelectors: [{}]}", "spec.accessFrom", "remove it"},
		{url + "reff: {branch: main}", "spec.reff", "unknown field"},
		{url + "ref: {brunch: main}", "spec.ref.brunch", "unknown field"},
		{url + "ref: {branch: refs/heads/../../config}", "spec.ref.branch", "git allows"},
		{url + "ref: {tag: '-x'}", "spec.ref.tag", "git allows"},
		{url + "ref: {branch: 'a b'}", "spec.ref.branch", "git allows"},
		{url + "ref: {branch: a.lock/b}", "spec.ref.branch", "git allows"},
		{url + "ref: {name: main}", "spec.ref.name", "refs/heads/main"},
		{url + "ref: {semver: 'newest'}", "spec.ref.semver", "range"},
		{url + "ref: {commit: abc123}", "spec.ref.commit", "40"},
		{url + "secretRef: {}", "spec.secretRef.name", "Required"},
		{url + "secretRef: {name: a/b}", "spec.secretRef.name", "lower case"},
		{url + "timeout: never", "spec.timeout", "30s"},
	} {
		t.Run(c.field, func(t *testing.T) {
			text := gitRepository(c.spec)
			refuse(t, text, api.Hub, "GitRepository flux-system/fleet", c.field, c.wayOut)
			if _, err := api.Admit(parse(t, text), api.Hub); strings.Contains(err.Error(), "canary") {
				t.Errorf("a password is in the message: %v", err)
			}
		})
	}
}

func TestAdmit_addresses(t *testing.T) {
	for _, url := range []string{
		"https://github.com/x/y", "http://10.0.0.1:3000/x.git", "ssh://git@gitlab.com:2222/a/b/c.git",
		"https://org@dev.azure.com/org/p/_git/r",
		"ssh://git@ssh.dev.azure.com/v3/org/p/r", "http://[::1]:8080/x", "https://git.example.com/scm/~me/r.git",
	} {
		admit(t, gitRepository("url: "+url), api.Hub)
	}
}

func TestAdmit_names(t *testing.T) {
	for _, name := range []string{`""`, "A", "a_b", "../x", "a/b", strings.Repeat("a", 254)} {
		refuse(t, strings.Replace(kustomization(""), "name: apps", "name: "+name, 1), api.ClusterGraph, "metadata.name")
	}
	refuse(t, strings.Replace(kustomization(""), "namespace: flux-system", "namespace: a.b", 1), api.ClusterGraph,
		"metadata.namespace")
	refuse(t, strings.Replace(kustomization(""), ", namespace: flux-system", ", labels: {a: 'b c'}, namespace: x", 1),
		api.ClusterGraph, "metadata.labels")
	refuse(t, strings.Replace(kustomization(""), ", namespace: flux-system", ", nmespace: x", 1), api.ClusterGraph,
		"metadata.nmespace", "unknown field")
	refuse(t, strings.Replace(kustomization(""), "metadata: {", "metadata: {generation: x, ", 1), api.ClusterGraph,
		"metadata.generation", "number")
	refuse(t, `{apiVersion: fleet.nave.io/v1alpha1, kind: Cluster, metadata: {name: a.b}}`, api.Hub, "metadata.name")
	refuse(t, `{apiVersion: fleet.nave.io/v1alpha1, kind: Cluster, metadata: {name: a}, spec: {stopRepair: true}}`,
		api.Hub, "spec.stopRepair", "suspend: true")
	admit(t, `{apiVersion: fleet.nave.io/v1alpha1, kind: Cluster, metadata: {name: a},
  spec: {suspend: true, stopRepair: true}}`, api.Hub)
	refuse(t, `{apiVersion: fleet.nave.io/v1alpha1, kind: Cluster}`, api.Hub, "metadata.name")
}

func TestAdmit_namespace(t *testing.T) {
	text := strings.Replace(kustomization(""), ", namespace: flux-system", "", 1)
	if ns := admit(t, text, api.Hub).Key.Namespace; ns != api.DefaultNamespace {
		t.Errorf("namespace %q", ns)
	}
	refuse(t, text, api.ClusterGraph, "metadata.namespace")
	cluster := admit(t,
		`{apiVersion: fleet.nave.io/v1alpha1, kind: Cluster, metadata: {name: a, namespace: from-kustomize}}`, api.Hub)
	if ns := cluster.Key.Namespace; ns != "" {
		t.Errorf("a Cluster has the namespace %q", ns)
	}
}

func TestKnown(t *testing.T) {
	for apiVersion, kinds := range map[string][]string{
		"notification.toolkit.fluxcd.io/v1beta3": {"Alert", "Provider", "Receiver"},
	} {
		for _, kind := range kinds {
			o := parse(t, fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: a, namespace: b}}", apiVersion, kind))
			_, err := api.Admit(o, api.ClusterGraph)
			if !api.Known(o) || !errors.Is(err, api.ErrUnsupported) || !strings.Contains(err.Error(), kind) {
				t.Errorf("%s: known %v, %v", kind, api.Known(o), err)
			}
		}
	}
	for _, payload := range []string{"v1/Secret", "apps/v1/Deployment", "infra.contrib.fluxcd.io/v1alpha2/Terraform",
		"kustomize.config.k8s.io/v1beta1/Kustomization"} {
		i := strings.LastIndex(payload, "/")
		o := parse(t, fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: a}}", payload[:i], payload[i+1:]))
		if _, err := api.Admit(o, api.Hub); api.Known(o) || err == nil {
			t.Errorf("%s: known %v, %v", payload, api.Known(o), err)
		}
	}
	typo := `{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomisation, metadata: {name: a}}`
	if !api.Known(parse(t, typo)) {
		t.Error("a misspelt kind of Flux would be sent to the cluster")
	}
	refuse(t, typo, api.ClusterGraph, "Kustomisation")
	refuse(t, strings.Replace(kustomization(""), "/v1\n", "/v9\n", 1), api.ClusterGraph, "v9", "v1beta2")
}

func TestAdmit_scope(t *testing.T) {
	refuse(t, `{apiVersion: fleet.nave.io/v1alpha1, kind: Cluster, metadata: {name: a}}`, api.ClusterGraph, "hub")
	refuse(t, `{apiVersion: fleet.nave.io/v1alpha1, kind: Fleet, metadata: {name: a}}`, api.ClusterGraph, "hub")
}

func TestAdmit_size(t *testing.T) {
	refuse(t, gitRepository("url: https://x/y\nignore: "+strings.Repeat("x", api.MaxObject)), api.Hub, "bytes")
}

func TestAdmit_stable_errors(t *testing.T) {
	text := kustomization("commonMetadata: {labels: {a: ' ', b: ' ', c: ' ', d: ' '}}\npostBuild: {substitute: {1: a, " +
		"2: b, 3: c, 4: d}}")
	_, first := api.Admit(parse(t, text), api.ClusterGraph)
	f := fleet(t, strings.Replace(prodFleet, "path:",
		"namePrefix: ${a}\n      nameSuffix: ${b}\n      targetNamespace: ${c}\n      path:", 1))
	_, firstOfFleet := api.ExpandTemplate(f, &api.Cluster{})
	for range 20 {
		if _, err := api.Admit(parse(t, text), api.ClusterGraph); err.Error() != first.Error() {
			t.Fatalf("first %v\nthen %v", first, err)
		}
		if _, err := api.ExpandTemplate(f, &api.Cluster{}); err.Error() != firstOfFleet.Error() {
			t.Fatalf("first %v\nthen %v", firstOfFleet, err)
		}
	}
}

func TestFetchKey(t *testing.T) {
	key := func(spec string) string {
		return sourceView(t, gitRepository(spec)).FetchKey(false)
	}
	const url = "url: https://github.com/x/y\n"
	equal := []string{url, url + "timeout: 5s", url + "ref: {branch: master}", url + "ref: {}", url + "suspend: true"}
	for _, spec := range equal {
		if key(spec) != key(url) {
			t.Errorf("%q is another source", spec)
		}
	}
	different := []string{
		url, "url: https://github.com/x/z", url + "ref: {branch: main}", url + "ref: {tag: main}", url +
			"secretRef: {name: a}",
		url + "secretRef: {name: b}", url + "ignore: ''", url + "ignore: x",
	}
	seen := map[string]string{}
	for _, spec := range different {
		if other, ok := seen[key(spec)]; ok {
			t.Errorf("%q and %q are one source", spec, other)
		}
		seen[key(spec)] = spec
	}
	if s := sourceView(t, gitRepository(url+"secretRef: {name: a}")); s.FetchKey(true) == s.FetchKey(false) {
		t.Error("who must be allowed to use a Secret shares the fetch of who need not")
	}
	if s := sourceView(t, gitRepository(url)); s.FetchKey(true) != s.FetchKey(false) {
		t.Error("without a Secret there is nothing to keep apart")
	}
}

// TestFormerFetchKey compares keys with digests of the JSON that hubs hashed until November 2026.
func TestFormerFetchKey(t *testing.T) {
	const url = "url: https://github.com/x/y\n"
	for spec, was := range map[string]string{
		url: `{"url":"https://github.com/x/y","ref":{"branch":"master"}}`,
		url + "ref: {tag: v1}\nsecretRef: {name: a}\nignore: x": `{"url":"https://github.com/x/y","ref":{"tag":"v1"},` +
			`"secret":"flux-system/a","bound":true,"ignore":"x"}`,
	} {
		if key, err := api.FormerFetchKey(admit(t, gitRepository(spec), api.Hub), true); err != nil ||
			key != manifest.DigestOf([]byte(was)).String() {
			t.Errorf("%q: %s, %v", spec, key, err)
		}
	}
}

func FuzzAdmit(f *testing.F) {
	for _, seed := range []string{
		bootstrapped, kustomization("patches: [{patch: x}]"), gitRepository("url: https://x/y"),
		`{apiVersion: fleet.nave.io/v1alpha1, kind: Cluster, metadata: {name: a}, spec: {vars: {a: b}}}`, prodFleet,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o := &manifest.Object{}
		if err := yaml.Unmarshal(data, &o.Object); err != nil || o.Object == nil {
			return
		}
		once, err := api.Admit(o, api.Hub)
		if err != nil {
			return
		}
		admitted, err := once.Parse()
		if err != nil {
			t.Fatal(err)
		}
		twice, err := api.Admit(admitted, api.Hub)
		if err != nil {
			t.Fatalf("an admitted object is refused: %v", err)
		}
		if string(once.JSON) != string(twice.JSON) {
			t.Fatalf("admitting again changes it: %s, then %s", once.JSON, twice.JSON)
		}
	})
}
