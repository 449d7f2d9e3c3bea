package main

import (
	"fmt"
	"strings"

	"github.com/navefleet/nave/e2e/sopstest"
)

const (
	repositoryApps  = 130
	encryptedEvery  = 13 // one application in so many has a SOPS file
	repositoryRoot  = "clusters/bench"
	fewestObjects   = 10
	mostObjects     = 40
	repositorySpace = "flux-system"
)

// repository makes the files of a Flux repository with 130 Kustomizations of 10 to 40 objects each, as platform teams
// have them: each application has a base and an overlay with patches, images, labels, generated ConfigMaps and shared
// components; some are plain folders of manifests; many use variables; one in 13 has a SOPS file. Each generation
// differs from the others in every manifest, so that no build of another generation can be used again.
func repository(generation int, key *sopstest.Key) (map[string]string, error) {
	files := sharedComponents(generation)
	for i := range repositoryApps {
		files[repositoryRoot+"/"+appName(i)+".yaml"] = kustomizationOf(i)
		dir := "apps/" + appName(i)
		for path, content := range appFiles(i, generation) {
			files[dir+"/"+path] = content
		}
		if !isEncrypted(i) {
			continue
		}
		secret, err := key.Encrypt(fmt.Appendf(nil, "apiVersion: v1\nkind: Secret\nmetadata:\n  name: credentials\n"+
			"stringData:\n  user: app-%d\n  password: secret-%d\n", i, generation))
		if err != nil {
			return nil, err
		}
		files[dir+"/base/secret.sops.yaml"] = string(secret)
	}
	return files, nil
}

func appName(i int) string { return fmt.Sprintf("app-%03d", i) }

// The forms of applications.
func isEncrypted(i int) bool    { return i%encryptedEvery == 5 }
func isFolder(i int) bool       { return i%5 == 4 && !isEncrypted(i) } // without kustomization files
func hasVariables(i int) bool   { return i%2 == 0 }
func hasComponents(i int) bool  { return i%3 == 0 }
func hasGenerator(i int) bool   { return i%4 == 1 }
func objectsOfApp(i int) int    { return fewestObjects + i*7%(mostObjects-fewestObjects+1) }
func changingFile(i int) string { return "apps/" + appName(i) + "/base/configmap-0.yaml" }
func pathOfApp(i int) string {
	if isFolder(i) {
		return "./apps/" + appName(i) + "/base"
	}
	return "./apps/" + appName(i) + "/prod"
}

// kustomizationOf is the Flux object of an application.
func kustomizationOf(i int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: %s, namespace: %s}
spec:
  interval: 1h
  prune: true
  path: %s
  sourceRef: {kind: GitRepository, name: hub}
  targetNamespace: %s
`, appName(i), repositorySpace, pathOfApp(i), appName(i))
	if i%10 != 0 {
		fmt.Fprintf(&b, "  dependsOn: [{name: %s}]\n", appName(i-i%10))
	}
	if hasVariables(i) {
		fmt.Fprintf(&b, "  postBuild: {substitute: {domain: bench.example.com, replicas: \"%d\"}}\n", 1+i%3)
	}
	if i%7 == 3 {
		b.WriteString("  patches:\n  - target: {kind: Deployment}\n    patch: |\n      - op: add\n" +
			"        path: /spec/template/spec/priorityClassName\n        value: high\n")
	}
	return b.String()
}

// sharedComponents are used by many applications.
func sharedComponents(generation int) map[string]string {
	component := "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
	return map[string]string{
		"components/monitoring/kustomization.yaml": component + "resources: [monitor.yaml]\npatches:\n- path: scrape.yaml\n" +
			"  target: {kind: Deployment}\n",
		"components/monitoring/monitor.yaml": manifestOf("monitoring.coreos.com/v1", "ServiceMonitor", "monitor", generation,
			"spec:\n  endpoints: [{port: http, interval: 30s}]\n  selector: {matchLabels: {scrape: \"yes\"}}\n"),
		"components/monitoring/scrape.yaml": fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: any}\n"+
			"spec: {template: {metadata: {annotations: {prometheus.io/scrape: \"true\", generation: \"%d\"}}}}\n", generation),
		"components/restricted/kustomization.yaml": component + "patches:\n- target: {kind: Deployment}\n  patch: |\n" +
			"    - op: add\n      path: /spec/template/spec/securityContext\n      value: {runAsNonRoot: true}\n",
	}
}

// appFiles are the files of one application, without its SOPS file.
func appFiles(i, generation int) map[string]string {
	files := map[string]string{}
	var resources strings.Builder
	for n := range objectsOfApp(i) {
		name, content := manifestNumber(i, n, generation)
		files["base/"+name] = content
		resources.WriteString("- " + name + "\n")
	}
	if isFolder(i) {
		return files
	}
	if isEncrypted(i) {
		resources.WriteString("- secret.sops.yaml\n")
	}
	header := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
	files["base/kustomization.yaml"] = header + "resources:\n" + resources.String()
	files["prod/kustomization.yaml"] = header + overlay(i)
	files["prod/replicas.yaml"] = fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: deployment-0}\n"+
		"spec:\n  replicas: 3\n  template:\n    metadata: {annotations: {generation: \"%d\"}}\n", generation)
	files["prod/settings.env"] = fmt.Sprintf("LEVEL=info\nGENERATION=%d\n", generation)
	return files
}

// overlay is the kustomization file of the overlay, without its header.
func overlay(i int) string {
	var b strings.Builder
	b.WriteString("resources: [../base]\nlabels:\n- pairs: {app.kubernetes.io/part-of: " + appName(i) + "}\n" +
		"images:\n- {name: example.com/app, newTag: v1.2.3}\npatches:\n- path: replicas.yaml\n" +
		"- target: {kind: Service}\n  patch: |\n    - op: add\n      path: /metadata/annotations/team\n      value: bench\n")
	if hasComponents(i) {
		b.WriteString("components: [../../../components/monitoring, ../../../components/restricted]\n")
	}
	if hasGenerator(i) {
		b.WriteString("configMapGenerator:\n- {name: settings, envs: [settings.env]}\n")
	}
	return b.String()
}

// manifestNumber is the n-th object of an application, in a file of its own: in turn what a service is made of.
func manifestNumber(i, n, generation int) (file, content string) {
	kinds := []struct{ version, kind, body string }{
		{"v1", "ConfigMap", "data:\n  url: " + address(i) + "\n  config.yaml: |\n    level: info\n    listen: :8080\n" +
			"    payload: " + payload + "\n"},
		{"apps/v1", "Deployment", deploymentBody(i, n)},
		{"v1", "Service", fmt.Sprintf("spec:\n  selector: {app: deployment-%d}\n  ports: [{name: http, port: 80, "+
			"targetPort: 8080}]\n", n/5)},
		{"v1", "ServiceAccount", "automountServiceAccountToken: false\n"},
		{"networking.k8s.io/v1", "Ingress", fmt.Sprintf("spec:\n  rules:\n  - host: %s\n    http:\n      paths:\n      - "+
			"path: /\n        pathType: Prefix\n        backend: {service: {name: service-%d, port: {name: http}}}\n",
			host(i), n/5)},
	}
	k := kinds[n%len(kinds)]
	name := fmt.Sprintf("%s-%d", strings.ToLower(k.kind), n/len(kinds))
	return name + ".yaml", manifestOf(k.version, k.kind, name, generation, k.body)
}

func host(i int) string {
	if hasVariables(i) {
		return appName(i) + ".${domain}"
	}
	return appName(i) + ".example.com"
}

func address(i int) string { return "https://" + host(i) + "/" }

func deploymentBody(i, n int) string {
	replicas := "2"
	if hasVariables(i) {
		replicas = "${replicas}"
	}
	return fmt.Sprintf(`spec:
  replicas: %[1]s
  selector: {matchLabels: {app: deployment-%[2]d}}
  template:
    metadata:
      labels: {app: deployment-%[2]d}
    spec:
      serviceAccountName: serviceaccount-%[2]d
      containers:
      - name: app
        image: example.com/app:v1.0.0
        args: [--config, /etc/app/config.yaml, --listen, ":8080"]
        ports: [{name: http, containerPort: 8080}]
        resources:
          requests: {cpu: 50m, memory: 64Mi}
          limits: {memory: 128Mi}
        readinessProbe: {httpGet: {path: /healthz, port: http}}
        envFrom:
        - configMapRef: {name: configmap-%[2]d}
        volumeMounts:
        - {name: config, mountPath: /etc/app}
      volumes:
      - name: config
        configMap: {name: configmap-%[2]d}
`, replicas, n/5)
}

func manifestOf(version, kind, name string, generation int, body string) string {
	return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata:\n  name: %s\n  annotations:\n    generation: \"%d\"\n%s",
		version, kind, name, generation, body)
}
