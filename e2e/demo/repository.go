package main

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/navefleet/nave/e2e/kubetest"
	"github.com/navefleet/nave/e2e/sopstest"
)

// plaintext is the secret of the demo: it is in the clusters, and nowhere else.
const plaintext = "correct-horse-battery-staple"

// files is the repository of the demo: the hub's root, a folder per cluster, an app with an overlay per cluster, and a
// chart.
func (d *demo) files() (map[string]string, error) {
	secret, err := d.key.Encrypt([]byte("apiVersion: v1\nkind: Secret\nmetadata:\n  name: app\n  namespace: " +
		"app\nstringData:\n  password: " + plaintext + "\n"))
	if err != nil {
		return nil, fmt.Errorf("encrypt the demo's secret: %w", err)
	}
	files := map[string]string{
		"hub/fleet.yaml": fleetYAML,
		"apps/base/kustomization.yaml": "resources: [namespace.yaml, config.yaml, deployment.yaml, secret.yaml, " +
			"extra.yaml]\n",
		"apps/base/namespace.yaml":  "apiVersion: v1\nkind: Namespace\nmetadata: {name: app}\n",
		"apps/base/config.yaml":     configYAML("welcome"),
		"apps/base/deployment.yaml": deploymentYAML,
		"apps/base/secret.yaml":     string(secret),
		"apps/base/extra.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra, namespace: app}\ndata: " +
			"{a: b}\n",
	}
	maps.Copy(files, releaseFiles)
	for i, c := range d.lab.Clusters {
		files["clusters/"+c.Name+"/greeter.yaml"] = releaseYAML
		files["clusters/"+c.Name+"/app.yaml"] = fmt.Sprintf(kustomizationYAML, c.Name)
		files["apps/"+c.Name+"/kustomization.yaml"] = fmt.Sprintf(overlayYAML, i+1)
	}
	return files, nil
}

const fleetYAML = `apiVersion: fleet.nave.io/v1alpha1
kind: Fleet
metadata: {name: demo}
spec:
  clusterSelector: {matchLabels: {env: demo}}
  template:
    metadata: {name: root, namespace: flux-system}
    spec:
      interval: 10m
      prune: true
      path: ./clusters/${cluster_name}
      sourceRef: {kind: GitRepository, name: hub}
      postBuild: {substitute: {cluster_name: "${cluster_name}", domain: "${domain}"}}
`

const kustomizationYAML = `apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app, namespace: flux-system}
spec:
  interval: 10m
  prune: true
  wait: true
  timeout: 2m
  path: ./apps/%s
  sourceRef: {kind: GitRepository, name: hub}
  decryption: {provider: sops, secretRef: {name: sops-age}}
  postBuild: {substitute: {cluster_name: "${cluster_name}", domain: "${domain}"}}
`

const overlayYAML = `resources: [../base]
replicas: [{name: web, count: %d}]
`

const deploymentYAML = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: app}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: registry.k8s.io/pause:3.10
          env: [{name: HOST, value: "web.${domain}"}]
`

func configYAML(greeting string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: app}\ndata:\n  greeting: " + greeting +
		" to ${cluster_name}\n"
}

// setUp joins the clusters, gives them the key, and gives the hub its root.
func (d *demo) setUp(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if d.key, err = sopstest.NewAge(); err != nil {
		return err
	}
	files, err := d.files()
	if err != nil {
		return err
	}
	d.say("nave bootstrap: the hub reads its clusters, fleets and sources from git")
	if err := d.fleet.Bootstrap(ctx, files); err != nil {
		return err
	}
	// So that a plain "git push" in the work tree does what the hints say.
	if _, err := d.fleet.Repo.Git("config", "push.autoSetupRemote", "true"); err != nil {
		return err
	}
	for _, c := range d.lab.Clusters {
		d.say("nave cluster add %s, kubectl apply, and the spoke dials the hub", c.Name)
		if err := c.Apply(ctx, fmt.Appendf(nil, keySecretYAML, d.key.Entry(), d.key.Private())); err != nil {
			return err
		}
		if _, err := d.fleet.Join(ctx, c, "--label=env=demo", "--var=domain="+c.Name+".example.com"); err != nil {
			return err
		}
	}
	return d.everywhere(ctx, "the app is live and its Deployment is ready",
		func(ctx context.Context, c *kubetest.Cluster) error {
			return ready(ctx, c)
		})
}

const keySecretYAML = `apiVersion: v1
kind: Namespace
metadata: {name: flux-system}
---
apiVersion: v1
kind: Secret
metadata: {name: sops-age, namespace: flux-system}
stringData: {%s: %s}
`
