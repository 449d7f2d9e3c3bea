package e2e_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/helmtest"
	"github.com/navefleet/nave/e2e/ocitest"
)

// The commands of README, of the guides and of the reference run one after the other on one fleet: a hub and two
// clusters that run a copy of examples/fleet.
func TestGuides(t *testing.T) {
	if !hasSOPS() || !hasRegistry() {
		t.Skip("needs sops and docker-registry")
	}
	hub, cluster := cutDocument(t, readDocument(t, "README.md"), "\nGive the hub its root in Git")
	said := runGuides(t, withSteps(t, machine+hub, readmeSteps)+
		withSteps(t, readDocument(t, "examples/fleet/README.md"), exampleSteps)+
		withSteps(t, readDocument(t, "docs/secrets.md"), secretSteps)+
		withSteps(t, cluster, clusterSteps)+
		withSteps(t, readDocument(t, "docs/helm.md"), helmSteps(t))+
		withSteps(t, readDocument(t, "docs/preview.md"), previewSteps)+
		readDocument(t, "docs/troubleshooting.md")+
		withSteps(t, readDocument(t, "docs/operations.md"), operationSteps(t))+
		withSteps(t, readDocument(t, "docs/rollouts.md"), rolloutSteps(t))+
		withSteps(t, readDocument(t, "docs/metrics.md"), metricSteps)+
		readDocument(t, "docs/traces.md")+checkTraces+
		withSteps(t, readDocument(t, "docs/cli/nave.md"), referenceSteps)+
		readDocument(t, "docs/cli/nave-hub.md"))
	for _, want := range []string{"change-me-and-encrypt-me", "Duration: "} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing printed %q", want)
		}
	}
}

// runGuides runs documents in one shell, on a machine with the clusters staging-1 and prod-1 and the tools that the
// documents name. It returns what the commands printed.
func runGuides(t *testing.T, text string) string {
	t.Helper()
	needsLab(t)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	s := newShell(ctx, t, "staging-1", "prod-1")
	s.addTools(ctx, t)
	charts := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(s.home, "repository"))))
	t.Cleanup(charts.Close)
	registry, err := ocitest.Start(ocitest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { registry.Close() })
	traces := &receiver{file: filepath.Join(s.home, "spans"), state: "up"}
	collector := httptest.NewServer(traces)
	t.Cleanup(collector.Close)
	said := s.run(ctx, t, strings.NewReplacer(
		"https://git.example.com/fleet", s.url, "https://stefanprodan.github.io/podinfo", charts.URL,
		"oci://ghcr.io/org/", registry.URL("org/"),
		"--image=ghcr.io/", "--insecure --image="+registry.Host()+"/", "image: ghcr.io/", "image: "+registry.Host()+"/",
		"http://collector.observability:4318", collector.URL,
		"/etc/nave/", s.home+"/etc/nave/",
		"/opt/nave/", s.home+"/opt/nave/", "hub.example.com:7443", "127.0.0.1:"+s.ports["7443"],
		"$PWD/bin", s.bin, "$CHECKOUT", s.checkout, "seconds=20", "seconds=1",
		"HOST:7443", "127.0.0.1:"+s.ports["7443"], ":7443", ":"+s.ports["7443"], ":7480", ":"+s.ports["7480"],
		"$GO_CACHE", goCache(ctx, t), "--to 41", "--to $past", "--release 41", "--release $past",
		"revoke 4f1c09d2a7", "revoke $serial",
	).Replace(script(text)))
	if _, err := traces.traces(); err != nil {
		t.Error(err)
	}
	return said
}

// goCache returns the folder of go's build cache: go tool builds pprof, which would take long in an empty one.
func goCache(ctx context.Context, t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(ctx, "go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// addTools adds age-keygen, helm and a container runtime to the tools of a person.
func (s *shell) addTools(ctx context.Context, t *testing.T) {
	t.Helper()
	helm, err := helmtest.New(ctx, 4)
	if err != nil {
		t.Fatal(err)
	}
	kubectl := filepath.Join(s.bin, "kubectl")
	path, err := os.Readlink(kubectl)
	if err := errors.Join(err, os.Remove(kubectl), os.Symlink(helm.Path(), filepath.Join(s.bin, "helm")),
		os.WriteFile(kubectl, []byte(strings.ReplaceAll(kubectlExec, "KUBECTL", path)), 0o700)); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", s.bin, "filippo.io/age/cmd/age-keygen")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build age-keygen: %v\n%s", err, out)
	}
}

// kubectlExec is kubectl. What is executed in the Pod of the hub runs on this machine, with the hub's data folder.
const kubectlExec = `#!/bin/bash
case "$*" in
*" exec nave-hub-0 -- /nave-hub "*)
  while [ "$1" != -- ]; do shift; done
  shift 2
  exec nave-hub "$@" --data-dir "$HOME/hub";;
esac
exec KUBECTL "$@"
`

// machine makes a reader's machine, in a checkout of Nave. A kubelet is a part of it: the Pods of the clusters are
// simulated.
const machine = "\n```sh" + `
mkdir checkout && cp -R $CHECKOUT/deploy $CHECKOUT/examples checkout && cd checkout
kubectl config use-context staging-1
export EDITOR='sed -i s/--advertise=.*/--advertise=HOST:7443/'
export GOCACHE=$GO_CACHE
program=$(type -P nave-hub)
well() { until nave explain > /dev/null; do sleep 0.2; done; }
# the Pod of the hub, with the arguments of its StatefulSet and further ones
nave-hub() {
  local args=$(kubectl --context staging-1 -n nave-hub get statefulset nave-hub \
    -o jsonpath='{.spec.template.spec.containers[0].args[*]}')
  [ -z "$hub" ] || { kill $hub && wait $hub; }
  $program ${args//\/var\/lib\/nave/$HOME\/hub} --allow-source-address=127.0.0.0/8 \
    --listen 127.0.0.1:7443 --http-listen 127.0.0.1:7480 "$@" >> ~/hub.log 2>&1 &
  hub=$!
  until NAVE_CONFIG=~/hub/operator.yaml nave version > /dev/null 2>&1; do kill -0 $hub; sleep 0.1; done
}
hub=
# the Pod of a spoke, with the files and the account that its Deployment gives it
pod() {
  local dir=$HOME/pods/$1 of="kubectl --context $1 -n nave-system"
  mkdir -p $dir/config
  for key in $($of get configmap nave-spoke -o go-template='{{range $key, $value := .data}}{{$key}} {{end}}'); do
    $of get configmap nave-spoke -o go-template="{{index .data \"$key\"}}" > $dir/config/$key
  done
  $of get secret nave-join -o go-template='{{.data.token | base64decode}}' > $dir/token
  kubectl config view --raw --minify --flatten --context $1 > $dir/kubeconfig
  kubectl --kubeconfig $dir/kubeconfig config set-credentials spoke --token $($of create token nave-spoke)
  kubectl --kubeconfig $dir/kubeconfig config set-context --current --user spoke
  nave-spoke --config-dir $dir/config --join-token-file $dir/token --state-dir $dir/state \
    --kubeconfig $dir/kubeconfig --http-listen 127.0.0.1:0 > $dir/log 2>&1 &
}
` + "```\n"

var readmeSteps = []step{
	{"\nMake a configuration for yourself", `
nave-hub
`},
}

var exampleSteps = []step{
	{"\n5. Watch it arrive.", `
pod staging-1
until nave get fleet staging | grep -w True; do sleep 0.2; done
kubectl -n web get secret session -o go-template='{{.data.SESSION_KEY | base64decode}}'
`},
}

// The new key and that of the example, which the files of the repository need, are in one Secret of prod-1.
var secretSteps = []step{
	{"\nEncrypt them with [SOPS]", `
kubectl config use-context prod-1
mkdir ~/key && cd ~/key
`},
	{"3. Encrypt for the public key", `
cp ~/checkout/examples/fleet/apps/base/session.yaml session.yaml
`},
	{"\n| Question | Answer |\n|---|---|\n| May patches", `
SOPS_AGE_KEY_FILE=age.agekey sops --decrypt session.yaml | grep change-me
kubectl -n flux-system create secret generic sops-age --from-file age.agekey --from-file=first.agekey=$HOME/age.agekey \
  --dry-run=client -o yaml | kubectl -n flux-system replace -f -
`},
	{"\n### Keys in a cloud or a Vault", `
cd ~/checkout
kubectl apply -k deploy/spoke
`},
}

var clusterSteps = []step{
	{"\nSee how far it is", `
pod prod-1
well
`},
}

// helmSteps make a repository with the chart of docs/helm.md, and commit the manifest that the document shows.
func helmSteps(t *testing.T) []step {
	return []step{
		{"\n## See\n", chart + `
cd ~/fleet
cat > clusters/production/podinfo.yaml <<'EOF'
` + yamlOf(t, "docs/helm.md", "kind: HelmRepository") + `EOF
git add . && git commit -qm podinfo && git push -q origin main
nave reconcile source git hub
nave wait helmrelease podinfo -n apps --cluster prod-1 --for create
well
`},
	}
}

const chart = `
mkdir -p ~/podinfo/templates ~/repository
echo '{apiVersion: v2, name: podinfo, version: 6.9.0}' > ~/podinfo/Chart.yaml
echo '{replicaCount: 1, logLevel: error}' > ~/podinfo/values.yaml
cat > ~/podinfo/templates/podinfo.yaml <<'EOF'
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: {{ .Values.replicaCount }}
  selector: {matchLabels: {app: podinfo}}
  template:
    metadata: {labels: {app: podinfo}}
    spec:
      containers:
      - {name: podinfo, image: "registry.k8s.io/pause:3.10", env: [{name: LOG, value: {{ .Values.logLevel }}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: {{ .Release.Name }}-test, annotations: {helm.sh/hook: test}}
spec: {restartPolicy: Never, containers: [{name: test, image: "registry.k8s.io/pause:3.10"}]}
EOF
helm package ~/podinfo --destination ~/repository
helm repo index ~/repository
`

// previewSteps put the chart into the repository: previews fetch nothing.
var previewSteps = []step{
	{"\n## Everything of a cluster or a Fleet", `
mkdir charts values && cp -R ~/podinfo charts
kubectl -n apps get configmap podinfo-values -o yaml > values/podinfo.yaml
sed -i 's|chart: podinfo, version: 6.x, sourceRef: .*|chart: charts/podinfo, sourceRef: SOURCE}}|
  s|SOURCE|{kind: GitRepository, name: hub, namespace: flux-system}|' clusters/production/podinfo.yaml
git add clusters charts && git commit -qm 'the chart is here' && git push -q origin main
nave reconcile source git hub
well
`},
	{"\n## What would change", `
git branch feature
`},
}

// operationSteps make the configuration of the plugins that docs/operations.md shows.
func operationSteps(t *testing.T) []step {
	return []step{
		{"\n## Roll back\n", `
past=$(nave history prod-1 -o jsonpath='{.releases[1].bundle}')
`},
		{"\n| In a cluster | |", `
nave cluster upgrade -l env=staging --stop
`},
		{"\n## Cloud registries", `
mkdir -p /etc/nave/ /opt/nave/plugins && install -m 755 /dev/null /opt/nave/plugins/ecr-credential-provider
cat > /etc/nave/providers.yaml <<'EOF'
` + yamlOf(t, "docs/operations.md", "kind: CredentialProviderConfig") + `EOF
`},
		{"\nThe image of the hub has neither", `
cd ~/checkout
kubectl config use-context staging-1
`},
		{"\nThe programs must need no libraries", `
kubectl apply -k deploy/hub
cd
`},
	}
}

// rolloutSteps give the Fleet production the rollout of docs/rollouts.md, without its waits, and change what it gives.
func rolloutSteps(t *testing.T) []step {
	return []step{
		{"\n## Before\n", `
well
cat > ~/fleet.yaml <<'EOF'
` + yamlOf(t, "docs/rollouts.md", "kind: Fleet") + `EOF
cd ~/fleet
sed '/^  rollout:/,$!d; /minSuccessTime/d; /windows:/,$d' ~/fleet.yaml >> hub/fleets.yaml
git commit -qam rollout && git push -q origin main
nave reconcile source git hub
nave wait fleet production --for jsonpath='{.spec.rollout.onFailure}'=Pause
cd
`},
		{"\n## See and approve\n", `
cd ~/fleet
sed -i s/Welcome/Moin/ apps/production/kustomization.yaml
git commit -qam moin && git push -q origin main
nave reconcile source git hub
until nave rollout status production | grep 'nave rollout approve production --stage canary'; do sleep 0.2; done
`},
		{"\n## Decide\n", `
well
`},
		{"\n- A rollback gives the clusters", `
sed -i '/^  rollout:/,$d' hub/fleets.yaml
sed -i s/Moin/Welcome/ apps/production/kustomization.yaml
git commit -qam 'no rollout' && git push -q origin main
nave reconcile source git hub
nave cluster label prod-1 ring-
well
`},
	}
}

// metricSteps give the hub's cluster what the Prometheus Operator brings.
var metricSteps = []step{
	{"\n## Alerts and dashboard", `
kubectl config use-context staging-1
for kind in PodMonitor PrometheusRule; do
  kubectl apply -f - <<EOF
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ${kind,,}s.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {plural: ${kind,,}s, singular: ${kind,,}, kind: $kind}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
EOF
done
kubectl wait crd --for=condition=Established podmonitors.monitoring.coreos.com prometheusrules.monitoring.coreos.com
cd ~/checkout
`},
	{"\n## Profiles", `
nave-hub --pprof
`},
}

// checkTraces wants the change of a commit to be exported.
const checkTraces = "\n```sh" + `
cd ~/fleet
sed -i s/Welcome/Hello/ apps/production/kustomization.yaml
git commit -qam hello && git push -q origin main
nave reconcile source git hub
until grep 'become healthy' ~/spans > /dev/null; do sleep 0.2; done
` + "```\n"

// referenceSteps make what the examples of the reference name, and take back what those change that others build on.
var referenceSteps = []step{
	{"\n## nave apply\n", `
well
mkdir -p ~/objects/clusters/eu ~/objects/overlays/prod ~/objects/hub && cd ~/objects
fleet() {
  echo "{apiVersion: fleet.nave.io/v1alpha1, kind: Fleet, metadata: {name: $1}, spec: {clusterSelector:"
  echo "  {matchLabels: {env: none}}, template: {spec: {interval: 10m, prune: true, path: ., sourceRef:"
  echo "  {kind: GitRepository, name: hub}}}}}"
}
fleet fleet > fleet.yaml
fleet cluster > clusters/eu/cluster.yaml
fleet overlay > overlays/prod/fleet.yaml
fleet built > hub/fleet.yaml
echo 'resources: [fleet.yaml]' | tee overlays/prod/kustomization.yaml > hub/kustomization.yaml
`},
	{"\n## nave bootstrap\n", `
nave delete fleet fleet
nave delete fleet cluster
nave delete fleet overlay
nave delete fleet built
cd ~/fleet
nave export clusters > ../clusters.yaml
mkdir -p deploy hub/clusters && cp infra/namespace.yaml deploy
`},
	{"\n## nave cluster label\n", `
rm -r hub/clusters
`},
	{"\n## nave cluster set\n", `
kubectl --context prod-1 -n nave-system get secret nave-join -o go-template='{{.data.token | base64decode}}' \
  > ~/pods/prod-1/token
nave wait cluster prod-1 --for condition=Connected
`},
	{"\n## nave create image policy\n", `
for tag in 1.0.0 main-0f3a9c1-1764230400; do
  nave push artifact oci://ghcr.io/org/app:$tag --path ./deploy --source https://git.example.com/app --revision $tag
done
nave apply -f - <<EOF
{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImageRepository, metadata: {name: app, namespace: flux-system},
 spec: {image: ghcr.io/org/app, insecure: true, interval: 1h}}
---
{apiVersion: source.toolkit.fluxcd.io/v1, kind: GitRepository, metadata: {name: apps, namespace: flux-system},
 spec: {url: https://git.example.com/fleet, interval: 1h, ref: {branch: main}}}
EOF
nave wait imagerepository app --for condition=Ready
echo 'image: ghcr.io/org/app:1.0.0 # {"$imagepolicy": "flux-system:app"}' > ~/fleet/apps/image.yaml
git -C ~/fleet add apps && git -C ~/fleet commit -qm 'an image' && git -C ~/fleet push -q origin main
`},
	{"\n## nave delete\n", `
well
cd ~/objects
fleet prod | nave apply -f - -f fleet.yaml
nave apply -f clusters -R
nave apply -k overlays/prod
`},
	{"\n## nave describe\n", `
cd ~/fleet
git branch --force feature
`},
	{"\n## nave diff artifact\n", `
nave push artifact oci://ghcr.io/org/fleet:v1.0.0 --path ./deploy --source https://git.example.com/fleet \
  --revision "main@sha1:$(git rev-parse HEAD)"
`},
	{"\n## nave operator revoke\n", `
serial=$(nave operator list -o jsonpath='{.items[?(@.name=="alice")].certificates[0].serial}')
`},
	{"\n## nave plan\n", `
cp ~/fleet.yaml fleet.yaml
`},
	{"\n## nave pull artifact\n", `
rm fleet.yaml
`},
	{"\n## nave release\n", `
nave rollback prod-1
`},
	{"\n## nave release helmrelease\n", `
nave rollback helmrelease podinfo 1 -n apps --cluster prod-1
`},
	{"\n## nave rollback\n", `
past=$(nave history prod-1 -o jsonpath='{.releases[1].bundle}')
`},
	{"\n## nave tag artifact\n", `
nave resume cluster prod-1
nave resume kustomization apps --cluster prod-1
nave resume helmreleases --all -n apps --cluster prod-1
`},
}

// yamlOf returns the block of YAML of a document that has a text.
func yamlOf(t *testing.T, document, text string) string {
	t.Helper()
	for _, block := range strings.Split(readDocument(t, document), "```yaml\n")[1:] {
		if block, _, _ = strings.Cut(block, "```"); strings.Contains(block, text) {
			return block
		}
	}
	t.Fatalf("no block of YAML in %s has %q", document, text)
	return ""
}
