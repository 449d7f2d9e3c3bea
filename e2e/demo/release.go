package main

import (
	"context"
	"fmt"

	"github.com/navefleet/nave/e2e/kubetest"
)

// releaseFiles is a chart of its own and a release of it: a ConfigMap, and a test that ends at once on the simulated
// nodes.
var releaseFiles = map[string]string{
	"charts/greeter/Chart.yaml":                "apiVersion: v2\nname: greeter\nversion: 1.0.0\n",
	"charts/greeter/values.yaml":               "greeting: hello\n",
	"charts/greeter/templates/greeting.yaml":   greetingYAML,
	"charts/greeter/templates/tests/asks.yaml": testYAML,
}

const releaseYAML = `apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: greeter, namespace: app}
spec:
  interval: 10m
  chart:
    spec:
      chart: ./charts/greeter
      sourceRef: {kind: GitRepository, name: hub, namespace: flux-system}
  values: {greeting: "welcome to ${cluster_name}"}
`

const greetingYAML = `apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {greeting: {{ .Values.greeting | quote }}}
`

const testYAML = `apiVersion: v1
kind: Pod
metadata: {name: {{ .Release.Name }}-asks, annotations: {helm.sh/hook: test}}
spec:
  restartPolicy: Never
  containers: [{name: asks, image: "busybox:1.37", command: ["true"]}]
`

func (d *demo) releaseIsTested(ctx context.Context) error {
	err := d.everywhere(ctx, "a release of Helm is installed", func(ctx context.Context, c *kubetest.Cluster) error {
		return hasData(ctx, c, "ConfigMap", "greeter", "greeting", "welcome to "+c.Name)
	})
	if err != nil {
		return err
	}
	for _, c := range d.lab.Clusters {
		if out, err := d.fleet.Nave(ctx, "test", "greeter", "--namespace=app", "--cluster="+c.Name); err != nil {
			return fmt.Errorf("nave test: %w\n%s", err, out)
		}
	}
	d.say("✔ and its tests pass")
	return nil
}
