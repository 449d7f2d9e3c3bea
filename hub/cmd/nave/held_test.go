package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/shared/manifest"
)

// heldHub runs a hub with the clusters of a Fleet. The cluster east is pinned to its first release; the second one has
// size: medium.
func heldHub(t *testing.T) (root, config string) {
	t.Helper()
	files := diffFiles()
	delete(files, "app/sealed.yaml")
	root = tree(t, files)
	config = hubWith(t, root, fleetFiles["hub/fleet.yaml"]+"---\n"+fleetFiles["hub/clusters.yaml"], 2)
	app := kustomizationNamed("app")
	first := map[string]manifest.Digest{}
	refetch(t, config, func(p *published) bool {
		for cluster := range p.clusters {
			first[cluster] = p.clusters[cluster][app].digest
		}
		return true
	})
	write(t, root, "app/settings.yaml", strings.Replace(files["app/settings.yaml"], "small", "medium", 1))
	refetch(t, config, func(p *published) bool {
		return !slices.ContainsFunc([]string{"east", "lab", "west"}, func(cluster string) bool {
			return p.clusters[cluster][app].digest == first[cluster]
		})
	})
	mustRun(t, "rollback", "east", "--wait=false", "--config", config)
	refetch(t, config, func(p *published) bool { return p.clusters["east"][app].digest == first["east"] })
	return root, config
}

// releaseNumber is how many releases the hub made of the first commit: one, or more while it fetched.
var releaseNumber = regexp.MustCompile(`release [0-9]+`)

// write replaces a file below a folder.
func write(t *testing.T, root, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDiff_held compares a checkout with clusters that it would not reach.
func TestDiff_held(t *testing.T) {
	root, config := heldHub(t)
	copyTree := func(change func(dir string)) string {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(root)); err != nil {
			t.Fatal(err)
		}
		change(dir)
		return dir
	}
	large := copyTree(func(dir string) {
		write(t, dir, "app/settings.yaml", strings.Replace(diffFiles()["app/settings.yaml"], "small", "large", 1))
	})
	both := copyTree(func(dir string) {
		write(t, dir, "app/settings.yaml", strings.Replace(diffFiles()["app/settings.yaml"], "small", "large", 1))
		write(t, dir, "clusters/lab/app.yaml", strings.NewReplacer("prune: true", "prune: false", "site: eu", "site: lab").
			Replace(diffFiles()["clusters/lab/app.yaml"]))
	})
	for _, c := range []struct {
		name    string
		suspend []string // the arguments of nave suspend
		dir     string
		args    []string
		want    []string
		without []string
		code    int // 0: 1
	}{
		{"pin", nil, root, []string{"fleet", "all"}, []string{
			"# 1 cluster: east\n# held: pinned to release N until `nave release`\n",
			"-  size: small\n+  size: medium\n", "On 1 of 3 clusters: 1 changed; held on 1 cluster."}, []string{"lab, west"}, 0},
		{"pin_and_change", nil, large, []string{"fleet", "all"}, []string{
			"# 2 clusters: lab, west\n## ", "-  size: medium\n+  size: large\n",
			"# 1 cluster: east\n# held: pinned to release N until `nave release`\n",
			"-  size: small\n+  size: large\n"}, nil, 0},
		{"kustomization", []string{"kustomization", "app", "--cluster=west"}, large, []string{"fleet", "all"}, []string{
			"# 1 cluster: lab\n## ", "# 1 cluster: west\n# held: Kustomization flux-system/app is suspended\n## "}, nil, 0},
		{"markdown", []string{"kustomization", "app", "--cluster=west"}, large, []string{"cluster", "west", "-o=markdown"},
			[]string{"**held:** Kustomization flux-system/app is suspended\n"}, nil, 0},
		{"parent", []string{"kustomization", "flux-system", "--cluster=lab"}, both, []string{"cluster", "lab"}, []string{
			"# 1 cluster: lab\n## Kustomization flux-system/app: ConfigMap default/settings changed\n",
			"# 1 cluster: lab\n# held: Kustomization flux-system/flux-system is suspended\n" +
				"## Kustomization flux-system/app: options changed\n", "-prune: true\n+prune: false\n",
			"ConfigMap default/site changed\n"}, nil, 0},
		{"source", []string{"gitrepository", "fleet"}, large, []string{"fleet", "all"}, []string{
			"# 2 clusters: lab, west\n# held: GitRepository flux-system/fleet is suspended\n## ",
			"# 1 cluster: east\n# held: pinned to release N until `nave release`; " +
				"GitRepository flux-system/fleet is suspended\n",
		}, nil, 0},
		{"fleet", []string{"fleet", "all"}, large, []string{"cluster", "lab"}, []string{
			"# held: Fleet all is suspended\n## Kustomization flux-system/app"}, nil, 0},
		{"cluster", []string{"cluster", "lab"}, large, []string{"fleet", "all"}, []string{
			"# 1 cluster: lab\n# held: the Cluster is suspended\n", "# 1 cluster: west\n## "}, nil, 0},
		{"live", []string{"kustomization", "app", "--cluster=west"}, large, []string{"cluster", "west", "--live"}, []string{
			"# 1 cluster: west\n# held: Kustomization flux-system/app is suspended\n## ", "the spoke is not connected"}, nil, 2},
		{"spec", nil, copyTree(func(dir string) {
			write(t, dir, "app/settings.yaml", strings.Replace(diffFiles()["app/settings.yaml"], "small", "large", 1))
			write(t, dir, "clusters/eu/app.yaml",
				strings.Replace(diffFiles()["clusters/eu/app.yaml"], "prune: true", "prune: true, suspend: true", 1))
		}), []string{"fleet", "all"}, []string{
			"# 1 cluster: lab\n## ", "# 1 cluster: west\n# held: Kustomization flux-system/app is suspended\n"}, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("PATH", searchPath)
			if c.suspend != nil {
				mustRun(t, append([]string{"suspend", "--wait=false", "--config", config}, c.suspend...)...)
				defer mustRun(t, append([]string{"resume", "--wait=false", "--config", config}, c.suspend...)...)
			}
			out, code := diffWith(t, config, append(c.args, c.dir)...)
			out = releaseNumber.ReplaceAllString(out, "release N")
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("without %q", want)
				}
			}
			for _, text := range c.without {
				if strings.Contains(out, text) {
					t.Errorf("with %q", text)
				}
			}
			if code != max(c.code, 1) || strings.Contains(out, "deleted") || t.Failed() {
				t.Errorf("exit code %d:\n%s", code, out)
			}
		})
	}
}

// TestDiff_output decodes differences for machines.
func TestDiff_output(t *testing.T) {
	root, config := heldHub(t)
	changed := t.TempDir()
	if err := os.CopyFS(changed, os.DirFS(root)); err != nil {
		t.Fatal(err)
	}
	write(t, changed, "clusters/lab/app.yaml",
		strings.Replace(diffFiles()["clusters/lab/app.yaml"], "prune: true", "prune: false", 1))
	write(t, changed, "clusters/eu/broken.yaml", strings.NewReplacer("name: app,", "name: gone,", "./app", "./gone").
		Replace(strings.Split(diffFiles()["clusters/eu/app.yaml"], "---")[0]))
	app := manifest.ID{Kind: "Kustomization", Namespace: "flux-system", Name: "app"}
	settings := manifest.ID{Kind: "ConfigMap", Namespace: "default", Name: "settings"}
	for _, format := range []string{"json", "yaml"} {
		t.Run(format, func(t *testing.T) {
			t.Setenv("PATH", searchPath)
			var out, messages bytes.Buffer
			cmd, end := program(&out, &messages)
			cmd.SetArgs([]string{"diff", "fleet", "all", changed, "--config", config, "-o", format})
			code := exitCode(end(cmd.ExecuteContext(t.Context())))
			var r diffReport
			if err := yaml.UnmarshalStrict(out.Bytes(), &r); err != nil {
				t.Fatal(err)
			}
			for _, field := range []string{"clusters", "groups", "held", "changes", "application", "object", "kind", "namespace",
				"name", "action", "diff", "notRendered", "message"} {
				if !strings.Contains(out.String(), field) {
					t.Errorf("without the field %s", field)
				}
			}
			if code != 2 || r.Clusters != 3 || len(r.Groups) != 2 || len(r.NotRendered) != 1 {
				t.Fatalf("exit code %d: %+v", code, r)
			}
			east, lab := r.Groups[0], r.Groups[1]
			if x := east.Changes[0]; east.Clusters[0] != "east" || !strings.HasPrefix(east.Held, "pinned to release ") ||
				x.Application != app || *x.Object != settings || x.Action != "changed" ||
				!strings.Contains(x.Diff, "\n+  size: medium") {
				t.Errorf("of east: %+v", east)
			}
			if x := lab.Changes[0]; lab.Clusters[0] != "lab" || lab.Held != "" || x.Application != app || x.Object != nil ||
				!strings.Contains(x.Diff, "+prune: false") {
				t.Errorf("of lab: %+v", lab)
			}
			if note := r.NotRendered[0]; !slices.Equal(note.Clusters, []string{"east", "west"}) ||
				!strings.Contains(note.Message, "gone") {
				t.Errorf("note %+v", note)
			}
		})
	}
}

// TestDiff_held_hub compares a checkout whose Clusters the hub does not take, because its root is suspended.
func TestDiff_held_hub(t *testing.T) {
	t.Setenv("PATH", searchPath)
	files := diffFiles()
	source, fleet, _ := strings.Cut(files["hub/fleet.yaml"], "---\n")
	files["hub/fleet.yaml"] = fleet
	root := tree(t, files)
	config := hubWith(t, root, source+hubRoot, 2)
	mustRun(t, "suspend", "kustomization", "hub", "--wait=false", "--config", config)
	write(t, root, "hub/clusters.yaml", strings.Replace(files["hub/clusters.yaml"], "{site: eu}", "{site: lab}", 1)+
		"---\napiVersion: fleet.nave.io/v1alpha1\nkind: Cluster\nmetadata: {name: new, labels: {env: test}}\n"+
		"spec: {vars: {site: eu}}\n")
	write(t, root, "app/settings.yaml", strings.Replace(files["app/settings.yaml"], "small", "large", 1))
	out, code := diffWith(t, config, "fleet", "all", root)
	for _, want := range []string{
		"# 3 clusters: east, lab, west\n## Kustomization flux-system/app: ConfigMap default/settings changed\n",
		"# 1 cluster: east\n# held: Kustomization flux-system/hub is suspended\n## ", "ConfigMap default/lab added",
		"# 1 cluster: new\n# held: Kustomization flux-system/hub is suspended\n## ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("without %q", want)
		}
	}
	if code != 1 || t.Failed() {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// TestDiff_variables compares a Kustomization that reads variables from one that is not rendered: its source has no
// folder, or it is suspended.
func TestDiff_variables(t *testing.T) {
	files := diffFiles()
	for _, site := range []string{"eu", "lab"} {
		name := "clusters/" + site + "/app.yaml"
		files[name] = strings.Replace(files[name], "path: ./app,",
			"path: ./app, postBuild: {substituteFrom: [{kind: ConfigMap, name: vars}]},", 1)
	}
	files["app/settings.yaml"] = strings.Replace(files["app/settings.yaml"], "small", "'${size}'", 1)
	files["other/vars.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: vars, namespace: flux-system}\n" +
		"data: {size: small}\n"
	root := tree(t, files)
	config := hubWith(t, root, files["hub/fleet.yaml"]+"---\n"+files["hub/clusters.yaml"]+otherFleet, 3)
	const folder = "--local-sources=GitRepository/flux-system/"
	fleet, other := folder+"fleet="+root, folder+"other="
	t.Setenv("PATH", searchPath)
	out, code := diffWith(t, config, "cluster", "east", root, fleet)
	if code != 0 || !strings.Contains(out, "No difference on 1 cluster; not everything was compared.") {
		t.Errorf("without a folder: exit code %d:\n%s", code, out)
	}
	changed := tree(t, files)
	write(t, changed, "other/vars.yaml", strings.Replace(files["other/vars.yaml"], "small", "large", 1))
	mustRun(t, "suspend", "kustomization", "other-root", "--cluster=east", "--wait=false", "--config", config)
	t.Setenv("PATH", searchPath)
	out, code = diffWith(t, config, "cluster", "east", root, fleet, other+changed)
	if code != 1 || strings.Contains(strings.Split(out, "# held:")[0], "##") ||
		strings.Count(out, "-  size: small\n+  size: large\n") != 2 {
		t.Errorf("of a suspended one: exit code %d:\n%s", code, out)
	}
}

// TestDiff_held_tenant compares a Kustomization below a suspended one with a service account.
func TestDiff_held_tenant(t *testing.T) {
	t.Setenv("PATH", searchPath)
	files := diffFiles()
	app, _, _ := strings.Cut(files["clusters/eu/app.yaml"], "---")
	for _, site := range []string{"eu", "lab"} {
		files["clusters/"+site+"/team.yaml"] = strings.NewReplacer("name: app,", "name: team,", "path: ./app",
			"serviceAccountName: team, path: ./team").Replace(app)
	}
	files["team/app.yaml"] = strings.NewReplacer("name: app,", "name: team-app,", "./app", "./team-app").Replace(app)
	files["team-app/map.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: map, namespace: flux-system}\n" +
		"data: {size: small}\n"
	root := tree(t, files)
	config := hubWith(t, root, files["hub/fleet.yaml"]+"---\n"+files["hub/clusters.yaml"], 4)
	mustRun(t, "suspend", "kustomization", "team", "--cluster=east", "--wait=false", "--config", config)
	write(t, root, "team-app/map.yaml", strings.Replace(files["team-app/map.yaml"], "small", "large", 1))
	write(t, root, "team/app.yaml", strings.Replace(files["team/app.yaml"], "prune: true", "prune: false", 1))
	out, code := diffWith(t, config, "cluster", "east", root)
	for _, want := range []string{
		"# 1 cluster: east\n## Kustomization flux-system/team-app: ConfigMap flux-system/map changed\n",
		"# held: Kustomization flux-system/team is suspended\n## Kustomization flux-system/team-app: options changed\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("without %q", want)
		}
	}
	if code != 1 || strings.Count(out, "## ") != 2 || t.Failed() {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}
