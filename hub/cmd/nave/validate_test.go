package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/openapi/openapitest"

	"github.com/navefleet/nave/shared/manifest"
)

// schemaFiles writes the schemas of Kubernetes' own kinds to a folder, and returns it.
func schemaFiles(t *testing.T, versions ...string) string {
	t.Helper()
	dir := t.TempDir()
	paths, err := openapitest.NewEmbeddedFileClient().Paths()
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range versions {
		data, err := paths[version].Schema("application/json")
		if err != nil {
			t.Fatal(err)
		}
		name := strings.ReplaceAll(version, "/", "_") + ".json"
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// apiServer serves schemas as an API server does, and returns the kubeconfig.
func apiServer(t *testing.T, schemas string) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/openapi/v3", func(w http.ResponseWriter, _ *http.Request) {
		paths := map[string]struct{}{}
		files, _ := filepath.Glob(filepath.Join(schemas, "*.json"))
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".json")
			paths[strings.ReplaceAll(name, "_", "/")] = struct{}{}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"paths": paths})
	})
	mux.HandleFunc("/openapi/v3/{path...}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(schemas, strings.ReplaceAll(r.PathValue("path"), "/", "_")+".json"))
	})
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "config")
	text := `{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a, user: a}}],
users: [{name: a, user: {}}], clusters: [{name: a, cluster: {insecure-skip-tls-verify: true, server: "` +
		server.URL + `"}}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const validDeployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default, creationTimestamp: null}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 25%}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: web
        ports: [{containerPort: 80}]
        resources: {limits: {cpu: 1, memory: 64Mi}}
`

// TestValidate builds objects with mistakes, against the schemas of files and of an API server.
func TestValidate(t *testing.T) {
	schemas := schemaFiles(t, "apis/apps/v1")
	from := map[string]string{"files": "--schemas=" + schemas, "server": "--kubeconfig=" + apiServer(t, schemas)}
	for _, c := range []struct{ name, old, new, want string }{
		{"valid", "", "", ""},
		{"unknown_field", "replicas: 2", "replica: 2",
			`app/web.yaml:5: Deployment.apps default/web: Deployment.spec has the unknown field "replica"`},
		{"wrong_type", "replicas: 2", "replicas: two", "Deployment.spec.replicas is a string, want integer"},
		{"missing_field", "        image: web\n        ports: [{containerPort: 80}]",
			"        image: web\n        ports: [{name: http}]",
			`Deployment.spec.template.spec.containers[0].ports[0] has no field "containerPort"`},
		{"variable", "replicas: 2", "replicas: ${replicas}", ""},
		{"unknown_kind", "kind: Deployment", "kind: Deploymint", "there is no kind Deploymint in apps/v1"},
		{"old_version", "apiVersion: apps/v1", "apiVersion: apps/v1beta1",
			"Deployment.apps default/web: apiVersion apps/v1beta1 is not served; of its group the server has v1"},
		{"unknown_group", "apiVersion: apps/v1", "apiVersion: app/v1", `app/v1 is not served: there is no API group "app"`},
	} {
		for name, flag := range from {
			t.Run(c.name+"_"+name, func(t *testing.T) {
				root := tree(t, map[string]string{"app/web.yaml": strings.Replace(validDeployment, c.old, c.new, 1),
					"app.yaml": `apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app, namespace: flux-system}
spec: {interval: 10m, prune: true, path: ./app, sourceRef: {kind: GitRepository, name: fleet}}
`})
				for _, args := range [][]string{
					{"kustomization", "app", "--root", root, "--path", filepath.Join(root, "app"),
						"--kustomization-file", filepath.Join(root, "app.yaml")},
					{"cluster", "x", root, "--path=app"},
				} {
					out, err := run(t, append(append([]string{"build"}, args...), "--validate", flag)...)
					if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
						t.Errorf("%s: error %v, want %q", args[0], err, c.want)
					}
					if !strings.Contains(out, "name: web") {
						t.Errorf("%s printed:\n%s", args[0], out)
					}
				}
			})
		}
	}
}

// TestValidate_builtin builds objects with mistakes without a cluster and without schemas of their own.
func TestValidate_builtin(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for _, c := range []struct{ name, old, new, want string }{
		{"valid", "", "", ""},
		{"unknown_field", "image: web", "imag: web", `Deployment.spec.template.spec.containers[0] has the unknown field "imag"`},
		{"wrong_type", "replicas: 2", "replicas: two", "Deployment.spec.replicas is a string, want integer"},
		{"missing_field", "selector: {matchLabels: {app: web}}", "paused: true", `has no field "selector"`},
		{"enum", "strategy: {", `strategy: {type: Replace, `, `Deployment.spec.strategy.type is "Replace", want one of "Recreate"`},
		{"empty", "strategy: {", `strategy: {type: "", `, ""},
		{"variable", "replicas: 2", "replicas: ${replicas}", ""},
		{"unknown_kind", "kind: Deployment", "kind: Deploymint", "there is no kind Deploymint in apps/v1"},
		{"unknown_version", "apiVersion: apps/v1", "apiVersion: example.com/v1", ""},
		{"old_version", "apiVersion: apps/v1", "apiVersion: apps/v1beta1",
			"Deployment.apps default/web: apiVersion apps/v1beta1 is not served; of its group the server has v1"},
		{"unknown_group", "apiVersion: apps/v1", "apiVersion: app/v1", `app/v1 is not served: there is no API group "app"`},
		{"core_version", "apiVersion: apps/v1", "apiVersion: v2", "apiVersion v2 is not served; of its group the server has v1"},
		{"group_with_dot", "apiVersion: apps/v1", "apiVersion: networking.k8s.io/v1beta1",
			"apiVersion networking.k8s.io/v1beta1 is not served; of its group the server has v1"},
		{"custom_of_k8s", "apiVersion: apps/v1", "apiVersion: gateway.networking.k8s.io/v1", ""},
	} {
		for _, flag := range []string{"--validate", "--schemas=builtin"} {
			t.Run(c.name+flag, func(t *testing.T) {
				root := tree(t, map[string]string{"app/web.yaml": strings.Replace(validDeployment, c.old, c.new, 1)})
				_, err := run(t, "build", "cluster", "x", root, "--path=app", "--validate", flag)
				if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want %q", err, c.want)
				}
			})
		}
	}
}

func TestValidate_flags(t *testing.T) {
	root := tree(t, fleetFiles)
	for _, c := range []struct{ name, flags, want string }{
		{"alone", "--schemas=x", "do nothing without --validate"},
		{"both", "--validate --schemas=x --kubeconfig=y", "takes the place of a cluster"},
		{"no_file", "--validate --schemas=/nowhere.json", "/nowhere.json"},
		{"empty_folder", "--validate --schemas=" + t.TempDir(), "no schema of a kind"},
		{"not_schemas", "--validate --schemas=" + filepath.Join(root, "hub/fleet.yaml"), "hub/fleet.yaml"},
		{"no_server", "--validate --kubeconfig=/nowhere", "/nowhere"},
		{"builtin_and_file", "--validate --schemas=builtin,x", "builtin and cluster stand alone"},
		{"no_hub", "--validate --schemas=cluster --config=/nowhere", "asked for through the hub: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := run(t, append([]string{"build", "cluster", "lab", root, "--path=clusters/lab"},
				strings.Fields(c.flags)...)...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// TestValidate_no_cluster builds a Kustomization by the schemas of a cluster that no flag names.
func TestValidate_no_cluster(t *testing.T) {
	_, err := run(t, "build", "kustomization", "app", "--path=.", "--kustomization-file=x", "--validate",
		"--schemas=cluster")
	if err == nil || !strings.Contains(err.Error(), "name the cluster with --cluster") {
		t.Errorf("error %v", err)
	}
	_, err = run(t, "build", "kustomization", "app", "--path=.", "--kustomization-file=x", "--cluster=east")
	if err == nil || !strings.Contains(err.Error(), "--cluster does nothing here") {
		t.Errorf("error %v", err)
	}
}

// TestValidate_other_kinds checks that files, which name kinds of other versions too, leave those of nave in force.
func TestValidate_other_kinds(t *testing.T) {
	schemas := schemaFiles(t, "apis/apps/v1")
	for version, kind := range map[string]string{"batch/v1": "CronJob", "autoscaling/v1": "HorizontalPodAutoscaler"} {
		t.Run(kind, func(t *testing.T) {
			root := tree(t, map[string]string{"app/x.yaml": "apiVersion: " + version + "\nkind: " + kind +
				"\nmetadata: {name: x, namespace: default}\nspec: {typo: 1}\n"})
			_, err := run(t, "build", "cluster", "x", root, "--path=app", "--validate", "--schemas="+schemas)
			if err == nil || !strings.Contains(err.Error(), kind+`.spec has the unknown field "typo"`) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestValidator_notes checks that the note about a kind names the versions of its group that the server has.
func TestValidator_notes(t *testing.T) {
	s := builtInSchemas("")
	s.served = []string{"apis/example.com", "apis/example.com/v1", "apis/more.example.com/v2"}
	v := newValidator(func(context.Context, string) (*schemas, error) { return s, nil })
	var objects []renderedObject
	for _, version := range []string{"example.com/v1beta1", "other.example.com/v1"} {
		o := &manifest.Object{Object: map[string]any{"apiVersion": version, "kind": "Thing"}}
		objects = append(objects, renderedObject{Object: o})
	}
	err := v.check(t.Context(), []string{""}, objects, nil)
	const want = "Thing.example.com v1beta1 (the server has v1), Thing.other.example.com v1"
	var notes []string
	v.printNotes(func(line string) { notes = append(notes, line) })
	if err != nil || v.err() != nil || len(notes) != 1 || !strings.HasSuffix(notes[0], want) {
		t.Errorf("%v, %v, notes %q", err, v.err(), notes)
	}
}

const boxes = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boxes.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Box, plural: boxes, singular: box, listKind: BoxList}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [size]
            properties:
              size: {type: string, enum: [small, large]}
              color: {type: string, pattern: "^#[0-9a-f]{6}$"}
            x-kubernetes-validations:
            - {rule: "self.size != 'large' || !has(self.color)", message: a large box has no color}
            - {rule: self.size == oldSelf.size}
`

const validBox = `---
apiVersion: example.com/v1
kind: Box
metadata: {name: box, namespace: default}
spec: {size: small, color: "#00ff00"}
`

// TestValidate_rules says how many rules only the API server can check.
func TestValidate_rules(t *testing.T) {
	root := tree(t, map[string]string{"app/box.yaml": boxes + validBox})
	var out, messages bytes.Buffer
	cmd, _ := program(&out, &messages)
	cmd.SetArgs([]string{"build", "cluster", "x", root, "--path=app", "--validate", "--schemas=builtin"})
	const want = "only the API server can, as nave diff --live asks it, " +
		"rules (x-kubernetes-validations): 1 of Box.example.com v1"
	if err := cmd.ExecuteContext(t.Context()); err != nil || !strings.Contains(messages.String(), want) {
		t.Errorf("error %v, notes %s", err, &messages)
	}
}

// TestValidate_definitions checks custom resources against the definition that comes with them, and against a server
// that does not serve their kind.
func TestValidate_definitions(t *testing.T) {
	schemas := schemaFiles(t)
	file := filepath.Join(schemas, "apis_apiextensions.k8s.io_v1.json")
	text := unzipped(t, schemasZip)["apis/apiextensions.k8s.io/v1.json"]
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server := "--kubeconfig=" + apiServer(t, schemas)
	for _, c := range []struct{ name, files, old, new, want string }{
		{"valid", boxes + validBox, "", "", ""},
		{"unknown_field", boxes + validBox, "small, color:", "small, colour:", `Box.example.com default/box: Box.spec has the unknown field "colour"`},
		{"wrong_type", boxes + validBox, "size: small", "size: 1", "Box.spec.size is an integer, want string"},
		{"missing_field", boxes + validBox, "size: small, ", "", `Box.spec has no field "size", which is required`},
		{"enum", boxes + validBox, "size: small", "size: tiny", `Box.spec.size is "tiny", want one of "small", "large"`},
		{"pattern", boxes + validBox, `"#00ff00"`, "green", `Box.spec.color is "green", which does not match the pattern`},
		{"rule", boxes + validBox, "size: small", "size: large", "Box.spec breaks a rule of its schema: a large box has no color"},
		{"other_version", boxes + validBox, "apiVersion: example.com/v1\nkind: Box", "apiVersion: example.com/v2\nkind: Box",
			"apiVersion example.com/v2 is not served; its definition among the objects serves v1"},
		{"no_definition", validBox, "", "",
			"the cluster does not serve Box in example.com/v1, and no CustomResourceDefinition among the objects defines it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := tree(t, map[string]string{"app/box.yaml": strings.Replace(c.files, c.old, c.new, 1)})
			_, err := run(t, "build", "cluster", "x", root, "--path=app", "--validate", server)
			if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// TestValidate_places names the file, line and document of each field that is wrong, all at once.
func TestValidate_places(t *testing.T) {
	const name = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: default}\n"
	twice := settings + "---\n" + strings.NewReplacer("replicas: 2", "replica: 2", "image: web", "imag: web",
		"{app: web}}\n    spec", "{app: web, example.com/v: 1}}\n    spec").Replace(validDeployment)
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"second_document", map[string]string{"app/a.yaml": twice}, []string{
			`app/a.yaml:9 (document 2): Deployment.apps default/web: Deployment.spec has the unknown field "replica"; did you mean replicas?`,
			`app/a.yaml:13 (document 2): Deployment.apps default/web: Deployment.spec.template.metadata.labels[example.com/v] is an integer, want string`,
			`app/a.yaml:17 (document 2): Deployment.apps default/web: Deployment.spec.template.spec.containers[0] has the unknown field "imag"; did you mean image?`}},
		{"patch", map[string]string{"app/a.yaml": validDeployment, "app/p.yaml": name + "spec:\n  replicas: two\n",
			"app/kustomization.yaml": "resources: [a.yaml]\npatches: [{path: p.yaml}]\n"}, []string{
			"\napp/p.yaml:5: Deployment.apps default/web: Deployment.spec.replicas is a string, want integer"}},
		{"inline_patch", map[string]string{"app/a.yaml": validDeployment, "app/kustomization.yaml": "resources: [a.yaml]\n" +
			"patches:\n- target: {kind: Deployment}\n  patch: '[{\"op\": \"add\", \"path\": \"/spec/typo\", \"value\": 1}]'\n"},
			[]string{`app/a.yaml: Deployment.apps default/web: Deployment.spec has the unknown field "typo"`}},
		{"missing", map[string]string{"app/a.yaml": strings.Replace(validDeployment, "  selector: {matchLabels: {app: web}}\n", "", 1)},
			[]string{`app/a.yaml:4: Deployment.apps default/web: Deployment.spec has no field "selector", which is required`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := run(t, "build", "cluster", "x", tree(t, c.files), "--path=app", "--validate", "--schemas=builtin")
			if want := strings.Join(c.want, "\n"); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %s", err, want)
			}
		})
	}
}
