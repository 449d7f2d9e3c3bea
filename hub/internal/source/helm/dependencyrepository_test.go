package helm_test

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/navefleet/nave/e2e/ocitest"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// serve lets charts of other sources ask the server of a HelmRepository.
func (w *world) serve(repo *api.Object, s secrets, bindings map[string]api.Binding) {
	w.Helper()
	index, err := w.index(repo, s, nil)
	if err != nil {
		w.Fatal(err)
	}
	w.indexes = []artifact.Artifact{index}
	w.servers = []source.Server{{Object: repo, Secrets: s, Bindings: bindings}}
}

// packDependency makes a chart with one dependency.
func (w *world) packDependency(revision, dependency string) (artifact.Artifact, error) {
	w.Helper()
	return w.pack(w.tree(revision, map[string]string{"Chart.yaml": parent(dependency)}), spec{"chart": "."}, nil)
}

// TestDependencies_login fetches dependencies with the Secret of a HelmRepository, which is found by its URL or by an
// alias.
func TestDependencies_login(t *testing.T) {
	w := newWorld(t)
	w.charts("redis 1.0.0", "redis 1.1.0")
	w.wrap = func(out http.ResponseWriter, r *http.Request) bool {
		if _, password, _ := r.BasicAuth(); password == "hunter22" {
			return false
		}
		http.Error(out, "no", http.StatusUnauthorized)
		return true
	}
	_, err := w.packDependency("1", "redis 1.x "+w.URL)
	if err == nil || !strings.Contains(err.Error(), "401") || !strings.Contains(err.Error(), "dependency-repositories") {
		t.Errorf("without the Secret: %v", err)
	}
	login := secrets{"spec.secretRef": login()}
	w.serve(w.repository(spec{"secretRef": spec{"name": "login"}}), login, nil)
	for name, repository := range map[string]string{
		"url": w.URL, "slash": w.URL + "/", "alias": "@charts", "long_alias": "alias:charts",
	} {
		t.Run(name, func(t *testing.T) {
			a, err := w.packDependency(name, "redis 1.x "+repository)
			if err != nil {
				t.Fatal(err)
			}
			w.expect(a, "app/Chart.yaml", "app/charts/redis-1.1.0.tgz")
		})
	}
	for repository, words := range map[string]string{"@other": `alias "other"`, w.URL + "/below": "401"} {
		if _, err := w.packDependency("2", "redis 1.x "+repository); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", repository, err)
		}
	}
	if _, err := w.packDependency("3", "redis 2.x @charts"); err == nil || !strings.Contains(err.Error(), "has: 1.1.0") {
		t.Errorf("another version: %v", err)
	}
}

// TestDependencies_elsewhere shows the Secret of a HelmRepository to another host only if the Secret is bound to it.
func TestDependencies_elsewhere(t *testing.T) {
	for name, passed := range map[string]bool{"kept": false, "bound": true, "bound_not": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			other, seen := w.elsewhere()
			at, err := url.Parse(other.URL)
			if err != nil {
				t.Fatal(err)
			}
			w.charts("redis 1.0.0")
			w.helm("repo", "index", w.dir, "--url", other.URL)
			fields := spec{"secretRef": spec{"name": "login"}, "passCredentials": name != "kept"}
			hosts := map[string][]string{"bound": {at.Host}, "bound_not": {"charts.example.com"}}[name]
			w.serve(w.repository(fields), secrets{"spec.secretRef": login()},
				map[string]api.Binding{"spec.secretRef": {Hosts: hosts}})
			_, err = w.packDependency("1", "redis 1.x "+w.URL)
			if refused := name == "bound_not"; (err != nil) != refused || refused && !strings.Contains(err.Error(),
				"fleet.nave.io/hosts") {
				t.Errorf("error %v", err)
			}
			if got := strings.Join(*seen, ""); (got != "") != passed {
				t.Errorf("the other host got %q", got)
			}
		})
	}
}

// TestDependencies_registry pulls a dependency from a registry that wants a login and has a certificate of its own.
func TestDependencies_registry(t *testing.T) {
	server := startRegistry(t, ocitest.Options{TLS: true, Username: "me", Password: "hunter22"})
	w := newWorld(t)
	w.charts("redis 1.0.0")
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, server.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	registry := "oci://" + server.Host() + "/charts"
	w.helm("push", filepath.Join(w.dir, "redis-1.0.0.tgz"), registry, "--ca-file", ca, "--username", "me",
		"--password", "hunter22")
	if _, err := w.packDependency("1", "redis 1.x "+registry); err == nil ||
		!strings.Contains(err.Error(), "dependency-repositories") {
		t.Errorf("without the authority: %v", err)
	}
	named := secrets{"spec.secretRef": login(), "spec.certSecretRef": {"ca.crt": server.CA()}}
	w.serve(w.object(api.HelmRepositoryKind, spec{"type": "oci", "url": registry, "secretRef": spec{"name": "login"},
		"certSecretRef": spec{"name": "ca"}}), named, nil)
	for _, repository := range []string{registry, "@charts"} {
		a, err := w.packDependency(repository, "redis 1.x "+repository)
		if err != nil {
			t.Fatal(err)
		}
		w.expect(a, "app/Chart.yaml", "app/charts/redis-1.0.0.tgz")
	}
}

// TestDependencies_parts refuses a request whose servers have no artifacts.
func TestDependencies_parts(t *testing.T) {
	w := newWorld(t)
	w.servers = []source.Server{{Object: w.repository(nil)}}
	if _, err := w.packDependency("1", "redis 1.x "+w.URL); !errors.Is(err, source.ErrRequest) {
		t.Error(err)
	}
}
