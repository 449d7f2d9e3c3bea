package hub_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub"
	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// TestDeniedSources has GitRepositories whose servers the hub must not dial. The hub sends no request, and the
// condition of the object has the reason.
func TestDeniedSources(t *testing.T) {
	r := start(t, t.TempDir())
	for name, c := range map[string]struct{ address, why string }{
		"hub":      {r.Addr().String(), "where this hub itself listens"},
		"metrics":  {r.HTTPAddr().String(), "where this hub itself listens"},
		"metadata": {"169.254.169.254", "a link-local address"},
		"loopback": {"[::1]", "a loopback address"}, // this hub opens 127.0.0.0/8 alone
	} {
		t.Run(name, func(t *testing.T) {
			r.apply(`
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: ` + name + `, namespace: flux-system}
spec: {interval: 1h, url: "http://` + c.address + `/x.git", ref: {branch: main}}
`)
			if got := r.condition("GitRepository", name); !strings.Contains(got, c.why) {
				t.Errorf("condition is %s", got)
			}
		})
	}
}

// condition waits until an object of flux-system has failed to fetch from Git, and returns it as JSON.
func (r *rig) condition(kind, name string) string {
	r.t.Helper()
	return r.await(kind, name, `"reason":"GitOperationFailed"`)
}

// failure waits until an object of flux-system has failed, and returns it as JSON.
func (r *rig) failure(kind, name string) string {
	r.t.Helper()
	return r.await(kind, name, `"status":"False"`)
}

// await waits until the JSON of an object of flux-system has a text, and returns the JSON.
func (r *rig) await(kind, name, part string) string {
	r.t.Helper()
	list := &adminv1.ListRequest{Kind: kind, Namespace: "flux-system"}
	stream, err := r.admin().Watch(r.t.Context(), &adminv1.WatchRequest{List: list, Name: name})
	must(r.t, err)
	for {
		m, err := stream.Recv()
		must(r.t, err)
		if text := string(m.GetObject().GetJson()); strings.Contains(text, part) {
			return text
		}
	}
}

// TestDeniedByOperator has a source of each kind at an address and at a host that the operator denies, although their
// range is allowed. A remote base is one of them.
func TestDeniedByOperator(t *testing.T) {
	_, repository := gitServer(t)
	commit(t, repository, map[string]string{
		"kustomization.yaml": "resources: ['http://127.0.0.3:9/acme/base', 'https://git.internal.example.com/acme/base']\n",
	})
	r := start(t, t.TempDir(), func(c *hub.Config) {
		c.DenySourceAddresses = []string{"127.0.0.3", "internal.example.com"}
		c.RemoteBaseHosts = []string{"127.0.0.3:9", "git.internal.example.com"}
	})
	owner := api.Key{Kind: api.KustomizationKind, Namespace: "flux-system", Name: "root"}
	r.applyRoot(repository, "./")
	for name, address := range map[string]string{"address": "127.0.0.3:9", "host": "git.internal.example.com"} {
		r.apply(`
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: ` + name + `, namespace: flux-system}
spec: {interval: 1h, url: "http://` + address + `/x.git", ref: {branch: main}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: ` + name + `, namespace: flux-system}
spec: {interval: 1h, url: "oci://` + address + `/x", insecure: true}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: Bucket
metadata: {name: ` + name + `, namespace: flux-system}
spec: {interval: 1h, endpoint: "` + address + `", bucketName: fleet, insecure: true}
`)
		remote := api.Remote{URL: "http://" + address + "/acme/base"}
		if name == "host" {
			remote.URL = "https://" + address + "/acme/base"
		}
		base, err := api.NewRemoteBase(owner, time.Hour, "", remote)
		must(t, err)
		for kind, object := range map[string]string{
			api.GitRepositoryKind: name, api.OCIRepositoryKind: name, api.BucketKind: name, api.RemoteBaseKind: base.Key.Name,
		} {
			t.Run(name+"_"+kind, func(t *testing.T) {
				if got := r.failure(kind, object); !strings.Contains(got, "the operator of this hub has denied") {
					t.Errorf("condition is %s", got)
				}
			})
		}
	}
}

// TestRemoteFileRedirect has a remote file at a host that is named, which sends the hub to one that is not.
func TestRemoteFileRedirect(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a host was asked that is not named")
	}))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL+"/crd.yaml", http.StatusFound))
	defer server.Close()
	_, repository := gitServer(t)
	commit(t, repository, map[string]string{"kustomization.yaml": "crds: ['" + server.URL + "/crd.yaml']\n"})
	r := start(t, t.TempDir(), func(c *hub.Config) {
		c.RemoteBaseHosts = []string{strings.TrimPrefix(server.URL, "http://")}
	})
	r.applyRoot(repository, "./")
	owner := api.Key{Kind: api.KustomizationKind, Namespace: "flux-system", Name: "root"}
	base, err := api.NewRemoteBase(owner, time.Hour, "", api.Remote{URL: server.URL + "/crd.yaml", File: true})
	must(t, err)
	if got := r.failure(api.RemoteBaseKind, base.Key.Name); !strings.Contains(got, "--remote-base-host names") {
		t.Errorf("condition is %s", got)
	}
}
