package plan

import (
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

const kustomizationHead = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata:\n  name: bad\n" +
	"  namespace: flux-system\nspec:\n"

const kustomizationSpec = "  interval: 10m\n  prune: true\n  path: ./app\n" +
	"  sourceRef: {kind: GitRepository, name: fleet}\n"

// TestSameWords puts faults into Git, and checks that the status of the Kustomization that reads them has each line
// that the commands print about the file.
func TestSameWords(t *testing.T) {
	for name, c := range map[string]struct{ file, line string }{
		"unknown_field": {kustomizationHead + kustomizationSpec + "  intervall: 5m\n",
			"root/bad.yaml:11: Kustomization flux-system/bad: spec.intervall: Forbidden: unknown field: did you mean interval?"},
		"nested_unknown_field": {kustomizationHead + kustomizationSpec + "  dependsOn:\n  - name: a\n  - nam: b\n",
			"root/bad.yaml:13: Kustomization flux-system/bad: spec.dependsOn[1].nam: Forbidden: unknown field: did you mean " +
				"name?"},
		"two_faults": {kustomizationHead + "  interval: 10\n  prune: true\n  path: ./app\n  sourceRf: {}\n",
			"root/bad.yaml:10: Kustomization flux-system/bad: spec.sourceRf: Forbidden: unknown field: did you mean sourceRef?"},
		"all_at_once": {strings.Replace(kustomizationHead, "spec:", "  labels: {a b: c}\nspec:", 1) +
			"  interval: 10\n  prune: maybe\n  path: [a]\n  wait: 3\n  timeout: soon\n  sourceRef: {kind: Git, name: a, x: y}\n",
			"root/bad.yaml:10: Kustomization flux-system/bad: spec.path: Invalid value"},
		"wrong_type": {kustomizationHead + kustomizationSpec + "  wait: many\n", "root/bad.yaml:11: "},
		"wrong_duration": {kustomizationHead + kustomizationSpec + "  timeout: soon\n",
			`root/bad.yaml:11: Kustomization flux-system/bad: spec.timeout: Invalid value: "soon"`},
		"missing_field": {kustomizationHead + "  prune: true\n", "root/bad.yaml:6: Kustomization flux-system/bad: " +
			"spec.sourceRef: Required value"},
		"wrong_label": {strings.Replace(kustomizationHead, "spec:", "  labels: {a b: c}\nspec:", 1) + kustomizationSpec,
			"root/bad.yaml:6: "},
		"version": {strings.Replace(kustomizationHead, "v1", "v9", 1) + kustomizationSpec,
			"root/bad.yaml:1: Kustomization flux-system/bad: apiVersion kustomize.toolkit.fluxcd.io/v9 is unknown"},
		"unsupported_kind": {"apiVersion: notification.toolkit.fluxcd.io/v1beta3\nkind: Alert\nmetadata: {name: bad, " +
			"namespace: x}\n",
			"root/bad.yaml:1: Alert x/bad: kind Alert"},
		"kind_of_the_hub": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\napiVersion: " +
			"fleet.nave.io/v1alpha1\nkind: Cluster\nmetadata: {name: bad}\n",
			"root/bad.yaml:5 (document 2): Cluster bad: a Cluster is an object of the hub and cannot be in the graph"},
		"second_document": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\n" + kustomizationHead +
			kustomizationSpec + "  intervall: 5m\n",
			"root/bad.yaml:15 (document 2): Kustomization flux-system/bad: spec.interv"},
		"syntax":         {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c\n", "root/bad.yaml:3: did not find expected"},
		"two_syntax":     {"a: [\n---\nb: {\n", "root/bad.yaml:3 (document 2): "},
		"no_name":        {"apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n", "root/bad.yaml:1: ConfigMap: metadata.name is missing"},
		"duplicate_keys": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  a: b\n  a: c\n", "root/bad.yaml:6: duplicate key"},
	} {
		t.Run(name, func(t *testing.T) {
			err := api.AdmitAll([]api.File{{Name: "root/bad.yaml", Data: []byte(c.file)}},
				func(o *manifest.Object) (api.Key, error) {
					if !api.Known(o) {
						return api.Key{}, nil
					}
					_, err := api.Admit(o, api.ClusterGraph)
					return api.Key{}, err
				})
			if err == nil || !strings.Contains(err.Error(), c.line) {
				t.Fatalf("the commands say\n%v\nwant\n%s", err, c.line)
			}
			files := fleet(1)
			files.Files = append(files.Files, txtar.File{Name: "one/root/bad.yaml", Data: []byte(c.file)})
			s := newStory(t, files)
			for _, line := range []string{"apply hub.yaml", "plan", "fetch fleet main@sha1:1 one", "plan"} {
				s.play(strings.Fields(line))
			}
			root := get(s, store.Conditions, "c0000/Kustomization/flux-system/root")
			if root.Ready != condition.False {
				t.Errorf("the root: %+v", root)
			}
			for line := range strings.Lines(err.Error()) {
				if !strings.Contains(root.Message, strings.TrimSpace(line)) {
					t.Errorf("the hub says\n%s\nwant\n%s", root.Message, line)
				}
			}
		})
	}
}

// TestMissingSource checks that the message about a missing source names the one in another namespace.
func TestMissingSource(t *testing.T) {
	files := fleet(1)
	files.Files = append(files.Files, txtar.File{Name: "one/root/web.yaml", Data: []byte(
		strings.ReplaceAll(kustomizationHead+kustomizationSpec, "flux-system", "web"))})
	s := newStory(t, files)
	for _, line := range []string{"apply hub.yaml", "plan", "fetch fleet main@sha1:1 one", "plan"} {
		s.play(strings.Fields(line))
	}
	const want = "source not found: there is no GitRepository web/fleet among the objects of the cluster or of the hub; " +
		"GitRepository flux-system/fleet exists: if it is meant, name its namespace in the reference"
	if c := get(s, store.Conditions, "c0000/Kustomization/web/bad"); c.Message != want {
		t.Errorf("got %s\nwant %s", c.Message, want)
	}
}
