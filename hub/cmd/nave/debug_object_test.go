package main

import (
	"strings"
	"testing"
)

// debugFiles is a repository whose clusters have a Kustomization and a HelmRelease that read ConfigMaps and Secrets.
func debugFiles() map[string]string {
	files := diffFiles()
	app := strings.Replace(files["clusters/eu/app.yaml"], "name: fleet}}", "name: fleet}, postBuild: {substitute: "+
		"{own: x}, substituteFrom: [{kind: ConfigMap, name: vars}, {kind: Secret, name: token}, "+
		"{kind: Secret, name: none, optional: true}]}}", 1)
	app += `---
apiVersion: v1
kind: ConfigMap
metadata: {name: vars, namespace: flux-system}
data: {own: lost, region: eu}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: values, namespace: flux-system}
data: {values.yaml: "replicas: 1\ncolor: red\n"}
---
apiVersion: v1
kind: Secret
metadata: {name: token, namespace: flux-system}
stringData: {token: canary}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: web, namespace: flux-system}
spec:
  interval: 1m
  chart: {spec: {chart: ./chart, sourceRef: {kind: GitRepository, name: fleet}}}
  valuesFrom:
  - {kind: ConfigMap, name: values}
  - {kind: Secret, name: token, valuesKey: token, targetPath: auth.token}
  - {kind: Secret, name: only-there}
  values: {replicas: 2}
`
	files["clusters/eu/app.yaml"], files["clusters/lab/app.yaml"] = app, app
	files["chart/Chart.yaml"] = "apiVersion: v2\nname: web\nversion: 1.0.0\n"
	return files
}

// TestDebug_object shows what flux debug shows of objects of the hub, and no value of a Secret.
func TestDebug_object(t *testing.T) {
	config := hubWith(t, tree(t, debugFiles()), fleetFiles["hub/fleet.yaml"]+"---\n"+fleetFiles["hub/clusters.yaml"], 2)
	for name, c := range map[string]struct{ args, out, errOut string }{
		"vars": {"kustomization app --cluster=east --show-vars", "own=x\nregion=eu\ntoken=***\n",
			"spec.postBuild.substituteFrom[2]: Secret flux-system/none is left out"},
		"values": {"helmrelease web --cluster=east --show-values", "auth:\n  token: '***'\ncolor: red\nreplicas: 2\n",
			"spec.valuesFrom[2]: Secret flux-system/only-there is left out"},
		"status":     {"hr web --cluster=east --show-status", "conditions:\n", ""},
		"no_flag":    {"ks app --cluster=east", "", "at least one of the flags"},
		"both":       {"ks app --cluster=east --show-vars --show-status", "", "none of the others can be"},
		"no_cluster": {"ks app --show-vars", "", "name the cluster with --cluster: --show-vars differs"},
		"missing":    {"ks none --cluster=east --show-vars", "", "flux-system/none on east not found"},
	} {
		t.Run(name, func(t *testing.T) {
			out, errOut := nave(t, config, append([]string{"debug"}, strings.Fields(c.args)...)...)
			if !strings.HasPrefix(out, c.out) || c.errOut == "" && errOut != "" || !strings.Contains(errOut, c.errOut) ||
				strings.Contains(out+errOut, "canary") {
				t.Errorf("printed %q and %q", out, errOut)
			}
		})
	}
}
