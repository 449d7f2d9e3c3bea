package kustomize

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	fluxkustomize "github.com/fluxcd/pkg/kustomize"
	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// remoteFiles are what the server of these tests has.
var remoteFiles = map[string]string{
	"/a/v1/app.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app}\ndata: {value: one}\n---\n" +
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: second}\n",
	"/app.json":   `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"json"}}`,
	"/install":    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: short}\n",
	"/words":      "only words\n",
	"/data/x.txt": "first line\nsecond line\n",
	"/data/x.env": "a=1\nb=2\n",
	"/patch.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\ndata: {patched: \"yes\"}\n",
	"/6902.yaml":  "- {op: add, path: /data, value: {by: json}}\n",
	"/replace.yaml": "source: {kind: ConfigMap, name: own, fieldPath: metadata.name}\n" +
		"targets: [{select: {kind: ConfigMap, name: own}, fieldPaths: [data.name], options: {create: true}}]\n",
	"/prefix.yaml":    "apiVersion: builtin\nkind: PrefixTransformer\nmetadata: {name: p}\nprefix: my-\nfieldSpecs: [{path: metadata/name}]\n",
	"/generator.yaml": "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: made}\nliterals: [a=b]\n",
	"/config.yaml":    "namePrefix: [{path: spec/name, kind: Thing}]\n",
	"/crd.json": `{"example.com/v1.Thing": {"Schema": {"properties": {"spec": {"properties": {"config": ` +
		`{"x-kubernetes-object-ref-api-version": "v1", "x-kubernetes-object-ref-kind": "ConfigMap", ` +
		`"x-kubernetes-object-ref-name-key": "name"}}}}}}}`,
}

// mountsFor returns what a render needs, fetched from a server.
func mountsFor(t *testing.T, needs []render.Need) (mounts []render.Mount) {
	t.Helper()
	for _, need := range needs {
		u, err := url.Parse(need.URL)
		if err != nil || !need.File {
			t.Fatalf("need %+v, %v", need, err)
		}
		root := t.TempDir()
		plant(t, root, api.RemoteFile, []byte(remoteFiles[u.Path]))
		mounts = append(mounts, render.Mount{Remote: need.Remote, Root: root})
	}
	return mounts
}

// renderRemote renders a tree as the planner does: again and again, with what it needs.
func renderRemote(t *testing.T, files map[string]string) (*render.Result, error) {
	t.Helper()
	spec, err := Encode(Spec{Name: "apps", Namespace: "flux-system"})
	if err != nil {
		t.Fatal(err)
	}
	req := render.Request{Spec: spec, Root: t.TempDir(), Salt: []byte("salt"), ReportNeeds: true}
	for name, text := range files {
		plant(t, req.Root, name, []byte(text))
	}
	for {
		result, err := Renderer{}.Render(t.Context(), req)
		if err != nil || len(result.Needs) == 0 {
			return result, err
		}
		req.Mounts = append(req.Mounts, mountsFor(t, result.Needs)...)
	}
}

// TestRemoteFile names a file by its URL in every field that may, and compares the objects with those of Flux's own
// library, which asks the server itself.
func TestRemoteFile(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := remoteFiles[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(text))
	}))
	defer server.Close()
	for name, text := range map[string]string{
		"resources":             "resources: [URL/a/v1/app.yaml, own.yaml]\nnamePrefix: my-\n",
		"json":                  "resources: [URL/app.json, 'URL/a/v1/app.yaml?raw=true']\n",
		"short":                 "resources: [URL/install]\n",
		"bases":                 "bases: [URL/a/v1/app.yaml]\nresources: [own.yaml]\n",
		"anchors":               "resources: [own.yaml]\ncrds: [&a URL/crd.json, *a]\n",
		"nested":                "resources: [base]\nnameSuffix: -x\n",
		"crds":                  "crds: [URL/crd.json]\nresources: [own.yaml, thing.yaml]\nnamePrefix: my-\n",
		"configurations":        "configurations: [URL/config.yaml]\nresources: [thing.yaml]\nnamePrefix: my-\n",
		"patches":               "resources: [own.yaml]\npatches: [{path: URL/patch.yaml}, {path: URL/6902.yaml, target: {kind: ConfigMap}}]\n",
		"patchesStrategicMerge": "resources: [own.yaml]\npatchesStrategicMerge: [URL/patch.yaml]\n",
		"patchesJson6902":       "resources: [own.yaml]\npatchesJson6902: [{path: URL/6902.yaml, target: {version: v1, kind: ConfigMap, name: own}}]\n",
		"replacements":          "resources: [own.yaml]\nreplacements: [{path: URL/replace.yaml}]\n",
		"transformers":          "resources: [own.yaml]\ntransformers: [URL/prefix.yaml]\n",
		"generators":            "generators: [URL/generator.yaml]\nresources: [own.yaml]\n",
		"files":                 "resources: [own.yaml]\nconfigMapGenerator: [{name: made, files: [URL/data/x.txt, 'key=URL/a/v1/app.yaml']}]\n",
		"envs":                  "resources: [own.yaml]\nconfigMapGenerator: [{name: made, envs: [URL/data/x.env]}, {name: other, env: URL/data/x.env}]\n",
		"secret":                "resources: [own.yaml]\nsecretGenerator: [{name: made, files: [URL/data/x.txt], envs: [URL/data/x.env]}]\n",
		"not_a_path":            "resources: [URL/app.json]\ncommonAnnotations: {from: URL/app.json}\n",
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{
				"kustomization.yaml": strings.ReplaceAll(text, "URL", server.URL),
				"own.yaml":           ownConfigMap,
				"thing.yaml": "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: thing}\n" +
					"spec: {name: x, config: {name: own}}\n",
				"base/kustomization.yaml": "resources: [" + server.URL + "/a/v1/app.yaml]\n",
			}
			result, err := renderRemote(t, files)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			for name, text := range files {
				plant(t, dir, name, []byte(text))
			}
			built, err := fluxkustomize.Build(filesys.MakeFsOnDisk(), dir)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{}
			for _, r := range built.Resources() {
				o := &manifest.Object{}
				o.Object, err = r.Map()
				if err != nil {
					t.Fatal(err)
				}
				want[o.GetKind()+"/"+o.GetName()] = asYAML(t, o)
			}
			for _, o := range result.Objects {
				name := o.GetKind() + "/" + o.GetName()
				if got := withoutOwner(t, o); got != want[name] {
					t.Errorf("%s: got\n%s\nFlux:\n%s", name, got, want[name])
				}
			}
			if len(result.Objects) != len(want) {
				t.Errorf("%d objects, Flux has %d", len(result.Objects), len(want))
			}
		})
	}
}

// withoutOwner returns an object without the labels that Flux's controller adds after the build.
func withoutOwner(t *testing.T, o *manifest.Object) string {
	t.Helper()
	labels := o.GetLabels()
	delete(labels, "kustomize.toolkit.fluxcd.io/name")
	delete(labels, "kustomize.toolkit.fluxcd.io/namespace")
	if o.SetLabels(labels); len(labels) == 0 {
		delete(o.Object["metadata"].(map[string]any), "labels")
	}
	return asYAML(t, o)
}

// TestRemoteFile_sealed has a SOPS file at a URL.
func TestRemoteFile_sealed(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata/sops", "secret-rotated.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	remoteFiles["/secret.yaml"] = string(data)
	defer delete(remoteFiles, "/secret.yaml")
	result, err := renderRemote(t,
		map[string]string{"kustomization.yaml": "resources: [https://example.com/secret.yaml]\n"})
	if err != nil || len(result.Sealed) != 1 {
		t.Errorf("%+v, %v", result, err)
	}
}

// TestRemoteFile_refused has URLs that the hub cannot fetch, and mistakes that kustomize would only find later. Nothing
// of them is left to kustomize, which would ask the server itself.
func TestRemoteFile_refused(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"component":   {"components: ['https://example.com/a/b/c.yaml']\n", "components: https://example.com/a/b/c.yaml"},
		"credentials": {"resources: ['https://me:canary@example.com/a.yaml']\n", "https://…@example.com/a.yaml"},
		"user":        {"resources: ['https://canary@example.com/a/b/c']\n", "https://…@example.com/a/b/c"},
		"query":       {"crds: ['https://me@example.com/a.yaml?token=canary']\n", "https://…@example.com/a.yaml?…: refers"},
		"bad_query":   {"crds: ['ssh://git@example.com/a.yaml?ref=v1&%canary']\n", "ssh://git@example.com/a.yaml?…: refers"},
		"fragment":    {"crds: ['https://example.com/a.yaml#x']\n", "are not fetched"},
		"inline_plugin": {"generators: ['{apiVersion: builtin, kind: ConfigMapGenerator, metadata: {name: a}, files: " +
			"[\"https://example.com/a.yaml\"]}']\n", "remote files are not fetched"},
		"ssh": {"crds: ['ssh://git@example.com/a.yaml']\n", "are not fetched"},
		"no_object": {"resources: ['https://example.com/words?token=canary']\n",
			"https://example.com/words:1: a Kubernetes object is a map, this is a string; https://example.com/words is taken " +
				"for a single file"},
	} {
		t.Run(name, func(t *testing.T) {
			result, err := renderRemote(t, map[string]string{"kustomization.yaml": c.text, "own.yaml": ownConfigMap})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("%+v, %v; want %s", result, err, c.want)
			}
		})
	}
}

// TestRemoteFile_empty has files without content, which would delete what the files gave before, or undo a patch.
func TestRemoteFile_empty(t *testing.T) {
	defer delete(remoteFiles, "/changing.yaml")
	for name, text := range map[string]string{
		"nothing": "", "blank": "\n \n", "comment": "# gone\n", "separator": "---\n---\n", "map": "{}\n", "null": "null\n",
		"no_steps":    "[]\n",
		"list":        "apiVersion: v1\nkind: List\nitems: []\n",
		"no_items":    "apiVersion: v1\nkind: ConfigMapList\n",
		"null_items":  "apiVersion: v1\nkind: List\nitems: null\n",
		"empty_items": "apiVersion: v1\nkind: List\nitems: [{}, null]\n",
		"json":        `{"apiVersion": "v1", "kind": "List", "items": []}`,
	} {
		t.Run(name, func(t *testing.T) {
			remoteFiles["/changing.yaml"] = text
			for _, field := range []string{"resources", "generators", "transformers", "validators", "crds", "configurations",
				"openapi.path", "patches.path", "patchesJson6902.path", "patchesStrategicMerge", "replacements.path"} {
				list := field + ": ['https://example.com/changing.yaml?token=canary']\n"
				switch name, of, nested := strings.Cut(field, "."); {
				case name == "openapi":
					list = "openapi: {path: 'https://example.com/changing.yaml?token=canary'}\n"
				case nested:
					list = name + ": [{" + of + ": 'https://example.com/changing.yaml?token=canary'}]\n"
				}
				if field != "resources" {
					list += "resources: [own.yaml]\n"
				}
				_, err := renderRemote(t, map[string]string{"kustomization.yaml": list, "own.yaml": ownConfigMap})
				if err == nil || err.Error() != "kustomization.yaml: "+field+
					": https://example.com/changing.yaml?… is empty; if that is intended, remove the URL" {
					t.Errorf("%s: %v", field, err)
				}
			}
		})
	}
	for name, text := range map[string]string{
		"one_of_some": "---\n# first\n---\n{}\n---\n" + ownConfigMap,
		"list":        "apiVersion: v1\nkind: List\nitems: [{}, {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}]\n",
	} {
		remoteFiles["/changing.yaml"] = text
		result, err := renderRemote(t,
			map[string]string{"kustomization.yaml": "resources: ['https://example.com/changing.yaml']\n"})
		if err != nil || len(result.Objects) != 1 {
			t.Errorf("%s: %+v, %v", name, result, err)
		}
	}
	remoteFiles["/changing.yaml"] = ""
	if _, err := renderRemote(t, map[string]string{"kustomization.yaml": "configMapGenerator: [{name: made, files: " +
		"['https://example.com/changing.yaml']}]\n"}); err != nil {
		t.Errorf("an empty file as data: %v", err)
	}
}

// TestParseRemoteFile reads URLs of single files.
func TestParseRemoteFile(t *testing.T) {
	for address, want := range map[string]string{
		"https://raw.githubusercontent.com/a/b/v1/c.yaml":    "https://raw.githubusercontent.com/a/b/v1/c.yaml",
		"HTTPS://Example.com/C.yaml":                         "https://example.com/C.yaml",
		"http://example.com:8080/x?raw=true":                 "http://example.com:8080/x?raw=true",
		"https://example.com/a%20b.yaml":                     "https://example.com/a%20b.yaml",
		"https://u@example.com/a.yaml":                       "",
		"https://example.com/a.yaml#b":                       "",
		"https://example.com/a b.yaml":                       "",
		"https:///a.yaml":                                    "",
		"ftp://example.com/a.yaml":                           "",
		"https://example.com/a/../../b.yaml":                 "",
		"https://example.com/%2e%2e/b.yaml":                  "",
		"git::https://example.com/a.yaml":                    "",
		"github.com/a/b/c.yaml":                              "",
		"a.yaml":                                             "",
		"https://example.com/" + strings.Repeat("a", maxURL): "",
	} {
		if got, ok := parseRemoteFile(address); got.URL != want || ok != (want != "") || ok != got.File {
			t.Errorf("%s: %+v, %t", address, got, ok)
		}
	}
	for address, file := range map[string]bool{
		"https://example.com/release.yaml": true, "https://example.com/a/release.yaml": true,
		"https://github.com/a/b/releases/download/v1/c.yaml": true, "https://example.com/install": true,
		"https://github.com/a/b": false, "https://github.com/a/b//c?ref=v1": false,
		"https://example.com/a.git/c.yaml": true, // kustomize's repository has no directory of that name either
		"https://gitlab.com/a/b.yaml":      true,
	} {
		place, ok := reference{field: "resources", path: address, accepts: directory}.remoteTarget()
		if !ok && file || place.File != file {
			t.Errorf("%s: %+v, %t", address, place, ok)
		}
	}
	err := refuseRemote(reference{field: "crds", path: "https://example.com/a.yaml?token=canary"})
	if strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "https://example.com/a.yaml?…: ") {
		t.Error(err)
	}
	if r := (api.Remote{URL: "https://example.com/a.yaml?token=canary", File: true}); strings.Contains(
		mountPath(r)+r.String(), "canary") {
		t.Errorf("%s, %s show the token", mountPath(r), r)
	}
}

// FuzzRemote has kustomization files with addresses in any form: each is refused, or is a Remote without credentials;
// with that Remote mounted, kustomize is left with no address to ask.
func FuzzRemote(f *testing.F) {
	for _, text := range []string{
		"resources: ['https://github.com/a/b//c?ref=v1', 'https://example.com/a.yaml']\n",
		"crds: ['HTTPS://example.com/a.yaml?x=y']\n" +
			"configMapGenerator: [{name: a, files: ['k=https://a/b?c=d'], env: 'http://a/b'}]\n",
		"patches: [{path: 'https://a/b'}, {patch: 'https://a'}]\npatchesStrategicMerge: ['https://a/b', \"a: b\\n\"]\n",
		"resources: [&a 'https://a/b.yaml', *a]\n", "components: ['git::https://a/b.git/c?version=v1']\n",
		"openapi: {path: 'https://a/b'}\nreplacements: [{path: 'http://[::1]:80/x'}]\n",
		"resources: ['https://user:pass@a/b', 'github.com/a/b', 'git@a:b/c', 'file:///a', 'https://a/_git/b/c']\n",
		"generators: ['https://a/b']\n" +
			"transformers: [\"apiVersion: builtin\\nkind: PatchTransformer\\npath: https://a/b\\n\"]\n",
	} {
		f.Add([]byte(text))
	}
	root, base := f.TempDir(), f.TempDir()
	plant(f, base, api.RemoteFile, []byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) { fuzzRemote(t, root, base, data) })
}

func fuzzRemote(t *testing.T, root, base string, data []byte) {
	tr, err := tree.Open(t.Context(), root, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	fsys := newFileSystem(tr, sealed.NewSalt(nil))
	fsys.remotes = newRemotes(true)
	_, err = fsys.admit("/apps/kustomization.yaml", data)
	if !errors.Is(err, errNeeds) {
		return
	}
	for _, need := range fsys.remotes.needs {
		u, err := url.Parse(need.URL)
		if err != nil || u.User != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" ||
			need.Host() != u.Host ||
			!strings.HasPrefix(mountPath(need.Remote), "/.remote/") || strings.Contains(mountPath(need.Remote), "..") {
			t.Fatalf("need %+v at %s, %v", need.Remote, mountPath(need.Remote), err)
		}
		if fsys.remotes.mounts[need.Remote] == "" {
			if err := fsys.tree.Mount(mountPath(need.Remote), base); err != nil {
				t.Fatal(err)
			}
		}
		fsys.remotes.mounts[need.Remote] = mountPath(need.Remote)
	}
	local, err := fsys.localize("/apps/kustomization.yaml", data)
	if err != nil {
		return
	}
	if err := checkLocal(local); err != nil {
		t.Errorf("%v is left in\n%s", err, local)
	}
	if err := yaml.Unmarshal(local, &yaml.Node{}); err != nil {
		t.Errorf("%v in\n%s", err, local)
	}
}
