package worker

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
)

// listener is a server that ends each connection, and counts them.
type listener struct {
	net.Listener
	connections atomic.Int64
}

func listen(t *testing.T, address string) *listener {
	t.Helper()
	found, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{Listener: found}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			l.connections.Add(1)
			_ = conn.Close()
		}
	}()
	return l
}

// startServer starts a server on 127.0.0.1, which is allowed.
func startServer(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func redirectTo(address string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+address+r.URL.Path, http.StatusTemporaryRedirect)
	}
}

// ociRepository is one at an address of plain HTTP.
func ociRepository(t *testing.T, address string) *api.Object {
	return object(t, api.OCIRepositoryKind, map[string]any{"url": "oci://" + address + "/x", "insecure": true})
}

// object returns an object of a kind with a spec.
func object(t *testing.T, kind string, spec map[string]any) *api.Object {
	t.Helper()
	key := api.Key{Kind: kind, Namespace: "team", Name: "a"}
	text, err := json.Marshal(map[string]any{"kind": kind, "metadata": map[string]any{"namespace": "team", "name": "a"},
		"spec": spec})
	if err != nil {
		t.Fatal(err)
	}
	return api.StoredObject(key, text)
}

// requestFor returns a request with a Secret for each field.
func requestFor(o *api.Object, secrets map[string]source.Secret) source.Request {
	return source.Request{Object: o, Secrets: secrets, Timeout: 5 * time.Second}
}

// sshKey returns the Secret of an ssh URL.
func sshKey(t *testing.T) source.Secret {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	host, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return source.Secret{"identity": pem.EncodeToMemory(block),
		"known_hosts": append([]byte("* "), ssh.MarshalAuthorizedKey(host)...)}
}

// gitHubApp returns the Secret of a GitHub App.
func gitHubApp(t *testing.T, address string) source.Secret {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return source.Secret{"githubAppID": []byte("1"), "githubAppInstallationID": []byte("2"),
		"githubAppBaseURL": []byte("http://" + address),
		"githubAppPrivateKey": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY",
			Bytes: x509.MarshalPKCS1PrivateKey(key)})}
}

// connecting are requests that connect to an address, each in another way.
var connecting = map[string]func(t *testing.T, address string) source.Request{
	"git": func(t *testing.T, address string) source.Request {
		return requestFor(object(t, api.GitRepositoryKind, map[string]any{"url": "http://" + address + "/x.git"}), nil)
	},
	"git_ssh": func(t *testing.T, address string) source.Request {
		return requestFor(object(t, api.GitRepositoryKind, map[string]any{"url": "ssh://git@" + address + "/x.git"}),
			map[string]source.Secret{"spec.secretRef": sshKey(t)})
	},
	"git_redirect": func(t *testing.T, address string) source.Request {
		at := startServer(t, redirectTo(address))
		return requestFor(object(t, api.GitRepositoryKind, map[string]any{"url": "http://" + at + "/x.git"}), nil)
	},
	"git_proxy": func(t *testing.T, address string) source.Request {
		return requestFor(object(t, api.GitRepositoryKind, map[string]any{"url": "http://127.0.0.1:9/x.git"}),
			map[string]source.Secret{"spec.proxySecretRef": {"address": []byte("http://" + address)}})
	},
	"git_https_proxy": func(t *testing.T, address string) source.Request {
		return requestFor(object(t, api.GitRepositoryKind, map[string]any{"url": "https://127.0.0.1:9/x.git"}),
			map[string]source.Secret{"spec.proxySecretRef": {"address": []byte("https://" + address)}})
	},
	"git_socks_proxy": func(t *testing.T, address string) source.Request {
		return requestFor(object(t, api.GitRepositoryKind, map[string]any{"url": "http://127.0.0.1:9/x.git"}),
			map[string]source.Secret{"spec.proxySecretRef": {"address": []byte("socks5://" + address)}})
	},
	"ssh_proxy": func(t *testing.T, address string) source.Request {
		return requestFor(object(t, api.GitRepositoryKind, map[string]any{"url": "ssh://git@127.0.0.1:9/x.git"}),
			map[string]source.Secret{"spec.secretRef": sshKey(t),
				"spec.proxySecretRef": {"address": []byte("socks5://" + address)}})
	},
	"github_app": func(t *testing.T, address string) source.Request {
		spec := map[string]any{"url": "https://127.0.0.1:9/x.git", "provider": "github"}
		return requestFor(object(t, api.GitRepositoryKind, spec),
			map[string]source.Secret{"spec.secretRef": gitHubApp(t, address)})
	},
	"oci": func(t *testing.T, address string) source.Request {
		return requestFor(ociRepository(t, address), nil)
	},
	"oci_redirect": func(t *testing.T, address string) source.Request {
		away := redirectTo(address)
		at := startServer(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/" {
				away(w, r)
			}
		})
		return requestFor(ociRepository(t, at), nil)
	},
	"oci_proxy": func(t *testing.T, address string) source.Request {
		return requestFor(ociRepository(t, "127.0.0.1:9"),
			map[string]source.Secret{"spec.proxySecretRef": {"address": []byte("http://" + address)}})
	},
	"bucket": func(t *testing.T, address string) source.Request {
		spec := map[string]any{"endpoint": address, "bucketName": "fleet", "insecure": true}
		return requestFor(object(t, api.BucketKind, spec), nil)
	},
	"bucket_proxy": func(t *testing.T, address string) source.Request {
		spec := map[string]any{"endpoint": "127.0.0.1:9", "bucketName": "fleet", "insecure": true}
		return requestFor(object(t, api.BucketKind, spec),
			map[string]source.Secret{"spec.proxySecretRef": {"address": []byte("http://" + address)}})
	},
	"image_update": func(t *testing.T, address string) source.Request {
		r := requestFor(object(t, api.ImageUpdateAutomationKind, map[string]any{
			"git": map[string]any{"commit": map[string]any{"author": map[string]any{"email": "a@example.com"}}}}), nil)
		r.Upstream = object(t, api.GitRepositoryKind, map[string]any{"url": "http://" + address + "/x.git"})
		return r
	},
	"remote_base": func(t *testing.T, address string) source.Request {
		return remoteRequest(t, api.Remote{URL: "http://" + address + "/a/b"}, address)
	},
	"remote_file": func(t *testing.T, address string) source.Request {
		return remoteRequest(t, api.Remote{URL: "http://" + address + "/a.yaml", File: true}, address)
	},
	"remote_file_redirect": func(t *testing.T, address string) source.Request {
		at := startServer(t, redirectTo(address))
		return remoteRequest(t, api.Remote{URL: "http://" + at + "/a.yaml", File: true}, at, address)
	},
}

// remoteRequest is a request for a RemoteBase, where some hosts are named.
func remoteRequest(t *testing.T, remote api.Remote, hosts ...string) source.Request {
	t.Helper()
	owner := api.Key{Kind: api.KustomizationKind, Namespace: "team", Name: "a"}
	base, err := api.NewRemoteBase(owner, time.Minute, "", remote)
	if err != nil {
		t.Fatal(err)
	}
	r := requestFor(base, nil)
	r.Hosts = hosts
	return r
}

// asking are requests that ask a proxy, which may be used, for an address.
var asking = map[string]func(t *testing.T, proxy, address string) source.Request{
	"http": func(t *testing.T, proxy, address string) source.Request {
		return requestFor(object(t, api.GitRepositoryKind, map[string]any{"url": "http://" + address + "/x.git"}),
			map[string]source.Secret{"spec.proxySecretRef": {"address": []byte("http://" + proxy)}})
	},
	"https": func(t *testing.T, proxy, address string) source.Request {
		return requestFor(object(t, api.GitRepositoryKind, map[string]any{"url": "https://" + address + "/x.git"}),
			map[string]source.Secret{"spec.proxySecretRef": {"address": []byte("http://" + proxy)}})
	},
	"ssh": func(t *testing.T, proxy, address string) source.Request {
		return requestFor(object(t, api.GitRepositoryKind, map[string]any{"url": "ssh://git@" + address + "/x.git"}),
			map[string]source.Secret{"spec.secretRef": sshKey(t),
				"spec.proxySecretRef": {"address": []byte("socks5://" + proxy)}})
	},
	"oci": func(t *testing.T, proxy, address string) source.Request {
		return requestFor(ociRepository(t, address),
			map[string]source.Secret{"spec.proxySecretRef": {"address": []byte("http://" + proxy)}})
	},
	"bucket": func(t *testing.T, proxy, address string) source.Request {
		spec := map[string]any{"endpoint": address, "bucketName": "fleet", "insecure": true}
		return requestFor(object(t, api.BucketKind, spec),
			map[string]source.Secret{"spec.proxySecretRef": {"address": []byte("http://" + proxy)}})
	},
}

// TestDenied has requests that lead to what --deny-source-address names, as an address and as a host. The dialler
// refuses them, and nobody is asked; without the denial the same request arrives.
func TestDenied(t *testing.T) {
	allowed := dial.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	for form, c := range map[string]struct{ denied, listen, host string }{
		"address": {"127.0.0.2", "127.0.0.2:0", "127.0.0.2"},
		"host":    {"localhost", "127.0.0.1:0", "localhost"},
	} {
		denied := allowed
		var err error
		if denied.Deny, denied.DenyHosts, err = dial.ParseDenied([]string{c.denied}); err != nil {
			t.Fatal(err)
		}
		there := listen(t, c.listen)
		_, port, _ := net.SplitHostPort(there.Addr().String())
		for name, make := range connecting {
			t.Run(form+"_"+name, func(t *testing.T) {
				checkDenied(t, make(t, net.JoinHostPort(c.host, port)), denied, allowed, there)
			})
		}
		for name, make := range asking {
			t.Run(form+"_asked_of_proxy_"+name, func(t *testing.T) {
				proxy := listen(t, "127.0.0.1:0")
				checkDenied(t, make(t, proxy.Addr().String(), net.JoinHostPort(c.host, port)), denied, allowed, proxy)
			})
		}
	}
}

// TestDenied_realm has a registry that names a token server at a denied address. The registry's library itself refuses
// private addresses that are written as such, so the token server has a name.
func TestDenied_realm(t *testing.T) {
	there := listen(t, "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(there.Addr().String())
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://localhost:%s/token",service="s"`, port))
		w.WriteHeader(http.StatusUnauthorized)
	}))
	err := server.Listener.Close()
	if err != nil {
		t.Fatal(err)
	}
	if server.Listener, err = net.Listen("tcp", "127.0.0.3:0"); err != nil {
		t.Fatal(err)
	}
	server.Start()
	defer server.Close()
	at := strings.TrimPrefix(server.URL, "http://")
	r := requestFor(ociRepository(t, at), nil)
	allowed := dial.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	for _, text := range []string{"127.0.0.1", "localhost"} {
		t.Run(text, func(t *testing.T) {
			denied := allowed
			if denied.Deny, denied.DenyHosts, err = dial.ParseDenied([]string{text}); err != nil {
				t.Fatal(err)
			}
			checkDenied(t, r, denied, allowed, there)
		})
	}
}

// checkDenied carries out a request with both policies.
func checkDenied(t *testing.T, r source.Request, denied, allowed dial.Policy, there *listener) {
	t.Helper()
	fetch := func(policy dial.Policy) error {
		r.Network = policy
		_, err := artifact.New(t.TempDir()).Make(t.Context(), nil,
			func(w artifact.Workspace, _ *artifact.Artifact) (artifact.Artifact, error) {
				r.Workspace = w
				return All().Fetch(t.Context(), r)
			})
		return err
	}
	before := there.connections.Load()
	err := fetch(denied)
	if !errors.Is(err, dial.ErrDenied) ||
		!strings.Contains(err.Error(), "an address that the operator of this hub has denied") {
		t.Errorf("got %v", err)
	}
	if there.connections.Load() != before {
		t.Error("a connection arrived")
	}
	err = fetch(allowed)
	if err == nil || errors.Is(err, dial.ErrDenied) || there.connections.Load() == before {
		t.Errorf("without the denial: %v, %d connections", err, there.connections.Load()-before)
	}
}
