package generate

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/manifest"
)

const generator = `
apiVersion: source.extensions.fluxcd.io/v1beta1
kind: ArtifactGenerator
metadata: {name: apps, namespace: flux-system}
spec:
  commonMetadata: {labels: {team: a}}
  sources:
    - {alias: repo, kind: GitRepository, name: fleet}
    - {alias: other, kind: GitRepository, name: other, namespace: elsewhere}
`

func renderable(t *testing.T, text string) *api.Renderable {
	t.Helper()
	o := &manifest.Object{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	admitted, err := api.Admit(o, api.ClusterGraph)
	if err != nil {
		t.Fatal(err)
	}
	r, err := admitted.Renderable()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// generated renders a generator from folders with a file in each.
func generated(t *testing.T, text string, folders ...string) (*render.Result, string, error) {
	t.Helper()
	dir := t.TempDir()
	for _, f := range folders {
		if err := os.MkdirAll(filepath.Join(dir, f), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	result, err := Renderer{}.Render(
		t.Context(),
		render.Request{Renderer: Name, Spec: renderable(t, text).Spec, Root: dir},
	)
	return result, dir, err
}

func TestRender(t *testing.T) {
	r := renderable(t, generator+`  artifacts: [{name: web, copy: [{from: "@repo/**", to: "@artifact/"}]}]`)
	if want := (api.Key{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}); r.Source != want {
		t.Errorf("its source is %s", r.Source)
	}
	for name, c := range map[string]struct{ spec, want string }{
		"plain": {`  artifacts:
    - {name: web, copy: [{from: "@repo/web/**", to: "@artifact/"}]}
    - {name: both, revision: "@other", copy: [{from: "@repo/x", to: "@artifact/", exclude: [z.md], optional: true}]}
`, `web team=a repo flux-system/fleet @repo/web/** @artifact/
both team=a repo flux-system/fleet other elsewhere/other @repo/x @artifact/
`},
		"pattern": {`  pathPattern: "@repo/apps/{app}/envs/x-{env}"
  artifacts: [{name: "{app}-{env}", copy: [{from: "@repo/apps/{app}/envs/x-{env}/**", to: "@artifact/{app}/"}]}]
`, `web-dev app=web env=dev team=a repo flux-system/fleet @repo/apps/Web/envs/x-Dev/** @artifact/Web/
web-prod app=web env=prod team=a repo flux-system/fleet @repo/apps/Web/envs/x-prod/** @artifact/Web/
`},
		"pattern_nothing": {`  pathPattern: "@repo/none/{app}"
  artifacts: [{name: "{app}", copy: [{from: "@repo/x", to: "@artifact/"}]}]
`, ""},
		"pattern_same": {`  pathPattern: "@repo/apps/Web/envs/{env}"
  artifacts: [{name: web, copy: [{from: "@repo/x", to: "@artifact/"}]}]
`, "!pathPattern x-Dev x-prod web"},
		"pattern_name": {`  pathPattern: "@repo/{app}"
  artifacts: [{name: "-{app}", copy: [{from: "@repo/x", to: "@artifact/"}]}]
`, "!pathPattern -apps"},
	} {
		t.Run(name, func(t *testing.T) {
			result, dir, err := generated(t, generator+c.spec, "apps/Web/envs/x-prod", "apps/Web/envs/x-Dev", "apps/Web/other")
			if words, fails := strings.CutPrefix(c.want, "!"); fails {
				for word := range strings.FieldsSeq(words) {
					if err == nil || !strings.Contains(err.Error(), word) {
						t.Errorf("the error lacks %q: %v", word, err)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(t, result); got != c.want {
				t.Errorf("got:\n%swant:\n%s", got, c.want)
			}
			if err := os.MkdirAll(filepath.Join(dir, "apps/Web/more/x"), 0o755); err != nil {
				t.Fatal(err)
			}
			probe := tree.NewProbe(dir)
			defer probe.Close()
			if same := probe.Unchanged(result.Reads); same != (name != "pattern") {
				t.Errorf("another folder: unchanged is %t", same)
			}
		})
	}
}

// describe returns a line for each artifact: its name, labels, sources and copies.
func describe(t *testing.T, r *render.Result) string {
	t.Helper()
	var b strings.Builder
	for _, o := range r.Objects {
		data, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		var e api.ExternalArtifact
		if err := json.Unmarshal(data, &e); err != nil {
			t.Fatal(err)
		}
		if _, err := api.Admit(o, api.ClusterGraph); err != nil {
			t.Error(err)
		}
		line := []string{e.Name}
		for _, name := range []string{"app", "env", "team"} {
			if value, ok := e.Labels[name]; ok {
				line = append(line, name+"="+value)
			}
		}
		for _, s := range e.Spec.Composition.Sources {
			line = append(line, s.Alias, s.Namespace+"/"+s.Name)
		}
		for _, c := range e.Spec.Composition.Copy {
			line = append(line, c.From, c.To)
		}
		fmt.Fprintln(&b, strings.Join(line, " "))
	}
	return b.String()
}
