package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/e2e/fluxtest"
	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/e2e/harness"
	"github.com/navefleet/nave/e2e/kubetest"
	"github.com/navefleet/nave/e2e/sopstest"
)

const syncFile = `
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: flux-system, namespace: flux-system}
spec: {interval: 1m, ref: {branch: main}, url: "REPOSITORY"}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: flux-system, namespace: flux-system}
spec: {interval: 10m, path: ./clusters/east, prune: true, sourceRef: {kind: GitRepository, name: flux-system}}
`

const shopKustomizations = `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: shop, namespace: flux-system}
spec:
  interval: 10m
  path: ./shop
  prune: true
  decryption: {provider: sops, secretRef: {name: sops-age}}
  postBuild: {substituteFrom: [{kind: ConfigMap, name: vars}]}
  sourceRef: {kind: GitRepository, name: flux-system}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: vars, namespace: flux-system}
data: {greeting: hello}
`

const shop = `
apiVersion: v1
kind: Namespace
metadata: {name: flux-shop}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: flux-shop
  annotations: {removed: "by Git"}
spec:
  replicas: 2
  minReadySeconds: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: nginx, env: [{name: GREETING, value: "${greeting}"}]}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: flux-shop}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80}, {name: removed, port: 81}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: flux-shop}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: flux-shop}
data: {kept: "1", removed: "1"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: left, namespace: flux-shop}
data: {a: "1"}
`

const plainSecret = `
apiVersion: v1
kind: Secret
metadata: {name: session, namespace: flux-shop}
stringData: {token: a-secret-of-the-shop}
`

// cleanShop is shop after Git has removed fields and an object.
func cleanShop() string {
	s, _, _ := strings.Cut(shop, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: left")
	for _, gone := range []string{"\n  annotations: {removed: \"by Git\"}", "\n  replicas: 2\n  minReadySeconds: 1",
		", {name: removed, port: 81}", `, removed: "1"`} {
		s = strings.Replace(s, gone, "", 1)
	}
	return s
}

// migration is one run of the commands of docs/migrate-from-flux.md.
type migration struct {
	t       *testing.T
	cluster *kubetest.Cluster
	flux    *fluxtest.Flux
	fleet   *harness.Fleet
	spoke   *harness.Spoke // nil before its deployment
	dir     string
	before  map[string]string

	recipient string // of the key that the Secret is encrypted for
}

// TestMigrateFromFlux runs the commands of docs/migrate-from-flux.md on a cluster that Flux's own libraries set up.
func TestMigrateFromFlux(t *testing.T) {
	needsLab(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	m := &migration{t: t, cluster: lab.Clusters[0], dir: t.TempDir()}
	m.startFlux(ctx)
	m.play(ctx, m.read())
	m.check(ctx)
}

func (m *migration) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// read returns the commands of the document, with this test's cluster and checkout.
func (m *migration) read() (lines []string) {
	checkout := m.fleet.Repo.WorkTree()
	text := strings.NewReplacer("--path fleet", "--path "+checkout, "prod fleet", m.cluster.Name+" "+checkout,
		"prod", m.cluster.Name).Replace(readDocument(m.t, "docs/migrate-from-flux.md"))
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1) {
		lines = append(lines, strings.Split(strings.TrimSpace(block[1]), "\n")...)
	}
	if len(lines) < 10 {
		m.t.Fatalf("only %d commands in the document", len(lines))
	}
	return lines
}

// startFlux starts the hub, and makes the cluster one that Flux runs: bootstrapped, reconciled, scaled, and with a
// commit that Flux has not seen.
func (m *migration) startFlux(ctx context.Context) {
	var err error
	m.fleet, err = lab.NewFleetIn(ctx, filepath.Join(m.dir, "fleet"))
	m.must(err)
	m.t.Cleanup(func() {
		if err := m.end(context.Background()); err != nil {
			m.t.Error(err)
		}
	})
	m.flux, err = fluxtest.New(m.cluster.Config())
	m.must(err)
	key, err := sopstest.NewAge()
	m.must(err)
	m.recipient = key.Recipient()
	encrypted, err := key.Encrypt([]byte(plainSecret))
	m.must(err)
	files := map[string]string{
		"clusters/east/flux-system/gotk-components.yaml": m.flux.Components,
		"clusters/east/flux-system/gotk-sync.yaml":       strings.ReplaceAll(syncFile, "REPOSITORY", m.fleet.Repo.URL()),
		"clusters/east/flux-system/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1beta1\n" +
			"kind: Kustomization\nresources: [gotk-components.yaml, gotk-sync.yaml]\n",
		"clusters/east/shop.yaml": shopKustomizations, "shop/shop.yaml": shop, "shop/secret.yaml": string(encrypted),
	}
	m.commit(files)
	m.flux.Decrypt = func(*unstructured.Unstructured) (*unstructured.Unstructured, error) {
		o := &unstructured.Unstructured{}
		return o, yaml.Unmarshal([]byte(plainSecret), &o.Object)
	}
	m.must(m.flux.Bootstrap(ctx, m.fleet.Repo.WorkTree(), "clusters/east"))
	m.must(m.flux.Reconcile(ctx, m.fleet.Repo.WorkTree(), "main@sha1:1"))
	m.must(m.cluster.Apply(ctx, []byte(fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: sops-age, "+
		"namespace: flux-system}\nstringData: {%s: %q}\n", key.Entry(), key.Private()))))
	m.must(m.cluster.Scale(ctx, "Deployment.apps", "flux-shop", "web", 3))
	m.before = m.identities(ctx)
	m.readOnly(ctx)
	files["shop/shop.yaml"] = cleanShop()
	m.commit(files)
}

func (m *migration) commit(files map[string]string) {
	_, err := m.fleet.Repo.Apply(gittest.Change{Files: files, Message: "a commit"})
	m.must(err)
}

// end stops everything and takes away what is left in the cluster.
func (m *migration) end(ctx context.Context) error {
	errs := []error{m.fleet.Close()}
	if m.spoke != nil {
		errs = append(errs, m.spoke.Stop())
	}
	if m.t.Failed() { // else the document has removed Flux
		errs = append(errs, m.flux.Uninstall(ctx))
	}
	errs = append(errs, clean(ctx, m.cluster), kubetest.Until(ctx, "the Namespace to go", func(ctx context.Context) error {
		if _, err := m.cluster.Get(ctx, "Namespace", "", "flux-shop"); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there: %w", err)
		}
		return nil
	}))
	return errors.Join(append(errs,
		ignoreMissing(m.cluster.Delete(ctx, "ConfigMap", "flux-system", "vars")),
		ignoreMissing(m.cluster.Delete(ctx, "Secret", "flux-system", "sops-age")))...)
}

// run runs one line of the document.
func (m *migration) run(ctx context.Context, line string) error {
	command, file, toFile := strings.Cut(line, " > ")
	words := strings.Fields(command)
	file = filepath.Join(m.dir, file)
	switch {
	case strings.HasPrefix(line, "nave "):
		return m.nave(ctx, words[1:], file, toFile)
	case line == "flux suspend kustomization --all --namespace flux-system":
		return m.flux.Suspend(ctx, "flux-system")
	case line == "flux uninstall --keep-namespace --silent":
		return m.flux.Uninstall(ctx)
	case line == "kubectl apply -f spoke.yaml":
		return m.deploy(ctx)
	}
	return errors.New("the test does not know how to run this")
}

// nave runs the CLI. What explains waits until all is well.
func (m *migration) nave(ctx context.Context, args []string, file string, toFile bool) error {
	for i, a := range args {
		if strings.HasSuffix(a, ".yaml") {
			args[i] = filepath.Join(m.dir, a)
		}
	}
	var out string
	once := func(ctx context.Context) (err error) {
		out, err = m.fleet.Nave(ctx, args...)
		return err
	}
	switch {
	case args[0] == "explain":
		return kubetest.Until(ctx, "everything to be well", once)
	case args[0] == "migrate" && !toFile:
		return m.look(ctx, args)
	}
	if err := once(ctx); err != nil || !toFile {
		return err
	}
	return os.WriteFile(file, []byte(out), 0o600)
}

// reader is an account that may read what "nave migrate flux" needs, and do nothing else.
const reader = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: flux-reader, namespace: flux-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: flux-reader}
rules:
- {apiGroups: [apps], resources: [deployments], verbs: [get, list]}
- apiGroups: [source.toolkit.fluxcd.io, source.extensions.fluxcd.io, kustomize.toolkit.fluxcd.io,
    helm.toolkit.fluxcd.io, image.toolkit.fluxcd.io, notification.toolkit.fluxcd.io]
  resources: ["*"]
  verbs: [get, list]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: flux-reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: flux-reader}
subjects: [{kind: ServiceAccount, name: flux-reader, namespace: flux-system}]
`

// readOnly makes an account that may only read the current one of the kubeconfig.
func (m *migration) readOnly(ctx context.Context) {
	m.must(m.cluster.Apply(ctx, []byte(reader)))
	kubeconfig := filepath.Join(m.dir, "reader.kubeconfig")
	m.must(m.cluster.ServiceAccountKubeconfig(ctx, "flux-system", "flux-reader", kubeconfig))
	m.t.Setenv("KUBECONFIG", kubeconfig)
}

// look wants the report to say what the test has made, and the exit code that something is left.
func (m *migration) look(ctx context.Context, args []string) error {
	out, err := m.fleet.Nave(ctx, args...)
	if err == nil {
		return errors.New("no error, although an object is left")
	}
	for _, want := range []string{
		"Cluster east, with", `flux-system +shop +Ready=True +6 +0 +1 +yes`,
		`ConfigMap/?\S* ?flux-shop/left \(Kustomization flux-system/shop\)`,
		"Secret flux-system/sops-age: keys for " + m.recipient, "flux suspend kustomization --all --namespace flux-system",
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			return fmt.Errorf("it does not say %s:\n%s\n%w", want, out, err)
		}
	}
	if strings.Contains(out, "Refused") {
		return fmt.Errorf("it refuses something:\n%s", out)
	}
	cloned, err := m.fleet.Nave(ctx, "migrate", "flux")
	if cloned != strings.ReplaceAll(out, " '"+m.fleet.Repo.WorkTree()+"'", "") { // in the commands
		return fmt.Errorf("without a checkout it says\n%s\n%w", cloned, err)
	}
	return nil
}

// deploy applies the manifest of the spoke, and starts the spoke with the account and settings that it has there.
func (m *migration) deploy(ctx context.Context) error {
	manifest, err := os.ReadFile(filepath.Join(m.dir, "spoke.yaml"))
	if err != nil {
		return err
	}
	if err := m.cluster.Apply(ctx, manifest); err != nil {
		return err
	}
	settings, err := harness.JoinSettings(string(manifest))
	if err != nil {
		return err
	}
	m.spoke, err = lab.NewSpoke(ctx, m.cluster, filepath.Join(m.dir, "spoke"), settings)
	if err != nil {
		return err
	}
	return m.spoke.Start(ctx)
}

// identities returns what must not change: by object its UID, and of a Service its address.
func (m *migration) identities(ctx context.Context) map[string]string {
	m.t.Helper()
	all := map[string]string{}
	m.must(kubetest.Until(ctx, "three Pods that run", func(ctx context.Context) error {
		clear(all)
		for _, kind := range []string{"Pod", "Service", "PersistentVolumeClaim", "Deployment.apps", "Secret", "ConfigMap"} {
			if err := m.identify(ctx, kind, all); err != nil {
				return err
			}
		}
		if all["Pods"] != "3" {
			return fmt.Errorf("there are %s", all["Pods"])
		}
		return nil
	}))
	return all
}

func (m *migration) identify(ctx context.Context, kind string, all map[string]string) error {
	r, err := m.cluster.Resource(kind, "flux-shop")
	if err != nil {
		return err
	}
	list, err := r.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	all[kind+"s"] = fmt.Sprint(len(list.Items))
	for _, o := range list.Items {
		address, _, _ := unstructured.NestedString(o.Object, "spec", "clusterIP")
		all[kind+" "+o.GetName()] = string(o.GetUID()) + address
	}
	return nil
}

// check wants the same objects as before, without what Git has removed.
func (m *migration) check(ctx context.Context) {
	m.t.Helper()
	after := m.identities(ctx)
	if !maps.Equal(after, m.before) {
		m.t.Errorf("before\n%v\nafter\n%v", m.before, after)
	}
	for _, c := range []struct {
		kind, name, path, want string
	}{
		{"Deployment.apps", "web", ".spec.replicas", "3"},
		{"Deployment.apps", "web", ".spec.minReadySeconds", ""},
		{"Deployment.apps", "web", ".metadata.annotations.removed", ""},
		{"Deployment.apps", "web", ".spec.template.spec.containers[0].env[0].value", "hello"},
		{"Deployment.apps", "web", `.metadata.labels.fleet\.nave\.io/application`, "Kustomization.flux-system.shop"},
		{"Service", "web", ".spec.ports[*].name", "http"},
		{"ConfigMap", "settings", ".data.removed", ""},
		{"ConfigMap", "settings", ".data.kept", "1"},
		{"ConfigMap", "left", ".data.a", "1"},
	} {
		o, err := m.cluster.Get(ctx, c.kind, "flux-shop", c.name)
		m.must(err)
		if got, err := field(o, c.path); err != nil || got != c.want {
			m.t.Errorf("%s %s: %s is %q, %v; want %q", c.kind, c.name, c.path, got, err, c.want)
		}
	}
	for _, o := range []struct{ kind, namespace, name string }{
		{"Deployment.apps", "flux-shop", "web"}, {"Service", "flux-shop", "web"}, {"Secret", "flux-shop", "session"},
		{"PersistentVolumeClaim", "flux-shop", "data"}, {"Namespace", "", "flux-shop"}, {"Namespace", "", "flux-system"},
		{"ConfigMap", "flux-shop", "settings"}, {"ConfigMap", "flux-system", "vars"},
	} {
		live, err := m.cluster.Get(ctx, o.kind, o.namespace, o.name)
		m.must(err)
		for _, entry := range live.GetManagedFields() {
			if entry.Manager == "kustomize-controller" || entry.Manager == "flux" {
				m.t.Errorf("%s %s: %s still owns %s", o.kind, o.name, entry.Manager, entry.FieldsV1)
			}
		}
	}
	for _, name := range []string{"kustomize-controller", "source-controller"} {
		if _, err := m.cluster.Get(ctx, "Deployment.apps", "flux-system", name); !apierrors.IsNotFound(err) {
			m.t.Errorf("%s is still there: %v", name, err)
		}
	}
}
