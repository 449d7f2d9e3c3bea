package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wait"
)

// folderFetcher fetches every GitRepository from a folder. It implements source.Fetcher.
type folderFetcher string

func (f folderFetcher) Fetch(ctx context.Context, r source.Request) (artifact.Artifact, error) {
	tree, revision := artifact.Tree{Contents: f}, ""
	err := filepath.WalkDir(string(f), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		below, err := filepath.Rel(string(f), name)
		content := artifact.IdentifyContent(data)
		tree.Files = append(tree.Files,
			artifact.File{Path: filepath.ToSlash(below), Mode: artifact.Regular, Content: content})
		revision += below + string(content)
		return err
	})
	if err != nil {
		return artifact.Artifact{}, err
	}
	tree.Revision = "main@" + manifest.DigestOf([]byte(revision)).String()
	return r.Workspace.Put(ctx, "00000000000000000000000000000000", tree, r.Last)
}

func (f folderFetcher) Size(file artifact.File) (int64, error) {
	info, err := os.Stat(filepath.Join(string(f), file.Path))
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f folderFetcher) Read(_ context.Context, file artifact.File, _ int64) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(f), file.Path))
}

// sealedFile is a Secret as sops encrypts it. Nobody decrypts it here.
const sealedFile = `apiVersion: v1
kind: Secret
metadata: {name: sealed, namespace: default}
stringData:
    password: ENC[AES256_GCM,data:PASSWORD,iv:aaaa,tag:bbbb,type:str]
sops:
    age:
        - recipient: age1lzd99uklcjnc0e7d860axevet2cz99ce9pq6tzuzd05l5nr28ams36nvun
          enc: x
    lastmodified: "2026-01-01T00:00:00Z"
    mac: ENC[AES256_GCM,data:cccc,iv:dddd,tag:eeee,type:str]
    version: 3.9.0
`

// diffFiles is a repository whose clusters have an application each, with a name of their own in it.
func diffFiles() map[string]string {
	files := map[string]string{}
	for name, text := range fleetFiles {
		files[name] = text
	}
	files["clusters/eu/app.yaml"] = `apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app, namespace: flux-system}
spec: {interval: 10m, prune: true, path: ./app, sourceRef: {kind: GitRepository, name: fleet}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: site, namespace: default}
data: {site: eu}
`
	files["clusters/lab/app.yaml"] = files["clusters/eu/app.yaml"]
	files["app/settings.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: default}\n" +
		"data: {size: small}\n"
	files["app/plain.yaml"] = "apiVersion: v1\nkind: Secret\nmetadata: {name: plain, namespace: default}\n" +
		"stringData: {token: canary-old, same: canary-same}\n"
	files["app/old.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: old, namespace: default}\n"
	files["app/sealed.yaml"] = strings.Replace(sealedFile, "PASSWORD", "cGFzcw==", 1)
	return files
}

// runHub runs a hub that fetches from a folder until the test ends, and applies objects to it. It returns the file of
// its operator and a client.
func runHub(t *testing.T, c hub.Config, folder, objects string) (config string, client adminv1.AdminServiceClient) {
	t.Helper()
	c.Listen, c.HTTPListen, c.SpokeImage = "127.0.0.1:0", "127.0.0.1:0", "spoke:test"
	c.Log = slog.New(slog.DiscardHandler)
	c.Fetchers = map[string]source.Fetcher{"GitRepository": folderFetcher(folder)}
	ctx, cancel := context.WithCancel(context.Background())
	h, err := hub.New(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	s := session{config: h.OperatorConfig(), timeout: time.Minute}
	client, done, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done)
	if objects == "" {
		return h.OperatorConfig(), client
	}
	if _, err := client.Apply(t.Context(), &adminv1.ApplyRequest{Manifest: []byte(objects)}); err != nil {
		t.Fatal(err)
	}
	return h.OperatorConfig(), client
}

// hubWith runs a hub that fetches from a folder, and returns the file of its operator once all of the fleet's clusters
// have a release with so many Applications.
func hubWith(t *testing.T, folder, objects string, count int) (config string) {
	t.Helper()
	config, client := runHub(t, hub.Config{DataDir: t.TempDir()}, folder, objects)
	ctx, expire := context.WithTimeout(t.Context(), 30*time.Second)
	defer expire()
	stream, err := client.Watch(ctx, &adminv1.WatchRequest{List: &adminv1.ListRequest{Kind: "cluster"}}) // has its bundle
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := stream.Recv(); err != nil {
			t.Fatalf("the clusters have no release: %v", err)
		}
		p, err := askPublished(ctx, client, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.clusters["east"]) == count && len(p.clusters["west"]) == count && len(p.clusters["lab"]) == count {
			return config
		}
	}
}

// diffWith runs "nave diff" and returns its output and the exit code.
func diffWith(t *testing.T, config string, args ...string) (string, int) {
	t.Helper()
	var out, messages bytes.Buffer
	cmd, end := program(&out, &messages)
	cmd.SetArgs(append([]string{"diff", "--config", config}, args...))
	code := exitCode(end(cmd.ExecuteContext(t.Context())))
	return out.String() + messages.String(), code
}

func TestDiff(t *testing.T) {
	t.Setenv("PATH", searchPath)
	root := tree(t, diffFiles())
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", root, "-c", "user.name=x", "-c", "user.email=x@example.com"},
			args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	config := hubWith(t, root, fleetFiles["hub/fleet.yaml"]+"---\n"+fleetFiles["hub/clusters.yaml"], 2)
	git("init", "-q", "-b", "main")
	git("add", ".")
	git("commit", "-qm", "begin")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	out, code := diffWith(t, config, "fleet", "all", root)
	if code != 0 || !strings.Contains(out, "No difference on 3 clusters.") {
		t.Fatalf("exit code %d:\n%s", code, out)
	}

	write("app/settings.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: default}\n"+
		"data: {size: large}\n")
	write("app/plain.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: plain, namespace: default}\n"+
		"stringData: {token: canary-new, same: canary-same}\n")
	write("app/sealed.yaml", strings.Replace(sealedFile, "PASSWORD", "d29yZA==", 1))
	write("app/new.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new, namespace: default}\n")
	write("clusters/lab/app.yaml", strings.Replace(diffFiles()["clusters/lab/app.yaml"], "prune: true", "prune: false", 1))
	if err := os.Remove(filepath.Join(root, "app/old.yaml")); err != nil {
		t.Fatal(err)
	}
	out, code = diffWith(t, config, "fleet", "all", root)
	for _, want := range []string{
		"# 3 clusters: east, lab, west\n", "-  size: small\n+  size: large\n", "ConfigMap default/new added",
		"<hidden, before>", "<hidden, after>", "<encrypted: app/sealed.yaml stringData.password, ",
		"ConfigMap default/old deleted", "ConfigMap default/old left in the cluster",
		"Kustomization flux-system/app: options changed\n", "-prune: true\n+prune: false\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("without %q", want)
		}
	}
	if code != 1 || strings.Contains(out, "canary") || strings.Contains(out, "ENC[") ||
		strings.Count(out, "+  size: large") != 1 {
		t.Errorf("exit code %d", code)
	}
	if t.Failed() {
		t.Logf("printed:\n%s", out)
	}

	out, code = diffWith(t, config, "kustomization", "app", root, "--cluster=east", "-o", "markdown")
	if code != 1 || !strings.Contains(out, "```diff\n") || !strings.Contains(out, "On 1 of 1 cluster") ||
		strings.Contains(out, "canary") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	t.Setenv("PATH", searchPath)
	if out, code = diffWith(t, config, "cluster", "lab", root, "--ref=main"); code != 0 {
		t.Errorf("with --ref: exit code %d:\n%s", code, out)
	}

	t.Setenv("PATH", searchPath)
	out, code = diffWith(t, config, "fleet", "all", root, "--live")
	if code != 2 || !strings.Contains(out, "on east, lab, west: the spoke is not connected") ||
		!strings.Contains(out, "ConfigMap default/old deleted") || strings.Count(out, "+  size: large") != 1 {
		t.Errorf("with --live, and no spoke: exit code %d:\n%s", code, out)
	}

	t.Setenv("PATH", searchPath)
	write("app/settings.yaml", "a: [")
	out, code = diffWith(t, config, "cluster", "lab", root)
	if code != 2 || !strings.Contains(out, "app/settings.yaml") || strings.Contains(out, " deleted") {
		t.Errorf("with a broken file: exit code %d:\n%s", code, out)
	}
	t.Setenv("PATH", searchPath)
	for _, args := range [][]string{
		{"cluster", "nobody", root}, {"fleet", "nobody", root}, {"cluster", "lab", root, "-o", "html"},
		{"cluster", "lab", root, "--ref=nowhere"}, {"kustomization", "nope", root},
		{"kustomization", "nope", root, "--cluster=lab"}, {"fleet"}, {"fleet", "all", "--foo"}, {"--foo"}, {"nonsense"},
		{"fleet", "all", "--timeout=xx"}, {"fleet", "all", "--cluster=lab"}, {"artifact", "oci://127.0.0.1:1/x:none"},
		{"artifact", "oci://127.0.0.1:1/x:none", "--path=" + root, "--insecure-registry"},
	} {
		if out, code := diffWith(t, config, args...); code != 2 {
			t.Errorf("%v: exit code %d:\n%s", args, code, out)
		}
	}
}

// hubRoot gives the hub's own objects from the folder hub.
const hubRoot = `---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: hub, namespace: flux-system}
spec: {interval: 10m, prune: true, path: ./hub, sourceRef: {kind: GitRepository, name: fleet}}
`

// otherRoot gives a second root of the same repository to the same clusters.
const otherRoot = `apiVersion: fleet.nave.io/v1alpha1
kind: Fleet
metadata: {name: other}
spec:
  clusterSelector: {matchLabels: {env: test}}
  template:
    metadata: {name: other-root}
    spec: {interval: 10m, prune: true, path: ./other, sourceRef: {kind: GitRepository, name: fleet}}
`

// TestDiff_hub changes Fleets and Clusters in a checkout that the hub's own root is in.
func TestDiff_hub(t *testing.T) {
	files := diffFiles()
	source, fleet, _ := strings.Cut(files["hub/fleet.yaml"], "---\n")
	files["hub/fleet.yaml"] = fleet
	root := tree(t, files)
	config := hubWith(t, root, source+hubRoot, 2)
	out, code := diffWith(t, config, "fleet", "all", root)
	if code != 0 || !strings.Contains(out, "No difference on 3 clusters.") {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	moved := strings.Replace(files["hub/clusters.yaml"], "{site: eu}", "{site: lab}", 1) // of east
	if err := os.WriteFile(filepath.Join(root, "hub/clusters.yaml"), []byte(moved), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code = diffWith(t, config, "fleet", "all", root)
	if code != 1 || !strings.Contains(out, "# 1 cluster: east\n") ||
		!strings.Contains(out, "ConfigMap default/lab added") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	out, code = diffWith(t, config, "fleet", "all", root, "-f", filepath.Join(tree(t, fleetFiles), "hub/clusters.yaml"))
	if code != 2 || !strings.Contains(out, "Cluster east was applied by an operator") {
		t.Errorf("with Clusters in -f that Git gives: exit code %d:\n%s", code, out)
	}
}

// otherFleet gives the root of another repository to the same clusters.
const otherFleet = `---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: other, namespace: flux-system}
spec: {interval: 1m, url: "https://git.example.com/org/other"}
---
apiVersion: fleet.nave.io/v1alpha1
kind: Fleet
metadata: {name: other}
spec:
  clusterSelector: {matchLabels: {env: test}}
  template:
    metadata: {name: other-root}
    spec: {interval: 10m, prune: true, path: ./other, sourceRef: {kind: GitRepository, name: other}}
`

// TestDiff_parent compares checkouts in which the parent of Applications is not compared or does not build.
func TestDiff_parent(t *testing.T) {
	files := diffFiles()
	files["other/app.yaml"] = strings.ReplaceAll(files["clusters/eu/app.yaml"], "{name: app,", "{name: other-app,")
	files["other/app.yaml"], _, _ = strings.Cut(strings.Replace(files["other/app.yaml"], "./app", "./other-app", 1), "---")
	files["other-app/map.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-other, namespace: default}\n"
	root := tree(t, files)
	config := hubWith(t, root, files["hub/fleet.yaml"]+"---\n"+files["hub/clusters.yaml"]+otherFleet, 4)
	fleet := "--local-sources=GitRepository/flux-system/fleet=" + root
	broken := tree(t, files)
	if err := os.WriteFile(filepath.Join(broken, "clusters/eu/app.yaml"), []byte("a: ["), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"two_repositories", []string{root, fleet}, 0, []string{"No difference", "### Not compared",
			"Kustomization flux-system/other-root is not compared: no folder stands for"}},
		{"no_remote_matches", []string{root}, 2, []string{"Nothing was compared on 1 cluster.", "### Not compared",
			"Kustomization flux-system/flux-system is not compared, with 1 Application below it: no folder stands for"}},
		{"root_does_not_build", []string{broken, strings.Replace(fleet, root, broken, 1)}, 2, []string{"### Not rendered",
			"Kustomization flux-system/flux-system is not compared, with 1 Application below it: " +
				"clusters/eu/app.yaml"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("PATH", searchPath)
			var out, messages bytes.Buffer
			cmd, end := program(&out, &messages)
			cmd.SetArgs(append([]string{"diff", "cluster", "east", "-o=markdown", "--config", config}, c.args...))
			code := exitCode(end(cmd.ExecuteContext(t.Context())))
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("without %q", want)
				}
			}
			if code != c.code || strings.Contains(out.String(), "deleted") || t.Failed() {
				t.Errorf("exit code %d:\n%s%s", code, out.String(), messages.String())
			}
		})
	}
}

// TestCurrentRoot finds the checkout around the current folder.
func TestCurrentRoot(t *testing.T) {
	t.Chdir(t.TempDir())
	const outside = "not in a Git work tree: name the root"
	if dir, err := currentRoot(nil); err == nil || !strings.Contains(err.Error(), outside) {
		t.Errorf("outside of a work tree: %q, %v", dir, err)
	}
	if err := errors.Join(os.Mkdir(".git", 0o700), os.Mkdir("clusters", 0o700)); err != nil {
		t.Fatal(err)
	}
	want, err := realPath(".")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir("clusters")
	if dir, err := currentRoot(nil); dir != want || err != nil {
		t.Errorf("in a work tree: %q, %v; want %s", dir, err, want)
	}
}

// refetch makes a hub fetch its source, and waits until what it released is as it should be.
func refetch(t *testing.T, config string, holds func(*published) bool) {
	t.Helper()
	s := session{config: config, timeout: time.Minute}
	client, done, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err = client.Reconcile(ctx, &adminv1.ReconcileRequest{Key: &adminv1.ObjectKey{Kind: "GitRepository",
		Namespace: "flux-system", Name: "fleet"}})
	for err == nil {
		var p *published
		if p, err = askPublished(ctx, client, nil, false); err == nil && holds(p) {
			return
		}
		if err == nil { // nothing tells when a bundle is published
			err = wait.For(ctx, 10*time.Millisecond)
		}
	}
	t.Fatal(err)
}

// TestRollback_fleet takes the clusters of a Fleet to their releases before, and back.
func TestRollback_fleet(t *testing.T) {
	root := tree(t, diffFiles())
	config := hubWith(t, root, fleetFiles["hub/fleet.yaml"]+"---\n"+fleetFiles["hub/clusters.yaml"], 2)
	nave := func(want int, text string, args ...string) {
		t.Helper()
		var out, messages bytes.Buffer
		cmd, end := program(&out, &messages)
		cmd.SetArgs(append(args, "--config", config))
		err := end(cmd.ExecuteContext(t.Context()))
		if code := exitCode(err); code != want || !strings.Contains(out.String()+messages.String(), text) {
			t.Errorf("%v: exit code %d, want %d and %q:\n%s%s", args, code, want, text, out.String(), messages.String())
		}
	}
	nave(1, "nothing was changed on east, lab, west", "rollback", "--fleet=all")
	nave(2, "name either clusters or a Fleet", "rollback")
	nave(2, "name either clusters or a Fleet", "release", "east", "--fleet=all")
	nave(4, "Fleet nobody", "rollback", "--fleet=nobody")
	nave(2, "--to is the number of a bundle of one cluster", "rollback", "--fleet=all", "--to=1")

	digestOf := func(p *published, cluster string) string {
		return p.clusters[cluster][kustomizationNamed("app")].digest.String()
	}
	before := ""
	refetch(t, config, func(p *published) bool { before = digestOf(p, "east"); return true })
	if err := os.WriteFile(filepath.Join(root, "app/old.yaml"),
		[]byte(diffFiles()["app/old.yaml"]+"data: {k: new}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := func(old bool) func(*published) bool {
		return func(p *published) bool {
			return !slices.ContainsFunc([]string{"east", "west", "lab"}, func(cluster string) bool {
				return (digestOf(p, cluster) == before) != old
			})
		}
	}
	refetch(t, config, all(false))
	nave(0, "► Cluster west would be pinned to the applications of bundle", "rollback", "--fleet=all", "--dry-run")
	nave(0, "Kustomization flux-system/app           changed", "rollback", "west", "--dry-run")
	nave(4, "has no bundle 99", "history", "west", "--release=99")
	wantReleased(t, config, "west")
	nave(0, "► Cluster west pinned to the applications of bundle", "rollback", "--fleet=all", "--wait=false")
	refetch(t, config, all(true))
	wantHistory(t, config, "east")
	nave(0, "► Cluster west goes on with what is in Git", "release", "west", "--wait=false")
	refetch(t, config, func(p *published) bool { return digestOf(p, "west") != before })
	nave(1, "► Cluster west pinned", "rollback", "east", "west", "--no-wait") // east is pinned: it does not keep west
	nave(1, "nothing was changed on east, west", "rollback", "east", "west")
	refetch(t, config, all(true))
	nave(0, "► Cluster lab goes on with what is in Git", "release", "--fleet=all", "--wait=false")
	refetch(t, config, all(false))
}

// wantReleased decodes the applications of the newest release of a cluster. One differs from the release before.
func wantReleased(t *testing.T, config, cluster string) {
	t.Helper()
	read := func(args ...string) (past pastReleases) {
		t.Helper()
		text := mustRun(t, append(args, "history", cluster, "-o", "json", "--config", config)...)
		if err := yaml.UnmarshalStrict([]byte(text), &past); err != nil {
			t.Fatal(err)
		}
		return past
	}
	all := read()
	one := read("--release", fmt.Sprint(all.Releases[0].Bundle))
	changes := map[string]string{}
	for _, a := range one.Releases[0].Listed {
		changes[a.Name] = a.Change
	}
	want := map[string]string{"app": "changed", "flux-system": "same"}
	if len(one.Releases) != 1 || !maps.Equal(changes, want) || len(all.Releases[0].Listed) > 0 {
		t.Errorf("%+v of %+v", one, all)
	}
}

// wantHistory decodes the history of a cluster that is pinned to one of its releases.
func wantHistory(t *testing.T, config, cluster string) {
	t.Helper()
	for _, format := range []string{"json", "yaml"} {
		var past pastReleases
		text := mustRun(t, "history", cluster, "-o", format, "--config", config)
		if err := yaml.UnmarshalStrict([]byte(text), &past); err != nil {
			t.Fatal(err)
		}
		for _, field := range []string{"bundle", "releasedAt", "applications", "changes", "pinnedAt", "by"} {
			if !strings.Contains(text, field) {
				t.Errorf("%s without %s", format, field)
			}
		}
		if past.Cluster != cluster || past.Pin == nil || len(past.Releases) < 2 ||
			past.Releases[0].Applications != 2 ||
			!slices.ContainsFunc(past.Releases, func(r pastRelease) bool { return r.Bundle == past.Pin.Bundle }) {
			t.Errorf("decoded %+v", past)
		}
	}
}

func kustomizationNamed(name string) bundle.ApplicationName {
	return bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: name}
}

// TestDiff_below compares the checkout of a source whose Kustomization comes from another repository.
func TestDiff_below(t *testing.T) {
	t.Setenv("PATH", searchPath)
	files := diffFiles()
	for _, site := range []string{"eu", "lab"} {
		files["clusters/"+site+"/app.yaml"] = fleetFiles["clusters/eu/app.yaml"]
	}
	files["app/settings.yaml"] = appFiles["app/settings.yaml"]
	files["other/map.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other, namespace: default}\n"
	config := hubWith(t, tree(t, files), files["hub/fleet.yaml"]+"---\n"+files["hub/clusters.yaml"]+otherFleet, 3)
	checkout := tree(t, files)
	args := []string{"cluster", "east", checkout, "--local-sources=GitRepository/flux-system/app=" + checkout}
	out, code := diffWith(t, config, args...)
	if code != 0 || !strings.Contains(out, "Kustomization flux-system/flux-system is not compared: no folder stands for") {
		t.Errorf("without a change: exit code %d:\n%s", code, out)
	}
	if err := os.WriteFile(filepath.Join(checkout, "app/settings.yaml"),
		[]byte(strings.Replace(files["app/settings.yaml"], "${size}", "new", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", searchPath)
	out, code = diffWith(t, config, args...)
	if code != 1 || !strings.Contains(out, "-  size: large\n+  size: new\n") || strings.Contains(out, "deleted") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// TestDiff_orphan removes a Kustomization whose parent does not prune, before the hub has the commit and after it.
func TestDiff_orphan(t *testing.T) {
	t.Setenv("PATH", searchPath)
	files := diffFiles()
	for _, site := range []string{"eu", "lab"} {
		files["clusters/"+site+"/app.yaml"] = strings.Replace(files["clusters/eu/app.yaml"], "prune: true", "prune: false", 1)
	}
	files["app/leaf.yaml"], _, _ = strings.Cut(files["clusters/eu/app.yaml"], "---")
	leaf := strings.NewReplacer("name: app,", "name: leaf,", "./app", "./leaf")
	files["app/leaf.yaml"] = leaf.Replace(files["app/leaf.yaml"])
	files["leaf/map.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: leaf, namespace: default}\n"
	root := tree(t, files)
	config := hubWith(t, root, files["hub/fleet.yaml"]+"---\n"+files["hub/clusters.yaml"], 3)
	if err := os.Remove(filepath.Join(root, "app/leaf.yaml")); err != nil {
		t.Fatal(err)
	}
	out, code := diffWith(t, config, "fleet", "all", root)
	if code != 1 || strings.Contains(out, "deleted") ||
		!strings.Contains(out, "On 3 of 3 clusters: 1 left in the cluster.") ||
		!strings.Contains(out, "## Kustomization flux-system/leaf: left in the cluster, because nothing gives it any more") {
		t.Errorf("exit code %d:\n%s", code, out)
	}

	refetch(t, config, func(p *published) bool {
		orphans := 0
		for _, apps := range p.clusters {
			for _, a := range apps {
				if a.orphaned {
					orphans++
				}
			}
		}
		return orphans == 3
	})
	t.Setenv("PATH", searchPath)
	out, code = diffWith(t, config, "cluster", "lab", root)
	if code != 0 || !strings.Contains(out, "Kustomization flux-system/leaf is not compared: nothing gives it any more") {
		t.Errorf("of an orphan: exit code %d:\n%s", code, out)
	}
}

// TestDiff_repository compares a checkout of another repository, and a checkout from a folder in it.
func TestDiff_repository(t *testing.T) {
	t.Setenv("PATH", searchPath)
	root := tree(t, diffFiles())
	config := hubWith(t, root, fleetFiles["hub/fleet.yaml"]+"---\n"+fleetFiles["hub/clusters.yaml"], 2)
	other := tree(t, map[string]string{"clusters/eu/map.yaml": diffFiles()["app/old.yaml"], "clusters/lab/map.yaml": ""})
	fork := tree(t, diffFiles())
	clone := tree(t, diffFiles())
	for dir, remote := range map[string]string{
		root: "git@git.example.com:org/fleet.git", other: "https://user:canary@git.example.com/x", clone: root,
		fork: "https://git.example.com/me/fleet",
	} {
		for _, args := range [][]string{{"init", "-q"}, {"remote", "add", "origin", remote}} {
			if _, err := gitIn(t.Context(), dir, "", args...); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name, from string
		args       []string
		code       int
		want       string
	}{
		{"root", "/", []string{root}, 0, "No difference on 3 clusters."},
		{"other", "/", []string{other}, 2, other + " is another repository than that of the hub: its Git remotes are " +
			"git.example.com/x, and GitRepository flux-system/fleet is git.example.com/org/fleet"},
		{"fork", "/", []string{fork}, 2, "--local-sources GitRepository/flux-system/fleet=" + fork},
		{"fork_given", "/", []string{fork, "--local-sources=GitRepository/flux-system/fleet=" + fork}, 0, "No difference"},
		{"remote_is_path", "/", []string{clone}, 0, "No difference"},
		{"subfolder", root + "/app", nil, 0, "No difference"},
		{"subfolder_of_clone", clone + "/app", nil, 0, "No difference"},
		{"subfolder_of_other", other + "/clusters", nil, 2, "not found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("PATH", searchPath)
			t.Chdir(c.from)
			out, code := diffWith(t, config, append([]string{"fleet", "all"}, c.args...)...)
			if code != c.code || !strings.Contains(out, c.want) || strings.Contains(out, "canary") {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, c.code, c.want, out)
			}
		})
	}
}

// TestDiff_removed takes out a Fleet whose root gives a Kustomization and no object of its own.
func TestDiff_removed(t *testing.T) {
	t.Setenv("PATH", searchPath)
	files := diffFiles()
	for _, site := range []string{"eu", "lab"} {
		files["clusters/"+site+"/app.yaml"], _, _ = strings.Cut(files["clusters/"+site+"/app.yaml"], "---")
	}
	files["hub/other.yaml"] = otherRoot
	source, fleet, _ := strings.Cut(files["hub/fleet.yaml"], "---\n")
	files["hub/fleet.yaml"] = fleet
	files["other/map.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other, namespace: default}\n"
	root := tree(t, files)
	config := hubWith(t, root, source+hubRoot, 3)
	if err := os.Remove(filepath.Join(root, "hub/fleet.yaml")); err != nil {
		t.Fatal(err)
	}
	out, code := diffWith(t, config, "cluster", "east", root)
	if code != 1 ||
		!strings.Contains(out, "## Kustomization flux-system/flux-system: removed; it has no objects of its own") ||
		!strings.Contains(out, "4 deleted, 1 removed.") || strings.Contains(out, "no option changed") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// TestBuild_asks_hub builds with the objects of a hub.
func TestBuild_asks_hub(t *testing.T) {
	root := tree(t, diffFiles())
	config := "--config=" + hubWith(t, root, fleetFiles["hub/fleet.yaml"]+"---\n"+fleetFiles["hub/clusters.yaml"], 2)
	app := []string{"build", "kustomization", "app", "--root", root, "--path", filepath.Join(root, "app"), config}
	for _, c := range []struct {
		name string
		args []string
		want string // in the output, or in the error
	}{
		{"kustomization", append(app, "--cluster=east"), "name: settings"},
		{"not_found", app, "does not exist in the hub"},
		{"ignore_not_found", append(app, "--ignore-not-found"), "name: settings"},
		{"recursive", append(app, "--cluster=lab", "--recursive"), "name: settings"},
		{"cluster", []string{"build", "cluster", "west", root, config}, "name: site"},
		{"fleet", []string{"build", "fleet", "all", root, config}, "# east, west\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := run(t, c.args...)
			if err != nil {
				out += err.Error()
			}
			if (err != nil) != (c.name == "not_found") || !strings.Contains(out, c.want) {
				t.Errorf("error %v, printed:\n%s", err, out)
			}
		})
	}
}

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"none", nil, 0}, {"any", errors.New("x"), 1},
		{"different", errDifferent, 1}, {"two", exitError{errors.New("x"), 2}, 2},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// TestComparison_unreadable names the clusters whose releases the hub cannot read in each output.
func TestComparison_unreadable(t *testing.T) {
	for name, tt := range map[string]struct {
		read int
		want string
	}{
		"some": {2, "No difference on 2 clusters; not compared: prod-1."},
		"all":  {0, "Nothing was compared; not compared: prod-1."},
	} {
		t.Run(name, func(t *testing.T) {
			c := &comparison{clusters: tt.read, unreadable: map[string]string{"prod-1": "damaged"}}
			var text, markdown bytes.Buffer
			c.print(&text)
			c.printMarkdown(&markdown)
			if got := strings.TrimSpace(text.String()); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			const note = "on prod-1: not compared, because the hub cannot read the release: damaged"
			if !strings.Contains(markdown.String(), tt.want) || !strings.Contains(markdown.String(), "- "+note) {
				t.Errorf("markdown %s", markdown.String())
			}
			if notes := c.report().NotCompared; len(notes) != 1 || notes[0].Clusters[0] != "prod-1" {
				t.Errorf("report %v", notes)
			}
		})
	}
}

// TestComparison_err names what could not be rendered and the clusters that could not be asked.
func TestComparison_err(t *testing.T) {
	rendered, asked := map[string][]string{"app: broken": {"east"}}, map[string][]string{"the spoke is away": {"west"}}
	for _, c := range []struct {
		name string
		c    *comparison
		want string
	}{
		{"rendered", &comparison{problems: rendered}, "not everything could be rendered:.*app: broken$"},
		{"asked", &comparison{unasked: asked}, "not every cluster could be asked:.*the spoke is away$"},
		{"both", &comparison{problems: rendered, unasked: asked}, "app: broken\nnot every.*the spoke is away$"},
		{"refused", &comparison{changes: map[change][]string{{verb: refused}: {"east"}}, refusals: rendered},
			"not every object would be accepted:.*on east: app: broken$"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.c.err(); err == nil || !regexp.MustCompile("(?s)"+c.want).MatchString(err.Error()) {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
}
