package migrate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// Input is what Compare compares.
type Input struct {
	Flux *Flux
	// Walk is the walk of the checkout with HubObjects, and Whole the same with Flux's components.
	Walk, Whole *plan.Previewed
	Problems    []plan.Problem // of the hub's own objects
	Refused     []Refusal      // the roots that HubObjects refused
	// Recipients returns the public names of the keys that a file of the checkout is encrypted for.
	Recipients func(path string) []string
	Folded     []Folded
	// HasFolder reports whether a folder stands for a source that is not composed of others.
	HasFolder func(source *api.Object, url string) bool
	// Access are the flags that the commands of the report repeat to reach the cluster, for kubectl, flux and nave alike.
	Access   string
	Checkout string // as a word of a shell; empty: the working folder
}

// comparison has what Compare looks up.
type comparison struct {
	Input
	given map[manifest.ID]bool // by Git: payload, objects of the graph, Flux's components
	graph map[manifest.ID]bool
	own   map[manifest.ID]bool // Flux's components
	owned map[manifest.ID]bool // by any inventory
	apps  map[api.Key]plan.PreviewedApplication
	bad   map[api.Key]bool // objects with a problem
}

// Compare compares a walk with the inventories of Flux.
func Compare(in Input) *Report {
	c := newComparison(in)
	r := &Report{Cluster: in.Walk.Cluster, Controllers: in.Flux.Controllers, Folded: in.Folded}
	seen := map[api.Key]bool{}
	for _, k := range in.Flux.kustomizations() {
		seen[c.key(k)] = true
		r.Kustomizations = append(r.Kustomizations, c.kustomization(k))
	}
	for key, n := range in.Walk.Nodes {
		if key.Role() == api.RenderableRole && !seen[key] {
			r.Kustomizations = append(r.Kustomizations, c.added(key, n.Object))
		}
	}
	slices.SortFunc(r.Kustomizations, func(a, b Kustomization) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	r.Refused, r.RemoteBases, r.OtherSources = c.refused(), c.remoteBases(), c.otherSources()
	r.NotInGit, r.PassedThrough = c.others()
	r.RefusedReleases = c.Flux.refusedReleases()
	r.Secrets, r.Keys = c.secrets(), c.keys()
	r.Notices = c.notices()
	r.Steps = c.steps(r)
	return r
}

func newComparison(in Input) *comparison {
	c := &comparison{
		Input: in, given: map[manifest.ID]bool{}, graph: map[manifest.ID]bool{}, own: map[manifest.ID]bool{},
		owned: map[manifest.ID]bool{}, apps: map[api.Key]plan.PreviewedApplication{}, bad: map[api.Key]bool{},
	}
	payload := map[manifest.ID]bool{}
	for _, a := range in.Walk.Applications {
		c.apps[a.Key] = a
		for _, o := range a.Application.Objects {
			payload[o.ID()], c.given[o.ID()] = true, true
		}
	}
	for _, a := range in.Whole.Applications {
		for _, o := range a.Application.Objects {
			c.given[o.ID()] = true
			c.own[o.ID()] = !payload[o.ID()]
		}
	}
	for key := range in.Walk.Nodes {
		id := idOf(key)
		c.given[id], c.graph[id] = true, true
	}
	for _, k := range in.Flux.kustomizations() {
		for _, id := range inventory(k) {
			c.owned[id] = true
		}
	}
	for _, p := range in.Walk.Problems {
		c.bad[p.Key] = true
	}
	return c
}

// idOf returns the name of an object of the graph in the cluster.
func idOf(key api.Key) manifest.ID {
	id := manifest.ID{Kind: key.Kind, Namespace: key.Namespace, Name: key.Name}
	if kind, err := api.FindKind(key.Kind); err == nil {
		id.Group = kind.Group
	}
	return id
}

func (c *comparison) key(o *manifest.Object) api.Key {
	return api.KeyOf(o).In(c.Walk.Cluster)
}

// kustomization compares one Kustomization of Flux with its Application.
func (c *comparison) kustomization(k *manifest.Object) Kustomization {
	out := describe(k)
	out.InCluster = true
	app, rendered := c.apps[c.key(k)]
	out.Rendered = rendered
	for _, id := range inventory(k) {
		switch {
		case c.graph[id]:
			out.Graph++
		case c.own[id]:
			out.Flux++
		case c.given[id]:
			out.TakenOver = append(out.TakenOver, id.String())
		case rendered && !c.bad[c.key(k)]:
			out.Left = append(out.Left, id.String())
		}
	}
	if rendered {
		out.New = c.unknown(app)
	}
	slices.Sort(out.TakenOver)
	slices.Sort(out.Left)
	return out
}

// unknown returns the objects of an Application that no inventory has.
func (c *comparison) unknown(app plan.PreviewedApplication) (names []string) {
	for _, o := range app.Application.Objects {
		if !c.owned[o.ID()] {
			names = append(names, o.ID().String())
		}
	}
	slices.Sort(names)
	return names
}

// added describes a Kustomization that Git has and Flux has not.
func (c *comparison) added(key api.Key, object *api.Object) Kustomization {
	out := Kustomization{Name: key.Name, Namespace: key.Namespace}
	if o, err := object.Parse(); err == nil {
		out = describe(o)
	}
	app, rendered := c.apps[key]
	if out.Rendered = rendered; rendered {
		out.New = c.unknown(app)
	}
	return out
}

func describe(k *manifest.Object) Kustomization {
	out := Kustomization{Name: k.GetName(), Namespace: k.GetNamespace(), Ready: condition.Unknown}
	out.Path, _, _ = unstructured.NestedString(k.Object, "spec", "path")
	out.Suspended, _, _ = unstructured.NestedBool(k.Object, "spec", "suspend")
	out.Revision, _, _ = unstructured.NestedString(k.Object, "status", "lastAppliedRevision")
	ref, _, _ := unstructured.NestedStringMap(k.Object, "spec", "sourceRef")
	out.Source = ref["kind"] + " " + cmp.Or(ref["namespace"], k.GetNamespace()) + "/" + ref["name"]
	conditions, _, _ := unstructured.NestedSlice(k.Object, "status", "conditions")
	for _, item := range conditions {
		fields, _ := item.(map[string]any)
		if fields["type"] == condition.Ready {
			out.Ready, _ = fields["status"].(string)
			out.Message, _ = fields["message"].(string)
		}
	}
	return out
}

// refused returns the problems of the hub's objects and of the walk, but for sources and remote bases without a folder.
func (c *comparison) refused() []Refusal {
	all := slices.Clone(c.Refused)
	for _, p := range slices.Concat(c.Problems, c.Walk.Problems) {
		r := Refusal{Object: p.Key.Local(), Reason: p.Reason, Message: p.Message}
		source, _ := c.lackingSource(p)
		if source == nil && !c.lacksBase(p.Key) && !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	return all
}

// helmLabel is on the objects that helm-controller makes, HelmCharts among them.
const helmLabel = "helm.toolkit.fluxcd.io/name"

// others returns the objects of Flux that nothing in Git gives, and those of kinds that are passed through.
func (c *comparison) others() (notInGit []string, passed map[string][]string) {
	roots := map[manifest.ID]bool{}
	for _, root := range c.Flux.Roots() {
		roots[manifest.IDOf(root)] = true
		if source := c.Flux.sourceOf(root); source != nil {
			roots[manifest.IDOf(source)] = true
		}
	}
	passed = map[string][]string{}
	for _, o := range c.Flux.Objects {
		id := manifest.IDOf(o)
		if kind, err := api.FindKind(id.Kind); err == nil && !carriedOut(kind) {
			passed[id.GroupKind().String()] = append(passed[id.GroupKind().String()], id.String())
		}
		isMade := len(o.GetOwnerReferences()) > 0 || o.GetLabels()[helmLabel] != "" // by a controller of Flux
		if !c.given[id] && !c.owned[id] && !roots[id] && !isMade {
			notInGit = append(notInGit, id.String())
		}
	}
	return notInGit, passed
}

// keys returns the keys that encrypted files need, by the Secret of the Kustomization.
func (c *comparison) keys() (all []Key) {
	found := map[string]*Key{}
	for _, a := range c.Walk.Applications {
		if len(a.Application.SealedFiles) == 0 {
			continue
		}
		secret := ""
		if d := a.Application.Decryption; d.Name != "" {
			secret = cmp.Or(d.Namespace, a.Key.Namespace) + "/" + d.Name
		}
		k := found[secret]
		if k == nil {
			k = &Key{Secret: secret}
			found[secret] = k
		}
		k.Kustomizations = append(k.Kustomizations, a.Key.Namespace+"/"+a.Key.Name)
		for _, f := range a.Application.SealedFiles {
			k.Files = append(k.Files, f.Path)
			k.Recipients = append(k.Recipients, c.Recipients(f.Path)...)
		}
	}
	for _, secret := range slices.Sorted(maps.Keys(found)) {
		k := found[secret]
		for _, list := range []*[]string{&k.Kustomizations, &k.Files, &k.Recipients} {
			slices.Sort(*list)
			*list = slices.Compact(*list)
		}
		all = append(all, *k)
	}
	return all
}

// notices returns what else an operator must know: flags of Flux's controllers, and Kustomizations that Flux suspends.
func (c *comparison) notices() (all []string) {
	flags := map[string]string{
		"--no-cross-namespace-refs":  "nave-hub needs the same flag",
		"--default-service-account":  "nave-spoke needs the same flag; see docs/tenancy.md",
		"--no-remote-bases":          "nave-hub fetches remote bases only from hosts of --remote-base-host",
		"--watch-label-selector":     "Nave has no shards: all Kustomizations below the roots are taken over",
		"--override-manager":         "Nave takes over the fields of Flux, Argo CD and kubectl only",
		"--sops-age-secret":          "name the Secret in spec.decryption.secretRef of each Kustomization",
		"--feature-gates":            "compare them with docs/limits.md",
		"--custom-apply-stage-kinds": "Nave has no such flag: use spec.dependsOn",
	}
	for _, controller := range c.Flux.Controllers {
		if controller.Name != kustomizeController {
			continue
		}
		for _, arg := range controller.Args {
			name, value, _ := strings.Cut(arg, "=")
			if advice := flags[name]; advice != "" && value != "false" {
				all = append(all, fmt.Sprintf("kustomize-controller runs with %s: %s", arg, advice))
			}
		}
	}
	for _, namespace := range c.operated() {
		all = append(all, "the Flux Operator manages Flux in the namespace "+namespace+", and would resume and install it "+
			"again: take its FluxInstance, and the HelmReleases of the operator, out of Git before the spoke is deployed")
	}
	for _, k := range c.Flux.kustomizations() {
		if d := describe(k); d.Suspended {
			all = append(all, fmt.Sprintf("Kustomization %s/%s is suspended in the cluster. If Git does not suspend it, Nave "+
				"applies it: nave suspend kustomization %s --namespace %s --cluster %s keeps it as it is", d.Namespace, d.Name,
				d.Name, d.Namespace, c.Walk.Cluster))
		}
	}
	return all
}
