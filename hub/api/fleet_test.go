package api_test

import (
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"github.com/navefleet/nave/hub/api"
)

const prodFleet = `
apiVersion: fleet.nave.io/v1alpha1
kind: Fleet
metadata: {name: prod}
spec:
  clusterSelector: {matchLabels: {env: prod}}
  template:
    metadata: {name: root, labels: {region: "${region}"}}
    spec:
      interval: ${interval:-10m}
      prune: ${prune}
      path: "./clusters/${cluster_name}"
      sourceRef: {kind: GitRepository, name: fleet}
      postBuild:
        substitute: {domain: "${domain}", literal: "$${domain}", cluster: "${cluster_name^^}"}
`

func fleet(t *testing.T, text string) *api.Fleet {
	t.Helper()
	f, err := admit(t, text, api.Hub).Fleet()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func cluster(t *testing.T, text string) *api.Cluster {
	t.Helper()
	c, err := admit(t, "apiVersion: fleet.nave.io/v1alpha1\nkind: Cluster\n"+text, api.Hub).Cluster()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const eu1 = `
metadata: {name: prod-eu-1, labels: {env: prod, region: eu}}
spec: {vars: {domain: eu1.example.com, region: eu, prune: "true"}}
`

func TestExpandTemplate(t *testing.T) {
	o, err := api.ExpandTemplate(fleet(t, prodFleet), cluster(t, eu1))
	if err != nil {
		t.Fatal(err)
	}
	same(t, o.JSON, `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: root, namespace: flux-system, labels: {region: eu}}
spec:
  interval: 10m
  prune: true
  path: ./clusters/prod-eu-1
  sourceRef: {kind: GitRepository, name: fleet}
  postBuild:
    substitute: {domain: eu1.example.com, literal: "${domain}", cluster: PROD-EU-1}
`)
}

func TestExpandTemplate_text(t *testing.T) {
	f := fleet(t, strings.Replace(prodFleet, "./clusters/${cluster_name}", "${domain}", 1))
	o, err := api.ExpandTemplate(f, cluster(t, `
metadata: {name: a}
spec: {vars: {domain: "007", region: "true", prune: "false"}}`))
	if err != nil {
		t.Fatal(err)
	}
	k, err := api.Decode[kustomizev1.Kustomization](o)
	if err != nil || k.Spec.Path != "007" || k.Spec.Prune || k.Labels["region"] != "true" {
		t.Errorf("%+v %v", k, err)
	}
}

func TestExpandTemplate_unset(t *testing.T) {
	_, err := api.ExpandTemplate(fleet(t, prodFleet), cluster(t, `
metadata: {name: prod-us-1}
spec: {vars: {region: us, prune: "true"}}`))
	if err == nil {
		t.Fatal("expanded")
	}
	for _, w := range []string{"Fleet prod", "prod-us-1", "spec.postBuild.substitute.domain", `"domain"`, "spec.vars"} {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the message lacks %q: %v", w, err)
		}
	}
}

func TestExpandTemplate_checked(t *testing.T) {
	for vars, field := range map[string]string{
		`{region: us, domain: x, prune: "maybe"}`:                "spec.prune",
		`{region: us, domain: x, prune: "true", interval: "0s"}`: "spec.interval",
		`{region: "u s", domain: x, prune: "true"}`:              "metadata.labels",
	} {
		_, err := api.ExpandTemplate(fleet(t, prodFleet), cluster(t, "metadata: {name: a}\nspec: {vars: "+vars+"}"))
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", vars, err)
		}
	}
	escape := fleet(t, strings.Replace(prodFleet, "./clusters/${cluster_name}", "clusters/${region}", 1))
	_, err := api.ExpandTemplate(escape, cluster(t, `
metadata: {name: a}
spec: {vars: {region: ../../secrets, domain: x, prune: "true"}}`))
	if err == nil || !strings.Contains(err.Error(), "metadata.labels") &&
		!strings.Contains(err.Error(), "leaves the source") {
		t.Errorf("a variable leads out of the source: %v", err)
	}
}

func TestExpandTemplate_suspended(t *testing.T) {
	o, err := api.ExpandTemplate(fleet(t, prodFleet+"  suspend: true\n"), cluster(t, eu1))
	if err != nil {
		t.Fatal(err)
	}
	if k, err := api.Decode[kustomizev1.Kustomization](o); err != nil || !k.Spec.Suspend {
		t.Errorf("not suspended: %v", err)
	}
}

func TestExpandTemplate_overrides(t *testing.T) {
	f := fleet(t, prodFleet+`
  overrides:
  - clusterSelector: {matchLabels: {region: eu}}
    vars: {interval: 5m, domain: eu.example.com, size: small}
    patches:
    - patch: '{"kind": "all"}'
      target: {kind: Deployment, name: "${size}"}
  - clusterSelector: {matchLabels: {region: us}}
    patches: [{patch: "{}"}]
  - clusterSelector: {matchLabels: {kubernetes.io/metadata.name: prod-eu-1}}
    vars: {size: big}
    patches: [{patch: "domain: ${domain}, plain: $${domain}"}]
`)
	o, err := api.ExpandTemplate(f, cluster(t, eu1))
	if err != nil {
		t.Fatal(err)
	}
	k, err := api.Decode[kustomizev1.Kustomization](o)
	if err != nil {
		t.Fatal(err)
	}
	if got := k.Spec.Interval.Duration; got != 5*time.Minute {
		t.Errorf("the interval is %s", got)
	}
	if len(k.Spec.Patches) != 2 || k.Spec.Patches[0].Target.Name != "big" || k.Spec.Patches[1].Target != nil ||
		k.Spec.Patches[1].Patch != "domain: eu1.example.com, plain: ${domain}" {
		t.Errorf("the patches are %+v", k.Spec.Patches)
	}
	_, err = api.ExpandTemplate(f, cluster(t, "metadata: {name: a, labels: {region: eu}}\nspec: {vars: {region: eu}}"))
	if want := `Fleet prod on cluster a: spec.template: spec.prune: variable "prune" is not set`; err == nil ||
		!strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	f.Spec.Overrides[0].Vars = nil
	f.Spec.Overrides[2].Vars = nil
	_, err = api.ExpandTemplate(f, cluster(t, eu1))
	want := `Fleet prod on cluster prod-eu-1: spec.overrides[0].patches[0].target.name: variable "size" is not set`
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestSelects(t *testing.T) {
	c := cluster(t, eu1)
	for selector, want := range map[string]bool{
		"{}": true, "{matchLabels: {env: prod}}": true, "{matchLabels: {env: dev}}": false,
		"{matchExpressions: [{key: region, operator: In, values: [eu, us]}]}":                       true,
		"{matchExpressions: [{key: region, operator: NotIn, values: [eu]}]}":                        false,
		"{matchLabels: {env: prod}, matchExpressions: [{key: canary, operator: DoesNotExist}]}":     true,
		"{matchLabels: {kubernetes.io/metadata.name: prod-eu-1}}":                                   true,
		"{matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [a, b]}]}":    false,
		"{matchExpressions: [{key: kubernetes.io/metadata.name, operator: DoesNotExist}]}":          false,
		"{matchLabels: {env: prod}, matchExpressions: [{key: canary, operator: Exists}], }":         false,
		"{matchExpressions: [{key: region, operator: Exists}, {key: env, operator: DoesNotExist}]}": false,
	} {
		f := fleet(t, strings.Replace(prodFleet, "{matchLabels: {env: prod}}", selector, 1))
		if got, err := f.Selects(api.ClusterLabels(c.Name, c.Labels)); got != want || err != nil {
			t.Errorf("%s: %v %v", selector, got, err)
		}
	}
}

func TestAdmit_Fleet(t *testing.T) {
	for _, c := range []struct{ old, with, field, why string }{
		{"clusterSelector: {matchLabels: {env: prod}}", "", "spec.clusterSelector", "{} selects every cluster"},
		{"{matchLabels: {env: prod}}", "{matchExpressions: [{key: a, operator: Like}]}", "spec.clusterSelector", "Like"},
		{"{matchLabels: {env: prod}}", "{matchLabel: {env: prod}}", "spec.clusterSelector.matchLabel", "unknown field"},
		{"  template:", "  overrides: [{vars: {a: b}}]\n  template:", "spec.overrides[0].clusterSelector", "selects every"},
		{"  template:", "  overrides: [{clusterSelector: {}}]\n  template:", "spec.overrides[0]", "vars or patches"},
		{"  template:", "  overrides: [{clusterSelector: {}, vars: {cluster_name: b}}]\n  template:",
			"spec.overrides[0].vars[cluster_name]", "choose another name"},
		{"  template:", "  overrides: [{clusterSelector: {}, vars: {a-b: b}}]\n  template:", "spec.overrides[0].vars[a-b]", "letters"},
		{"  template:", "  overrides: [{clusterSelector: {}, patches: [{patch: ''}]}]\n  template:",
			"spec.overrides[0].patches[0].patch", "Required"},
		{"  template:", "  overrides: [{clusterSelector: {}, patches: [{patch: '${a'}]}]\n  template:",
			"spec.overrides[0].patches[0].patch", "${a"},
		{"  template:", "  overrides: [{clusterSelector: {matchExpressions: [{key: a, operator: Like}]}, vars: {a: b}}]\n  template:",
			"spec.overrides[0].clusterSelector", "Like"},
		{"  template:", "  overrides: [{clusterSelector: {}, patch: []}]\n  template:", "spec.overrides[0].patch", "unknown field"},
		{"  template:", "  rollout: {stages: [{}]}\n  template:", "spec.rollout.stages[0].name", "Required"},
		{"      interval: ${interval:-10m}", "", "spec.template", "spec.interval"},
		{"path:", "pth:", "spec.template", "spec.pth"},
		{"path:", "kubeConfig: {secretRef: {name: a}}\n      path:", "spec.template", "spec.kubeConfig"},
		{"${interval:-10m}", "${interval", "spec.template", "spec.interval"},
		{"${interval:-10m}", "ten", "spec.template", "spec.interval"},
		{"{name: root, labels", "{name: Root, labels", "spec.template", "metadata.name"},
		{"{name: root, labels", "{name: root, uid: x, labels", "spec.template.metadata.uid", "unknown field"},
		{"clusters/${cluster_name}", "../${cluster_name}", "spec.template", "leaves the source"},
	} {
		t.Run(c.field, func(t *testing.T) {
			refuse(t, strings.Replace(prodFleet, c.old, c.with, 1), api.Hub, "Fleet prod", c.field, c.why)
		})
	}
	refuse(t, "{apiVersion: fleet.nave.io/v1alpha1, kind: Fleet, metadata: {name: a}, spec: {clusterSelector: {}}}",
		api.Hub, "spec.template")
	refuse(t, "{apiVersion: fleet.nave.io/v1alpha1, kind: Fleet, metadata: {name: a}, spec: {clusterSelector: {}, "+
		"template: {metadata: {name: a}, spec: [1]}}}", api.Hub, "want a map")
	refuse(t, "{apiVersion: fleet.nave.io/v1alpha1, kind: Fleet, metadata: {name: a}, spec: {clusterSelector: {}, "+
		"template: {metadata: {name: a}}}}", api.Hub, "spec.template")
}

func TestAdmit_Cluster(t *testing.T) {
	for spec, field := range map[string]string{
		"{vars: {a-b: c}}":              "spec.vars[a-b]",
		"{vars: {'': c}}":               "spec.vars[]",
		"{vars: {1a: c}}":               "spec.vars[1a]",
		"{vars: {cluster_name: other}}": "spec.vars[cluster_name]",
		"{vars: {a: 1}}":                "spec.vars",
		"{blocked: 'yes'}":              "spec.blocked",
		"{labels: {a: b}}":              "spec.labels",
	} {
		refuse(t, "{apiVersion: fleet.nave.io/v1alpha1, kind: Cluster, metadata: {name: a}, spec: "+spec+"}", api.Hub,
			"Cluster a", field)
	}
	if c := cluster(t, "metadata: {name: a}\nspec: {blocked: true}"); !c.Spec.Blocked {
		t.Error("not blocked")
	}
}

func TestKindByName(t *testing.T) {
	for name, want := range map[string]string{
		"ks": "Kustomization", "kustomization": "Kustomization", "Kustomizations": "Kustomization",
		"KUSTOMIZATION": "Kustomization",
		"kustomizations.kustomize.toolkit.fluxcd.io": "Kustomization",
		"gitrepo": "GitRepository", "gitrepository": "GitRepository", "gitrepositories": "GitRepository", "source " +
			"git": "GitRepository",
		"sources git": "GitRepository", "source-git": "GitRepository", "Sources  Git": "GitRepository",
		"cluster": "Cluster", "clusters": "Cluster", "fleet": "Fleet", "fleets": "Fleet", "secrets": "Secret",
		"hr": "HelmRelease", "helmreleases": "HelmRelease", "source helm": "HelmRepository", "sources " +
			"oci": "OCIRepository", "source chart": "HelmChart",
		"image policies": "ImagePolicy", "images policy": "ImagePolicy", "image update": "ImageUpdateAutomation", "image " +
			"repositories": "ImageRepository",
		"alert-provider": "Provider", "alert-providers": "Provider", "receivers": "Receiver", "sources bucket": "Bucket",
	} {
		if k, ok := api.KindByName(name); !ok || k.Name != want {
			t.Errorf("%q is %q %v, want %s", name, k.Name, ok, want)
		}
	}
	for _, name := range []string{"", " ", "pods", "git", "source", "source git x", "kustomizations.apps", ".",
		"." + api.GroupFleet} {
		if k, ok := api.KindByName(name); ok {
			t.Errorf("%q is %s", name, k.Name)
		}
	}
}

func TestKindByName_unique(t *testing.T) {
	seen := map[string]string{}
	for _, k := range api.Kinds() {
		for _, name := range []string{strings.ToLower(k.Name), k.Plural, k.Short} {
			if other, ok := seen[name]; ok && name != "" {
				t.Errorf("%q is %s and %s", name, other, k.Name)
			}
			seen[name] = k.Name
		}
	}
}
