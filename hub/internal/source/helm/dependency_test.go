package helm_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/navefleet/nave/e2e/ocitest"
	"github.com/navefleet/nave/hub/api"
)

// parent returns a Chart.yaml with dependencies, each given as name, version and repository.
func parent(dependencies ...string) string {
	text := "apiVersion: v2\nname: app\nversion: 1.0.0\ndependencies:\n"
	for _, d := range dependencies {
		parts := strings.Fields(d + " -")
		text += fmt.Sprintf("- {name: %s, version: %q, repository: %q}\n", parts[0], parts[1], strings.Trim(parts[2], "-"))
	}
	return text
}

// TestDependencies_helm fetches what the real helm fetches, in the versions of Chart.lock.
func TestDependencies_helm(t *testing.T) {
	w := newWorld(t)
	w.charts("redis 1.0.0", "redis 1.1.0", "common 2.0.0")
	dir := filepath.Join(t.TempDir(), "app")
	w.write(dir, map[string]string{"Chart.yaml": parent("redis 1.x "+w.URL, "common ~2 "+w.URL)})
	w.helm("dependency", "update", dir)
	lock, err := os.ReadFile(filepath.Join(dir, "Chart.lock"))
	if err != nil {
		t.Fatal(err)
	}
	w.charts("redis 1.2.0", "common 2.0.1")
	files := map[string]string{
		"app/Chart.yaml": parent("redis 1.x "+w.URL, "common ~2 "+w.URL),
		"app/Chart.lock": string(lock),
	}
	a, err := w.pack(w.tree("1", files), spec{"chart": "app"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.expect(a, "app/Chart.lock", "app/Chart.yaml", "app/charts/common-2.0.0.tgz", "app/charts/redis-1.1.0.tgz")
	for name, text := range w.files(a) {
		want, err := os.ReadFile(filepath.Join(filepath.Dir(dir), name))
		if err != nil || string(want) != text {
			t.Errorf("%s is another one than that of helm: %v", name, err)
		}
	}
	delete(files, "app/Chart.lock")
	if a, err = w.pack(w.tree("2", files), spec{"chart": "app"}, nil); err != nil {
		t.Fatal(err)
	}
	w.expect(a, "app/Chart.yaml", "app/charts/common-2.0.1.tgz", "app/charts/redis-1.2.0.tgz")
}

// TestDependencies_aliases fetches what the real helm fetches for a chart that needs two versions of another one.
func TestDependencies_aliases(t *testing.T) {
	w := newWorld(t)
	w.charts("redis 1.0.0", "redis 2.0.0")
	text := strings.Replace(parent("redis 2.x "+w.URL, "redis 1.x "+w.URL), "{name: redis, version: \"1.x\"",
		"{alias: old, name: redis, version: \"1.x\"", 1)
	dir := filepath.Join(t.TempDir(), "app")
	w.write(dir, map[string]string{"Chart.yaml": text})
	w.helm("dependency", "update", dir)
	lock, err := os.ReadFile(filepath.Join(dir, "Chart.lock"))
	if err != nil {
		t.Fatal(err)
	}
	w.charts("redis 1.1.0", "redis 2.1.0")
	files := map[string]string{"app/Chart.yaml": text, "app/Chart.lock": string(lock)}
	a, err := w.pack(w.tree("1", files), spec{"chart": "app"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.expect(a, "app/Chart.lock", "app/Chart.yaml", "app/charts/redis-1.0.0.tgz", "app/charts/redis-2.0.0.tgz")
	_, err = w.pack(w.tree("2", map[string]string{
		"app/Chart.yaml": parent("lib 1.x file://../one", "lib 2.x file://../two"),
		"one/Chart.yaml": "name: lib\nversion: 1.0.0\n", "two/Chart.yaml": "name: lib\nversion: 2.0.0\n",
	}), spec{"chart": "app"}, nil)
	if err == nil || !strings.Contains(err.Error(), "of the same name") {
		t.Errorf("two folders with charts of one name: %v", err)
	}
}

// TestDependencies_vendored asks no server for what is in charts/, and for nothing while the version stays.
func TestDependencies_vendored(t *testing.T) {
	w := newWorld(t)
	w.charts("redis 1.0.0")
	archive, err := os.ReadFile(filepath.Join(w.dir, "redis-1.0.0.tgz"))
	if err != nil {
		t.Fatal(err)
	}
	in := w.tree("1", map[string]string{
		"Chart.yaml": parent("redis 1.x https://charts.invalid", "common ~2 oci://charts.invalid/x"), "charts/r.tgz": string(archive),
		"charts/common/Chart.yaml": "name: common\nversion: 2.0.0\n", "charts/common/charts/deep/Chart.yaml": "name: deep\n",
	})
	a, err := w.pack(in, spec{"chart": "."}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.expect(a, "app/Chart.yaml", "app/charts/common/Chart.yaml", "app/charts/common/charts/deep/Chart.yaml",
		"app/charts/r.tgz")
	changed := w.tree("2", map[string]string{"Chart.yaml": parent("redis 1.x https://charts.invalid")})
	if again, err := w.pack(changed, spec{"chart": "."}, &a); err != nil || again != a {
		t.Error(again, err)
	}
}

// TestDependencies_local adds charts of other folders of the source, with their own dependencies.
func TestDependencies_local(t *testing.T) {
	w := newWorld(t)
	w.charts("redis 1.0.0")
	in := w.tree("1", map[string]string{
		"charts/app/Chart.yaml":    parent("lib 0.x file://../lib", "other 1.0.0 file:///charts/other"),
		"charts/lib/Chart.yaml":    strings.Replace(parent("redis 1.x "+w.URL), "name: app\nversion: 1.0.0", "name: lib\nversion: 0.3.0", 1),
		"charts/lib/values.yaml":   "a: 1\n",
		"charts/other/Chart.yaml":  "name: other\nversion: 1.0.0\n",
		"charts/other/a/b/c.yaml":  "",
		"charts/unused/Chart.yaml": "",
	})
	a, err := w.pack(in, spec{"chart": "charts/app"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.expect(a, "app/Chart.yaml", "app/charts/lib/Chart.yaml", "app/charts/lib/charts/redis-1.0.0.tgz",
		"app/charts/lib/values.yaml", "app/charts/other/Chart.yaml", "app/charts/other/a/b/c.yaml")
}

// TestDependencies_link reads no Chart.lock that is a symlink.
func TestDependencies_link(t *testing.T) {
	w := newWorld(t)
	w.charts("redis 1.0.0", "redis 1.1.0")
	in := w.tree("1", map[string]string{
		"app/Chart.yaml": parent("redis 1.x " + w.URL), "app/Chart.lock": "-> other.lock",
		"app/other.lock": "dependencies: [{name: redis, version: 1.0.0}]\n",
	})
	a, err := w.pack(in, spec{"chart": "app"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.expect(a, "app/Chart.lock", "app/Chart.yaml", "app/charts/redis-1.1.0.tgz", "app/other.lock")
}

// TestDependencies_oci pulls a dependency from a registry.
func TestDependencies_oci(t *testing.T) {
	server := startRegistry(t, ocitest.Options{TLS: true})
	w := newWorld(t)
	w.charts("redis 1.0.0")
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, server.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	w.helm("push", filepath.Join(w.dir, "redis-1.0.0.tgz"), "oci://"+server.Host()+"/charts", "--ca-file", ca)
	in := w.tree("1", map[string]string{"Chart.yaml": parent("redis 1.x oci://" + server.Host() + "/charts")})
	_, err := w.pack(in, spec{"chart": "."}, nil)
	if err == nil || !strings.Contains(err.Error(), "not trusted") { // the certificate is in no Secret
		t.Error(err)
	}
}

// TestDependencies_bad names the dependency, and what is wrong.
func TestDependencies_bad(t *testing.T) {
	w := newWorld(t)
	w.charts("redis 1.0.0")
	lib := func(text string) map[string]string { return map[string]string{"lib/Chart.yaml": text} }
	for name, c := range map[string]struct {
		dependency string
		more       map[string]string
		words      string
	}{
		"no_repository": {"redis 1.x", nil, "no repository"},
		"alias":         {"redis 1.x @stable", nil, "fleet.nave.io/dependency-repositories"},
		"long_alias":    {"redis 1.x alias:stable", nil, `alias "stable"`},
		"version":       {"redis 2.x " + w.URL, nil, `"2.x"; the repository has: 1.0.0`},
		"chart":         {"mysql 2.x " + w.URL, nil, "no such chart"},
		"denied":        {"redis 1.x http://169.254.169.254/charts", nil, "169.254.169.254"},
		"leaves":        {"lib 1.x file://../lib", nil, "leaves the source"},
		"other_name":    {"lib 1.x file://lib", lib("name: other\nversion: 1.0.0\n"), `"other"`},
		"other_version": {"lib 1.x file://lib", lib("name: lib\nversion: 2.0.0\n"), `"2.0.0"`},
		"no_folder":     {"lib 1.x file://lib", nil, "no such folder"},
		"circle":        {"app 1.x file://.", nil, "depend on each other"},
		"git":           {"redis 1.x git+https://example.com", nil, "no URL"},
		"name":          {"../x 1.x " + w.URL, nil, "cannot be that of a folder"},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			files := map[string]string{"Chart.yaml": parent(c.dependency)}
			for at, text := range c.more {
				files[at] = text
			}
			_, err := w.pack(w.tree("1", files), spec{"chart": "."}, nil)
			if err == nil || !strings.Contains(err.Error(), c.words) {
				t.Fatal(err)
			}
			if own, ok := api.ReasonOf(err); name != "name" && (!ok || own.Name != api.DependencyBuildError) {
				t.Errorf("%v has the reason %s", err, own.Name)
			}
		})
	}
}
