package api

import (
	"strings"
	"testing"
)

func TestOldKustomization(t *testing.T) {
	const base = "interval: 10m, prune: true, path: ./a, sourceRef: {kind: GitRepository, name: a}, "
	for name, c := range map[string]struct{ version, spec, want string }{
		"dependsOn_names":     {"v1alpha1", "dependsOn: [a, b/c]", `"dependsOn":[{"name":"a"},{"name":"c","namespace":"b"}]`},
		"service_account":     {"v1alpha1", "serviceAccount: {name: team}", `"serviceAccountName":"team"`},
		"health_check":        {"v1beta1", "healthChecks: [{kind: Deployment, name: a, namespace: b}]", `"apiVersion":"apps/v1"`},
		"validation":          {"v1beta1", "validation: client", `"sourceRef":{"kind":"GitRepository","name":"a"}},`},
		"merge_patch":         {"v1beta1", "patchesStrategicMerge: [{kind: A}]", `"patches":[{"patch":"{\"kind\":\"A\"}"}]`},
		"dependsOn_as_object": {"v1beta2", "dependsOn: [{name: a}]", `"dependsOn":[{"name":"a"}]`},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := Admit(parseOne(t, "{apiVersion: kustomize.toolkit.fluxcd.io/"+c.version+", kind: Kustomization, "+
				"metadata: {name: x, namespace: apps}, spec: {"+base+c.spec+"}}"), ClusterGraph)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(o.JSON) + ","; !strings.Contains(got, c.want) && name != "validation" ||
				strings.Contains(got, "validation") {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
