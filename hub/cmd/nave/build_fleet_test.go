package main

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fleetFiles is a repository with a Fleet of three clusters, of which two are the same.
var fleetFiles = map[string]string{
	"hub/fleet.yaml": `apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: fleet, namespace: flux-system}
spec: {interval: 1m, url: "https://git.example.com/org/fleet"}
---
apiVersion: fleet.nave.io/v1alpha1
kind: Fleet
metadata: {name: all}
spec:
  clusterSelector: {matchLabels: {env: test}}
  template:
    spec: {interval: 10m, prune: true, path: "./clusters/${site}", sourceRef: {kind: GitRepository, name: fleet}}
`,
	"hub/clusters.yaml": `{apiVersion: fleet.nave.io/v1alpha1, kind: Cluster, metadata: {name: east, labels: {env: test}}, spec: {vars: {site: eu}}}
---
{apiVersion: fleet.nave.io/v1alpha1, kind: Cluster, metadata: {name: west, labels: {env: test}}, spec: {vars: {site: eu}}}
---
{apiVersion: fleet.nave.io/v1alpha1, kind: Cluster, metadata: {name: lab, labels: {env: test}}, spec: {vars: {site: lab}}}
---
{apiVersion: fleet.nave.io/v1alpha1, kind: Cluster, metadata: {name: other}}
`,
	"clusters/eu/app.yaml": `apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app, namespace: flux-system}
spec:
  interval: 10m
  prune: true
  path: ./app
  sourceRef: {kind: GitRepository, name: app}
  postBuild: {substitute: {size: large}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: app, namespace: flux-system}
spec: {interval: 1m, url: "https://git.example.com/org/app"}
`,
	"clusters/lab/settings.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lab, namespace: default}\n",
}

var appFiles = map[string]string{
	"app/settings.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: default}\n" +
		"data: {size: '${size}'}\n",
	"app/.sourceignore": "ignored.yaml\n",
	"app/ignored.yaml":  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ignored, namespace: default}\n",
}

// run runs the command and returns what it printed.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out, messages bytes.Buffer
	cmd, _ := program(&out, &messages)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestBuildFleet(t *testing.T) {
	fleet, app := tree(t, fleetFiles), tree(t, appFiles)
	hub := filepath.Join(fleet, "hub")
	source := "--local-sources=GitRepository/flux-system/app=" + app
	out, err := run(t, "build", "fleet", "all", fleet, "-f", hub, source)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(out, "name: settings") != 1 || !strings.Contains(out, "# east, west\n") ||
		!strings.Contains(out, "# lab\n") || !strings.Contains(out, "size: large") || strings.Contains(out, "ignored") {
		t.Errorf("printed:\n%s", out)
	}
	out, err = run(t, "build", "cluster", "lab", fleet, "-f", hub)
	if err != nil || !strings.Contains(out, "name: lab") || strings.Contains(out, "settings") {
		t.Errorf("%v, printed:\n%s", err, out)
	}
	_, err = run(t, "build", "cluster", "east", fleet, "-f", hub)
	if err == nil || !strings.Contains(err.Error(), "--local-sources GitRepository/flux-system/app=DIR") {
		t.Errorf("without the source of app: %v", err)
	}
}

// noted runs the command without a configured hub, and returns what it printed and noted.
func noted(t *testing.T, args ...string) (out, notes string, err error) {
	t.Helper()
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME"} {
		t.Setenv(name, t.TempDir())
	}
	t.Setenv("NAVE_CONFIG", "")
	var printed, messages bytes.Buffer
	cmd, _ := program(&printed, &messages)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return printed.String(), messages.String(), err
}

// TestBuild_found finds the Clusters and Fleets in the checkout, and tells where.
func TestBuild_found(t *testing.T) {
	const sync = "clusters/lab/flux-system/gotk-sync.yaml"
	nested := map[string]string{"hub/kustomization.yaml": "resources: [clusters.yaml, sub/fleet.yaml]\n",
		"hub/sub/fleet.yaml": fleetFiles["hub/fleet.yaml"], "hub/clusters.yaml": fleetFiles["hub/clusters.yaml"],
		"clusters/lab/settings.yaml": fleetFiles["clusters/lab/settings.yaml"]}
	siblings := map[string]string{"ops/hub/fleets/a.yaml": fleetFiles["hub/fleet.yaml"],
		"ops/hub/clusters/a.yaml":    fleetFiles["hub/clusters.yaml"],
		"clusters/lab/settings.yaml": fleetFiles["clusters/lab/settings.yaml"]}
	flux := map[string]string{sync: "# nothing\n", "clusters/lab/settings.yaml": settings}
	for name, c := range map[string]struct {
		files            map[string]string
		args             []string
		out, notes, fail string
	}{
		"cluster": {fleetFiles, []string{"cluster", "lab"}, "name: lab", "DIR/hub: Clusters east, lab, other, west " +
			"(hub/clusters.yaml); Fleets all (hub/fleet.yaml)", ""},
		"fleet":        {fleetFiles, []string{"fleet", "all"}, "name: lab", "DIR/hub: ", "GitRepository/flux-system/app=DIR"},
		"nested":       {nested, []string{"cluster", "lab"}, "name: lab", "DIR/hub: ", ""},
		"siblings":     {siblings, []string{"cluster", "lab"}, "name: lab", "DIR/ops/hub: ", ""},
		"other_name":   {fleetFiles, []string{"cluster", "nobody"}, "", "", "no Cluster nobody in DIR/hub, and no hub is asked"},
		"ambiguous":    {with(fleetFiles, "b/fleet.yaml", fleetOf("b", "{}", "x")), []string{"cluster", "lab"}, "", "", "of DIR have Clusters or Fleets: b, hub; name the one of the hub, such as --filename DIR/b"},
		"of_flux":      {flux, []string{"cluster", "lab"}, "name: settings", "root of cluster lab is clusters/lab", ""},
		"of_flux_else": {flux, []string{"cluster", "prod"}, "", "", "DIR has no Cluster and no Fleet: give them with --filename"},
		"of_flux_two":  {with(flux, "old/"+sync, ""), []string{"cluster", "lab"}, "", "", "clusters/lab, old/clusters/lab; name one with --path"},
		"unreadable":   {map[string]string{"hub/all.yaml": "apiVersion: fleet.nave.io/v1alpha1\nkind: [\n"}, []string{"cluster", "lab"}, "", "", "files that cannot be read may have some: hub/all.yaml:"},
		"invalid":      {with(fleetFiles, "hub/x.yaml", fleetOf("x", "{matchLabel: {}}", "x")), []string{"cluster", "lab"}, "name: lab", "", "hub/x.yaml:5: Fleet x: spec.clusterSelector.matchLabel: Forbidden: unknown field"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, c.files)
			out, notes, err := noted(t, slices.Concat([]string{"build"}, c.args, []string{dir})...)
			in := func(text string) string { return strings.ReplaceAll(text, "DIR", dir) }
			if c.fail == "" && err != nil || c.fail != "" && (err == nil || !strings.Contains(
				strings.ReplaceAll(err.Error(), "app=DIR", "app="+dir), in(c.fail))) {
				t.Errorf("error %v, want %s", err, in(c.fail))
			}
			if !strings.Contains(out, c.out) || !strings.Contains(notes, in(c.notes)) {
				t.Errorf("printed:\n%s\nnotes:\n%s", out, notes)
			}
		})
	}
}

// TestBuild_found_large reads no file that is too large for a manifest, and names it if Clusters may be in it.
func TestBuild_found_large(t *testing.T) {
	for name, fail := range map[string]string{"app/data.yaml": "",
		"hub/clusters.yaml": "files that cannot be read may have some: hub/clusters.yaml has more than 64 MiB"} {
		files := map[string]string{name: "", "clusters/lab/settings.yaml": settings}
		if fail == "" {
			files = with(fleetFiles, name, "")
		}
		dir := tree(t, files)
		if err := os.Truncate(filepath.Join(dir, name), 1<<40); err != nil {
			t.Fatal(err)
		}
		out, _, err := noted(t, "build", "cluster", "lab", dir)
		if fail == "" && (err != nil || !strings.Contains(out, "name: lab")) ||
			fail != "" && (err == nil || !strings.Contains(err.Error(), fail)) {
			t.Errorf("%s: error %v, want %q; printed:\n%s", name, err, fail, out)
		}
	}
}

// TestBuild_found_fleets builds the Fleets of a checkout for Clusters that are in no file of it.
func TestBuild_found_fleets(t *testing.T) {
	dir := tree(t, fleetFiles)
	clusters := filepath.Join(dir, "hub/clusters.yaml")
	elsewhere := filepath.Join(t.TempDir(), "clusters.yaml")
	if err := os.Rename(clusters, elsewhere); err != nil {
		t.Fatal(err)
	}
	out, notes, err := noted(t, "build", "cluster", "lab", dir, "-f", elsewhere)
	if err != nil || !strings.Contains(out, "name: lab") || !strings.Contains(notes, "no Cluster; Fleets all") {
		t.Errorf("%v, printed:\n%s\nnotes:\n%s", err, out, notes)
	}
}

// TestBuild_found_asks asks the hub that a configuration names, whatever the checkout has.
func TestBuild_found_asks(t *testing.T) {
	_, notes, err := noted(t, "build", "cluster", "lab", tree(t, fleetFiles), "--config", "/nowhere/config")
	if err == nil || !strings.Contains(err.Error(), "/nowhere/config") || notes != "" {
		t.Errorf("%v, notes:\n%s", err, notes)
	}
}

// with returns files with one more.
func with(files map[string]string, name, text string) map[string]string {
	all := maps.Clone(files)
	all[name] = text
	return all
}

func TestBuildFleet_nothing_selected(t *testing.T) {
	fleet := tree(t, fleetFiles)
	only := filepath.Join(fleet, "hub/fleet.yaml")
	for _, c := range []struct{ name, want string }{{"all", "spec.clusterSelector matches no cluster"},
		{"nobody", "there is no Fleet nobody in " + only + ", and with --filename the hub is not asked"},
		{"al", "did you mean all?"}} {
		_, err := run(t, "build", "fleet", c.name, fleet, "-f", only)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if code := exitCode(err); (code == notFound) != (c.name != "all") {
			t.Errorf("%s: exit code %d", c.name, code)
		}
	}
}

func TestBuildCluster_not_given(t *testing.T) {
	fleet := tree(t, fleetFiles)
	only := filepath.Join(fleet, "hub/fleet.yaml")
	_, err := run(t, "build", "cluster", "east", fleet, "-f", only)
	if want := "there is no Cluster east in " + only + ", and with --filename the hub is not asked"; err == nil ||
		!strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

func TestBuildCluster_path(t *testing.T) {
	fleet := tree(t, fleetFiles)
	out, err := run(t, "build", "cluster", "anything", fleet, "--path", "clusters/lab")
	if err != nil || !strings.Contains(out, "name: lab") {
		t.Errorf("%v, printed:\n%s", err, out)
	}
	for _, c := range []struct{ name, path, want string }{
		{"outside", "..", "is not below"}, {"missing", "nowhere", "no such file"},
	} {
		_, err := run(t, "build", "cluster", "anything", fleet, "--path", c.path)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestBuildCluster_path_sources builds a path whose Kustomizations name the source that nave bootstrap makes, for which
// the checkout stands, and one that nobody gave.
func TestBuildCluster_path_sources(t *testing.T) {
	app := func(source string) string {
		return "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: " + source +
			", namespace: flux-system}\nspec: {interval: 10m, prune: true, path: ./app, " +
			"sourceRef: {kind: GitRepository, name: " + source + "}}\n"
	}
	root := tree(t, map[string]string{
		"clusters/lab/hub.yaml": app("hub"), "clusters/lab/else.yaml": app("else"),
		"app/settings.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: default}\n",
	})
	out, err := run(t, "build", "cluster", "s1", root, "--path", "clusters/lab")
	if want := "--local-sources GitRepository/flux-system/else=DIR"; err == nil || strings.Count(err.Error(), want) != 1 ||
		strings.Contains(err.Error(), "flux-system/hub") || !strings.Contains(out, "name: settings") {
		t.Errorf("%v, want %q; printed:\n%s", err, want, out)
	}
}

// TestBuildCluster_kind_of_the_hub wants the place of a Fleet that a cluster cannot have, once.
func TestBuildCluster_kind_of_the_hub(t *testing.T) {
	root := tree(t, map[string]string{"clusters/lab/all.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lab}\n" +
		"---\napiVersion: fleet.nave.io/v1alpha1\nkind: Fleet\nmetadata: {name: all}\n"})
	_, err := run(t, "build", "cluster", "lab", root, "--path", "clusters/lab")
	const want = "clusters/lab/all.yaml:5 (document 2): Fleet all: a Fleet is an object of the hub and cannot be in the " +
		"graph of a cluster: put it into the hub's own root, or use nave apply"
	if err == nil || strings.Count(err.Error(), "is an object of the hub") != 1 || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
}

// TestBuildCluster_encrypted names the encrypted files of a Kustomization that gives the spoke no keys.
func TestBuildCluster_encrypted(t *testing.T) {
	for name, c := range map[string]struct{ more, want string }{
		"none": {"", "Kustomization flux-system/app has no spec.decryption, and app/a.yaml is encrypted: set provider: sops"},
		"set":  {"  decryption: {provider: sops}\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := tree(t, map[string]string{"app/a.yaml": sealedFile, "clusters/lab/app.yaml": strings.Replace(
				kustomization("app", "app", c.more), "name: fleet", "name: flux-system", 1)})
			_, notes, err := noted(t, "build", "cluster", "lab", root, "--path", "clusters/lab")
			if err != nil || (c.want == "") != (notes == "") || !strings.Contains(notes, c.want) {
				t.Errorf("error %v, notes %q, want %q", err, notes, c.want)
			}
		})
	}
}

// searchPath is the PATH before a build takes it from this process.
var searchPath = os.Getenv("PATH")

// TestBuildCluster_bootstrapped builds what `flux bootstrap` wrote: the sync object names the checkout by its remote.
func TestBuildCluster_bootstrapped(t *testing.T) {
	root := tree(t, map[string]string{
		"clusters/prod/flux-system/gotk-sync.yaml": `apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: flux-system, namespace: flux-system}
spec: {interval: 1m, url: "ssh://git@git.example.com/org/fleet"}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: flux-system, namespace: flux-system}
spec: {interval: 10m, prune: true, path: ./clusters/prod, sourceRef: {kind: GitRepository, name: flux-system}}
`,
		"clusters/prod/infra.yaml": `apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: again, namespace: flux-system}
spec: {interval: 1m, url: "https://git.example.com/org/fleet"}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: infra, namespace: flux-system}
spec: {interval: 10m, prune: true, path: ./infra, sourceRef: {kind: GitRepository, name: again}}
`,
		"infra/settings.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: infra, namespace: default}\n",
	})
	t.Setenv("PATH", searchPath)
	for _, args := range [][]string{{"init", "-q"}, {"remote", "add", "origin", "git@git.example.com:org/fleet.git"}} {
		if out, err := exec.Command("git", append([]string{"-C", root}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	out, err := run(t, "build", "cluster", "prod", root, "--path", "clusters/prod")
	if err != nil || !strings.Contains(out, "name: infra") {
		t.Errorf("%v, printed:\n%s", err, out)
	}
}

// TestBuildFleet_example builds the example repository, whose source nave bootstrap makes.
func TestBuildFleet_example(t *testing.T) {
	root := "../../../examples/fleet"
	clusters := tree(t, map[string]string{"one.yaml": "{apiVersion: fleet.nave.io/v1alpha1, kind: Cluster, " +
		"metadata: {name: one, labels: {env: staging}}, spec: {vars: {domain: example.com}}}\n"})
	out, err := run(t, "build", "fleet", "staging", root, "-f", root+"/hub", "-f", clusters)
	if err != nil || !strings.Contains(out, "kind: Deployment") {
		t.Errorf("%v, printed:\n%s", err, out)
	}
	out, err = run(t, "build", "cluster", "x", root, "--path", "clusters/staging",
		"--local-sources=GitRepository/flux-system/hub="+root)
	if err != nil || !strings.Contains(out, "name: ${cluster_name}") {
		t.Errorf("%v, printed:\n%s", err, out)
	}
}

func TestSameURL(t *testing.T) {
	for _, c := range []struct {
		name, a, b string
		same       bool
	}{
		{"scp", "git@github.com:org/fleet.git", "https://github.com/org/fleet", true},
		{"ssh_port", "ssh://git@git.example.com:2222/org/fleet", "https://git.example.com/org/fleet.git", true},
		{"host_case", "https://GitHub.com/org/fleet/", "https://github.com/org/fleet", true},
		{"other_path", "https://github.com/org/fleet", "https://github.com/org/app", false},
		{"other_port", "http://localhost:80/a", "http://localhost:81/a", false},
	} {
		if got := sameURL(c.a) == sameURL(c.b); got != c.same {
			t.Errorf("%s: %q and %q", c.name, sameURL(c.a), sameURL(c.b))
		}
	}
}
