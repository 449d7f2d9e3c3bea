package worker

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
)

// TestRemoteBase_authority fetches remote bases over HTTPS, a repository and a file. An authority that the system does
// not know is one of the hub's environment, or the server is not trusted.
func TestRemoteBase_authority(t *testing.T) {
	server, err := gittest.Start(gittest.Options{TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	repo, err := server.NewRepository("base")
	if err != nil {
		t.Fatal(err)
	}
	commit(t, repo, map[string]string{"kustomization.yaml": "resources: []\n"})
	files := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("a: 1\n"))
	}))
	t.Cleanup(files.Close)
	authorities := t.TempDir()
	write := func(name string, certificate []byte) string {
		file := filepath.Join(authorities, name)
		if err := os.WriteFile(file, certificate, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write("git.pem", server.CA())
	one := write("files.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: files.Certificate().Raw}))

	repository := api.Remote{URL: repo.URL(), Ref: "main"}
	single := api.Remote{URL: files.URL + "/crd.yaml", File: true}
	for name, c := range map[string]struct {
		variable, value string
		remote          api.Remote
		content         string // of which file; empty: it is not trusted
	}{
		"repository":        {"SSL_CERT_DIR", authorities, repository, "kustomization.yaml"},
		"file":              {"SSL_CERT_DIR", authorities, single, api.RemoteFile},
		"file_by_bundle":    {"SSL_CERT_FILE", one, single, api.RemoteFile},
		"repository_none":   {"", "", repository, ""},
		"file_none":         {"", "", single, ""},
		"repository_others": {"SSL_CERT_FILE", one, repository, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if c.variable != "" {
				t.Setenv(c.variable, c.value)
			}
			f := newFetcher(t, Config{Workers: 1}, Command)
			a, err := fetchRemote(t, f, c.remote)
			if c.content == "" {
				if !errors.Is(err, source.ErrUntrusted) || !strings.Contains(err.Error(), "SSL_CERT_DIR") {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := readFile(t, f, a, c.content); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRemoteBase_redirect has a Git server that sends the hub to a host which the operator did not name.
func TestRemoteBase_redirect(t *testing.T) {
	repo := newRepository(t, gittest.Options{})
	commit(t, repo, map[string]string{"a": "1"})
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.TrimSuffix(repo.URL(), "/fleet.git")+r.URL.Path+"?"+r.URL.RawQuery, http.StatusFound)
	}))
	defer away.Close()
	f := newFetcher(t, Config{Workers: 1}, Command)
	_, err := fetchRemote(t, f, api.Remote{URL: away.URL + "/fleet.git", Ref: "main"})
	if !errors.Is(err, dial.ErrDenied) || !strings.Contains(err.Error(), "--remote-base-host") {
		t.Errorf("got %v", err)
	}
}

// fetchRemote fetches a RemoteBase whose host is named.
func fetchRemote(t *testing.T, f fetcher, remote api.Remote) (artifact.Artifact, error) {
	t.Helper()
	owner := api.Key{Kind: api.KustomizationKind, Namespace: "apps", Name: "a"}
	base, err := api.NewRemoteBase(owner, time.Minute, "", remote)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(remote.URL)
	if err != nil {
		t.Fatal(err)
	}
	req := source.Request{Object: base, Hosts: []string{u.Host},
		Network: dial.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}
	return f.artifacts.Make(t.Context(), nil,
		func(w artifact.Workspace, _ *artifact.Artifact) (artifact.Artifact, error) {
			req.Workspace = w
			return f.Fetcher.Fetch(t.Context(), req)
		})
}
