package faults_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/e2e/harness"
	"github.com/navefleet/nave/e2e/sopstest"
)

// testUpgrade starts a hub and a spoke of an older commit and upgrades both in place, in either order. No object in the
// cluster is written meanwhile. Keys, identities, operators' objects, inventories and the sequence of bundles stay.
func testUpgrade(t *testing.T) {
	t.Parallel()
	bin := buildOlder(t, older)
	for name, order := range map[string][]string{
		"hub_first":   {"nave-hub", "nave-spoke"},
		"spoke_first": {"nave-spoke", "nave-hub"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testUpgradeInOrder(t, bin, "upgrade-"+strings.ReplaceAll(name, "_", "-"), order)
		})
	}
}

func testUpgradeInOrder(t *testing.T, bin, name string, order []string) {
	l := mixedLab(t)
	use(t, l, bin, programs...)
	s := newStand(t, l, t.TempDir())
	p := s.join(t, name, nil)
	p.pushWorkload()
	was := p.snapshot()
	for i, program := range order {
		if program == "nave-hub" {
			p.upgradeWithoutGit(l)
		} else {
			p.replace(t, l, p.Process, program)
		}
		p.requireUnchanged(program+" upgraded", was)
		value := fmt.Sprintf("upgrade %d", i+1)
		p.push(value, nil)
		p.arrives(value)
		p.inSync()
		p.requireUnchanged("a commit after "+program, was)
	}
	use(t, l, filepath.Join(lab.Dir, "bin"), "nave")
	p.requireWorking()
}

// upgradeWithoutGit upgrades the hub while its Git server is down: what was fetched before counts, so that no bundle is
// signed.
func (p *spoke) upgradeWithoutGit(l *harness.Lab) {
	p.t.Helper()
	was := p.snapshot().sequence
	p.stand.Git.Break(gittest.Drop)
	must(p.t, p.stand.Hub.Stop())
	use(p.t, l, filepath.Join(lab.Dir, "bin"), "nave-hub")
	must(p.t, p.stand.Hub.Start(p.t.Context()))
	eventually(p.t, seldom, "the upgraded hub has tried to fetch", func(ctx context.Context) error {
		text, err := p.stand.Nave(ctx, "get", "gitrepositories", "-A", "-o", "json")
		if err == nil && !strings.Contains(text, "GitOperationFailed") {
			err = fmt.Errorf("the sources are %s", text)
		}
		return err
	})
	if now := p.snapshot().sequence; now != was {
		p.t.Errorf("the bundle was %v, the upgraded hub signed %v", was, now)
	}
	p.stand.Git.Heal()
	p.inSync() // a Cluster is not ready while a source that it is rendered from fails
}

// pushWorkload commits what an upgrade must not touch: applications that depend on one another, a Deployment whose
// health counts, and a sealed Secret. It also gives the hub an object and a Secret of an operator.
func (p *spoke) pushWorkload() {
	p.t.Helper()
	key, err := sopstest.NewAge()
	must(p.t, err)
	must(p.t, applyManifest(p.t.Context(), p.Cluster, "", "flux-system"))
	must(p.t, p.Cluster.Apply(p.t.Context(), fmt.Appendf(nil,
		"apiVersion: v1\nkind: Secret\nmetadata: {name: keys-of-%s, namespace: flux-system}\ndata: {%s: %s}\n",
		p.name, key.Entry(), base64.StdEncoding.EncodeToString(key.Private()))))
	sealed, err := key.Encrypt(fmt.Appendf(nil,
		"apiVersion: v1\nkind: Secret\nmetadata:\n    name: sealed\n    namespace: %s\nstringData:\n    word: sesame\n",
		p.namespace()))
	must(p.t, err)
	p.push("older", map[string]string{
		"base.yaml":        p.kustomization("base", "wait: true"),
		"leaf.yaml":        p.kustomization("leaf", "dependsOn: [{name: "+p.name+"-base}]"),
		"vault.yaml":       p.kustomization("vault", "decryption: {provider: sops, secretRef: {name: keys-of-"+p.name+"}}"),
		"base/base.yaml":   fmt.Sprintf(deployment, p.namespace()),
		"leaf/leaf.yaml":   p.configMap("leaf", "one"),
		"leaf/going.yaml":  p.configMap("going", "one"),
		"vault/vault.yaml": string(sealed),
		// only the Kustomizations and what is beside them are the root's
		"kustomization.yaml": "resources: [app.yaml, bystander.yaml, base.yaml, leaf.yaml, vault.yaml]\n",
	})
	_, err = p.stand.NaveWith(p.t.Context(), []byte(operatorObjects), "apply", "-f", "-")
	must(p.t, err)
	p.arrives("older")
	p.inSync()
	must(p.t, p.has(p.t.Context(), "leaf", "one"))
}

// kustomization is one below the cluster's root, for the folder of its name.
func (p *spoke) kustomization(name, more string) string {
	return fmt.Sprintf(`apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: %s-%s, namespace: flux-system}
spec:
  {interval: 10m, retryInterval: 1s, prune: true, path: ./clusters/%[1]s/%[2]s,
   sourceRef: {kind: GitRepository, name: hub}, %s}
`, p.name, name, more)
}

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: base, namespace: %s}
spec:
  selector: {matchLabels: {app: base}}
  template:
    metadata: {labels: {app: base}}
    spec: {containers: [{name: base, image: "registry.k8s.io/pause:3.10"}]}
`

const operatorObjects = `apiVersion: v1
kind: Secret
metadata: {name: credentials, namespace: flux-system}
stringData: {username: nave, password: canary}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: by-hand, namespace: flux-system}
spec: {interval: 10h, suspend: true, url: "https://git.example.com/by-hand.git", ref: {branch: main}}
`

// snapshot is what an upgrade keeps: by name, values that can be compared.
type snapshot struct {
	same     map[string]any
	sequence float64 // of the cluster's bundle
}

func (p *spoke) snapshot() snapshot {
	p.t.Helper()
	now := snapshot{same: map[string]any{}}
	for _, kind := range []string{"ConfigMap", "Secret", "Deployment.apps"} {
		p.addObjects(now.same, kind)
	}
	p.addFiles(now.same)
	for _, kind := range []string{"clusters", "fleets", "gitrepositories", "kustomizations", "secrets"} {
		for _, o := range p.rows(kind) {
			now.same[fmt.Sprintf("%s %s/%s", kind, o.Metadata.Namespace, o.Metadata.Name)] = o.kept()
			if kind == "clusters" && o.Metadata.Name == p.name {
				now.sequence, _ = o.Status.Bundle["sequence"].(float64)
				now.same["epoch"] = o.Status.Bundle["epoch"]
			}
		}
	}
	if now.sequence == 0 || len(now.same) < 20 {
		p.t.Fatalf("snapshot is incomplete: %v", now)
	}
	return now
}

// addObjects adds the UID and resourceVersion of the objects of a kind, but for app, which commits change. It
// also adds the spoke's key and certificate.
func (p *spoke) addObjects(same map[string]any, kind string) {
	p.t.Helper()
	r, err := p.Cluster.Resource(kind, p.namespace())
	must(p.t, err)
	list, err := r.List(p.t.Context(), metav1.ListOptions{})
	must(p.t, err)
	for _, o := range list.Items {
		if o.GetName() != "app" {
			same[kind+" "+o.GetName()] = []string{string(o.GetUID()), o.GetResourceVersion()}
		}
	}
	if kind != "Secret" {
		return
	}
	o, err := p.Cluster.Get(p.t.Context(), kind, p.own(), "nave-spoke-identity")
	must(p.t, err)
	data, _ := o.Object["data"].(map[string]any)
	same["identity"] = []any{string(o.GetUID()), sha256.Sum256(fmt.Append(nil, data["tls.crt"], data["tls.key"]))}
}

// addFiles adds the digests of the hub's files, but for its database.
func (p *spoke) addFiles(same map[string]any) {
	p.t.Helper()
	dir := filepath.Join(p.stand.Dir, "hub")
	for _, name := range []string{"ca/ca.crt", "ca/ca.key", "signing.key", "vault.key"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		must(p.t, err)
		same[name] = sha256.Sum256(b)
	}
}

// row is an object as the hub shows it.
type row struct {
	Metadata struct {
		Name, Namespace, UID, CreationTimestamp string
		Generation                              float64
		Labels                                  map[string]string
	}
	Spec   map[string]any
	Status struct {
		Bundle       map[string]any
		RegisteredAt string
		Inventory    map[string]any
	}
}

// kept is what stays of a row.
func (r row) kept() []any {
	return []any{r.Metadata, r.Spec, r.Status.RegisteredAt, r.Status.Inventory}
}

// rows lists the objects of a kind that the hub has.
func (p *spoke) rows(kind string) []row {
	p.t.Helper()
	text, err := p.stand.Nave(p.t.Context(), "get", kind, "-A", "-o", "json")
	must(p.t, err)
	var list struct{ Items []row }
	must(p.t, json.Unmarshal([]byte(text), &list))
	return list.Items
}

// requireUnchanged compares what is with what was.
func (p *spoke) requireUnchanged(when string, was snapshot) {
	p.t.Helper()
	now := p.snapshot()
	for name := range maps.Keys(was.same) {
		if !reflect.DeepEqual(was.same[name], now.same[name]) {
			p.t.Errorf("%s: %s was %v, now it is %v", when, name, was.same[name], now.same[name])
		}
	}
	for name := range maps.Keys(now.same) {
		if _, ok := was.same[name]; !ok {
			p.t.Errorf("%s: %s is new", when, name)
		}
	}
	if now.sequence < was.sequence {
		p.t.Errorf("%s: the bundle was %v, now it is %v", when, was.sequence, now.sequence)
	}
}

// requireWorking has the upgraded daemons prune, repair, and decrypt.
func (p *spoke) requireWorking() {
	p.t.Helper()
	ctx := p.t.Context()
	secret, err := p.Cluster.Get(ctx, "Secret", p.namespace(), "sealed")
	must(p.t, err)
	must(p.t, p.Cluster.Delete(ctx, "Secret", p.namespace(), "sealed"))
	must(p.t, p.Cluster.Edit(ctx, "ConfigMap", p.namespace(), "leaf", `{"data":{"value":"edited"}}`))
	p.push("working", map[string]string{"leaf/going.yaml": ""})
	p.arrives("working")
	eventually(p.t, often, "the Secret is back, the edit undone and the file's object pruned",
		func(ctx context.Context) error {
			again, err := p.Cluster.Get(ctx, "Secret", p.namespace(), "sealed")
			if err != nil {
				return err
			}
			if !reflect.DeepEqual(again.Object["data"], secret.Object["data"]) {
				return fmt.Errorf("the Secret has other data")
			}
			if err := p.has(ctx, "leaf", "one"); err != nil {
				return err
			}
			if _, err := p.Cluster.Get(ctx, "ConfigMap", p.namespace(), "going"); !apierrors.IsNotFound(err) {
				return fmt.Errorf("get ConfigMap going: %v", err)
			}
			return nil
		})
	p.inSync()
}
