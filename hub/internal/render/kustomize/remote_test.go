package kustomize

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
)

// acme is the Remote of the tests.
var acme = api.Remote{URL: "https://github.com/acme/platform", Ref: "v1"}

// buildRemote builds a tree with the artifact of acme mounted, if base is not nil. Each map has files.
func buildRemote(t *testing.T, files, base map[string]string) (*render.Result, error) {
	t.Helper()
	write := func(files map[string]string) string {
		root := t.TempDir()
		for name, text := range files {
			plant(t, root, name, []byte(text))
		}
		return root
	}
	spec, err := Encode(Spec{Name: "apps", Namespace: "flux-system"})
	if err != nil {
		t.Fatal(err)
	}
	req := render.Request{Spec: spec, Root: write(files), Salt: []byte("salt"), ReportNeeds: true}
	if base != nil {
		req.Mounts = []render.Mount{{Remote: acme, Root: write(base)}}
	}
	return Renderer{}.Render(t.Context(), req)
}

const ownConfigMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\n"

// TestNeeds builds without the remote bases that a tree names: the result has all of one file, and nothing else.
func TestNeeds(t *testing.T) {
	result, err := buildRemote(t, map[string]string{
		"kustomization.yaml": "resources: [base, own.yaml]\n", "own.yaml": ownConfigMap,
		"base/kustomization.yaml": "resources: ['github.com/acme/platform//deploy?ref=v1', https://example.com/a/b]\n" +
			"components: ['https://dev.azure.com/org/project/_git/repo/parts?version=main']\n" +
			"crds: ['https://example.com/crds/a.yaml']\n",
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []api.Remote{acme, {URL: "https://example.com/a/b"},
		{URL: "https://dev.azure.com/org/project/_git/repo", Ref: "main"},
		{URL: "https://example.com/crds/a.yaml", File: true}}
	var got []api.Remote
	for _, need := range result.Needs {
		got = append(got, need.Remote)
		if !strings.HasPrefix(need.Refusal, "base/kustomization.yaml: ") {
			t.Errorf("refusal %q does not name the file", need.Refusal)
		}
	}
	if !reflect.DeepEqual(got, want) || len(result.Objects) > 0 || !result.Reads.IsZero() {
		t.Errorf("needs %v, want %v; with %d objects", got, want, len(result.Objects))
	}
}

// TestNeeds_limit counts the remote bases of one file: each once, before any of them is fetched.
func TestNeeds_limit(t *testing.T) {
	for name, c := range map[string]struct{ address, want string }{
		"directories": {"https://github.com/acme/platform//deploy/%d?ref=v1", ""},
		"files":       {"https://example.com/%d.yaml", "more than 64 remote bases"},
	} {
		t.Run(name, func(t *testing.T) {
			text := "resources:\n"
			for i := range render.MaxMounts + 1 {
				text += "- " + fmt.Sprintf(c.address, i) + "\n"
			}
			result, err := buildRemote(t, map[string]string{"kustomization.yaml": text}, nil)
			switch {
			case c.want == "" && (err != nil || len(result.Needs) != 1):
				t.Errorf("got %+v, %v", result, err)
			case c.want != "" && (!errors.Is(err, render.ErrLimit) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %+v, %v", result, err)
			}
		})
	}
}

// TestMounted builds from a remote base as from one in the tree.
func TestMounted(t *testing.T) {
	base := map[string]string{
		"deploy/prod/kustomization.yaml": "namePrefix: prod-\nresources: [../base]\n",
		"deploy/base/kustomization.yaml": "resources: [app.yaml]\nconfigMapGenerator: [{name: made, files: [data.txt]}]\n",
		"deploy/base/app.yaml":           "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app}\n",
		"deploy/base/data.txt":           "content",
	}
	const address = "https://github.com/acme/platform//deploy/prod?ref=v1"
	root := "nameSuffix: -x\nresources: ['%s', own.yaml]\ncommonAnnotations: {from: '" + address + "'}\n"
	remote := map[string]string{
		"apps/kustomization.yaml": fmt.Sprintf(root, address),
		"apps/own.yaml":           ownConfigMap,
		"kustomization.yaml":      "resources: [apps]\n",
		"deploy/base/data.txt":    "a file of the tree at the path of one of the base",
	}
	local := maps.Clone(remote)
	local["apps/kustomization.yaml"] = fmt.Sprintf(root, "../vendor/deploy/prod")
	for name, text := range base {
		local["vendor/"+name] = text
	}
	want, err := buildRemote(t, local, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := buildRemote(t, remote, base)
	if err != nil {
		t.Fatal(err)
	}
	if g, w := string(show(t, got)), string(show(t, want)); g != w || len(got.Objects) != 3 {
		t.Errorf("got:\n%s\nwant:\n%s", g, w)
	}
	for p := range got.Reads.Facts {
		if strings.HasPrefix(p, "/.remote") {
			t.Errorf("%s is among the reads of the tree", p)
		}
	}
}

// TestMountedSealed builds from a SOPS file of a remote base.
func TestMountedSealed(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata/sops", "secret-rotated.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	result, err := buildRemote(t,
		map[string]string{"kustomization.yaml": "resources: ['https://github.com/acme/platform?ref=v1']\n"},
		map[string]string{"kustomization.yaml": "resources: [secret.yaml]\n", "secret.yaml": string(data)})
	if err != nil || len(result.Sealed) != 1 || !strings.HasSuffix(result.Sealed[0].Path, "/secret.yaml") {
		t.Errorf("%+v, %v", result, err)
	}
}

// TestMountedLimits checks that neither a base nor the tree leads to the other by a path, and that all errors name the
// file.
func TestMountedLimits(t *testing.T) {
	out := strings.Repeat("../", 6)
	at := mountPath(acme)[1:]
	main := "resources: ['https://github.com/acme/platform//base?ref=v1']\n"
	for name, c := range map[string]struct{ root, base, want string }{
		"resource out":  {main, "resources: [" + out + "own.yaml]\n", "leads out of the repository"},
		"generator out": {main, "configMapGenerator: [{name: a, files: [" + out + "own.yaml]}]\n", "leads out"},
		"plugin out":    {main, "generators: [plugin.yaml]\n", "leads out of the repository"},
		"into it":       {main + "components: [" + at + "/base]\n", "", "leads out of the repository"},
		"missing":       {main, "resources: [lost.yaml]\n", acme.String() + "//base/kustomization.yaml: resources: lost.yaml not found"},
		"no directory":  {"resources: ['https://github.com/acme/platform//basis?ref=v1']\n", "", "did you mean ./base?"},
		"itself":        {main, main, "cycle"},
		"another file":  {main, "resources: ['https://me@example.com/a.yaml']\n", "are not fetched"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := buildRemote(t, map[string]string{"kustomization.yaml": c.root, "own.yaml": ownConfigMap},
				map[string]string{"base/kustomization.yaml": c.base + "namePrefix: a-\n", "base/plugin.yaml": "apiVersion: " +
					"builtin\n" +
					"kind: ConfigMapGenerator\nmetadata: {name: a}\nfiles: [" + out + "own.yaml]\n"})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
}

// TestParseRemote reads addresses as kustomize reads them.
func TestParseRemote(t *testing.T) {
	for address, want := range map[string]remoteBase{
		"https://github.com/a/b":                            {"https://github.com/a/b", "", "./"},
		"https://GitHub.com/a/b/c/d?ref=main":               {"https://github.com/a/b", "main", "./c/d"},
		"github.com/a/b//c?ref=v1&timeout=120":              {"https://github.com/a/b", "v1", "./c"},
		"git::https://example.com/a/b/c.git//d":             {"https://example.com/a/b/c.git", "", "./d"},
		"https://example.com/a/b/c.git/d/?version=v2":       {"https://example.com/a/b/c.git", "v2", "./d"},
		"https://dev.azure.com/o/p/_git/r/d":                {"https://dev.azure.com/o/p/_git/r", "", "./d"},
		"https://example.com:8443/a/b":                      {"https://example.com:8443/a/b", "", "./"},
		"http://example.com/a.gitlab/b/c":                   {"http://example.com/a.gitlab/b", "", "./c"},
		"https://user:secret@example.com/a/b":               {},
		"https://example.com/a":                             {},
		"https://example.com/a/b//../c":                     {},
		"https://raw.githubusercontent.com/a/b/main/c.yaml": {},
		"file:///a/b":  {},
		"https:///a/b": {},
		"https://example.com/a/b?ref=" + "main%0aevil":       {"https://example.com/a/b", "main\nevil", "./"},
		"https://example.com/a/b?ref=--upload-pack=/bin/cat": {"https://example.com/a/b", "--upload-pack=/bin/cat", "./"},
	} {
		got, ok := parseRemoteBase(address)
		if got != want || ok != (want.url != "") {
			t.Errorf("%s: %+v %t, want %+v", address, got, ok, want)
		}
		if bad := strings.ContainsAny(got.ref, "\n=") || !ok; bad && got.fetchable() {
			t.Errorf("%s would be fetched", address)
		}
	}
	refused := refuseRemote(reference{field: "resources", path: "https://github.com/a/b", accepts: directory})
	if !errors.Is(refused, render.ErrRemote) {
		t.Error("the refusal is not ErrRemote")
	}
}

// TestReference checks the spec.ref that a refusal proposes, and that it says where the ref is a guess.
func TestReference(t *testing.T) {
	commit := strings.Repeat("a", 40)
	for ref, want := range map[string]string{
		"":       "ref: {branch: main} (a guess: give the repository's default branch)",
		"v1":     "ref: {branch: v1} (a guess: {tag: v1} if it is a tag)",
		"v1.2.0": "ref: {tag: v1.2.0} (a guess: {branch: v1.2.0} if it is a branch)",
		commit:   "ref: {commit: " + commit + "}",
	} {
		if got := (remoteBase{ref: ref}).reference(); got != want {
			t.Errorf("%q: got %s, want %s", ref, got, want)
		}
	}
}
