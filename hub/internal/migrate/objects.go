package migrate

import (
	"cmp"
	"errors"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render/kustomize"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/substitution"
)

// Label is the label of the Clusters that the Fleets of HubObjects select.
const Label = "from"

// fluxes is the value of Label, and the name of the Fleet of the bootstrapped root.
const fluxes = "flux"

// Roots returns the Kustomizations that no other Kustomization gives, the bootstrapped one first. Inventories and owner
// labels say who gives what.
func (f *Flux) Roots() (roots []*manifest.Object) {
	given := map[manifest.ID]bool{}
	all := f.kustomizations()
	for _, k := range all {
		for _, id := range inventory(k) {
			if id != manifest.IDOf(k) {
				given[id] = true
			}
		}
	}
	for _, k := range all {
		labels := k.GetLabels()
		name, namespace := labels[kustomize.NameLabel], labels[kustomize.NamespaceLabel]
		other := name != k.GetName() || namespace != k.GetNamespace()
		switch id := manifest.IDOf(k); {
		case given[id], other && f.has(namespace, name):
		case id.Name == api.FluxRoot && id.Namespace == api.FluxRoot:
			roots = slices.Insert(roots, 0, k)
		default:
			roots = append(roots, k)
		}
	}
	return roots
}

// has reports whether the cluster has a Kustomization.
func (f *Flux) has(namespace, name string) bool {
	return slices.ContainsFunc(f.kustomizations(), func(k *manifest.Object) bool {
		return k.GetNamespace() == namespace && k.GetName() == name
	})
}

// ClusterName returns the last folder in the path of the first root. If that is no name for a cluster, ClusterName
// returns "".
func (f *Flux) ClusterName() string {
	for _, root := range f.Roots() {
		p, _, _ := unstructured.NestedString(root.Object, "spec", "path")
		if name := path.Base(path.Clean("/" + p)); len(validation.IsDNS1123Label(name)) == 0 {
			return name
		}
	}
	return ""
}

// RootSource returns the source of the first root. If the cluster does not have the source, RootSource returns nil.
func (f *Flux) RootSource() *manifest.Object {
	for _, root := range f.Roots() {
		return f.sourceOf(root)
	}
	return nil
}

// sourceOf returns the source that a Kustomization names; nil if the cluster does not have it.
func (f *Flux) sourceOf(k *manifest.Object) *manifest.Object {
	ref, _, _ := unstructured.NestedStringMap(k.Object, "spec", "sourceRef")
	namespace := cmp.Or(ref["namespace"], k.GetNamespace())
	for _, o := range f.of(ref["kind"]) {
		if o.GetName() == ref["name"] && o.GetNamespace() == namespace {
			return o
		}
	}
	return nil
}

// passed returns the kinds that the cluster has objects of and the hub does not carry out yet, and those of the sources
// that these objects name, as Kind.group, sorted.
func (f *Flux) passed() (kinds []string) {
	for _, kind := range api.Kinds() {
		if carriedOut(kind) {
			continue
		}
		objects := f.of(kind.Name)
		if len(objects) > 0 {
			kinds = append(kinds, kind.Name+"."+kind.Group)
		}
		for _, o := range objects {
			kinds = append(kinds, namedSources(o)...)
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// namedSources returns the kinds of the sources that an object of a controller of Flux names, as Kind.group.
func namedSources(o *manifest.Object) (kinds []string) {
	for _, path := range [][]string{{"chartRef"}, {"chart", "spec", "sourceRef"}} {
		name, _, _ := unstructured.NestedString(o.Object, append(append([]string{"spec"}, path...), "kind")...)
		kind, known := api.KindByName(name)
		if known && kind.Role == api.SourceRole {
			kinds = append(kinds, kind.Name+"."+kind.Group)
		}
	}
	return kinds
}

// HubObjects returns the objects that the hub needs to run the cluster: the Cluster, each root's source as Flux has it,
// and a Fleet for each root. The Fleets pass through the kinds that the hub does not carry out yet. If keepFlux is set,
// they also keep Flux's components. A root that the hub would refuse, itself or its source, is left out and refused.
func (f *Flux) HubObjects(cluster string, keepFlux bool) (objects []*manifest.Object, refused []Refusal) {
	objects = []*manifest.Object{made(api.ClusterKey(cluster), map[string]any{})}
	objects[0].SetLabels(map[string]string{Label: fluxes})
	sources := map[manifest.ID]bool{}
	for _, root := range f.Roots() {
		admitted, source, err := f.admitRoot(root)
		if err != nil {
			refused = append(refused, Refusal{manifest.IDOf(root).String(), refusedRoot, err.Error()})
			continue
		}
		if id := manifest.IDOf(source); !sources[id] {
			sources[id] = true
			objects = append(objects, source)
		}
		name := fluxes
		if root.GetName() != api.FluxRoot || root.GetNamespace() != api.FluxRoot {
			name = strings.Join([]string{name, root.GetNamespace(), root.GetName()}, "-")
		}
		objects = append(objects, f.fleet(name, cluster, admitted, keepFlux))
	}
	return objects, refused
}

// refusedRoot is the reason of a root that the hub would refuse.
const refusedRoot = "Invalid"

// admitRoot returns a root and its source as the hub would store them.
func (f *Flux) admitRoot(root *manifest.Object) (admitted, source *manifest.Object, err error) {
	if source = f.sourceOf(root); source == nil {
		return nil, nil, errors.New("the cluster does not have the source that spec.sourceRef names")
	}
	if admitted, err = admit(root, api.ClusterGraph); err != nil {
		return nil, nil, err
	}
	source, err = admit(source, api.Hub)
	return admitted, source, err
}

func admit(o *manifest.Object, scope api.Scope) (*manifest.Object, error) {
	admitted, err := api.Admit(asNew(o), scope)
	if err != nil {
		return nil, err
	}
	return admitted.Parse()
}

func made(key api.Key, spec map[string]any) *manifest.Object {
	return &manifest.Object{Object: map[string]any{"apiVersion": api.GroupFleet + "/" + api.Version, "kind": key.Kind,
		"metadata": map[string]any{"name": key.Name}, "spec": spec}}
}

// asNew returns an object as its author wrote it.
func asNew(o *manifest.Object) *manifest.Object {
	spec, _, _ := unstructured.NestedMap(o.Object, "spec")
	delete(spec, "suspend")
	return &manifest.Object{Object: map[string]any{"apiVersion": o.GetAPIVersion(), "kind": o.GetKind(),
		"metadata": map[string]any{"name": o.GetName(), "namespace": o.GetNamespace()}, "spec": spec}}
}

// kustomizeController is Flux's controller of Kustomizations, and its account, which may do everything. The account
// leaves together with Flux.
const kustomizeController = "kustomize-controller"

// fleet returns the Fleet of a root. The name of the cluster in its path becomes a variable.
func (f *Flux) fleet(name, cluster string, root *manifest.Object, keepFlux bool) *manifest.Object {
	template, _, _ := unstructured.NestedMap(asNew(root).Object, "spec")
	if template["serviceAccountName"] == kustomizeController && root.GetNamespace() == api.FluxRoot {
		delete(template, "serviceAccountName")
	}
	escaped, _ := escape(template).(map[string]any)
	if p, ok := escaped["path"].(string); ok {
		segments := strings.Split(p, "/")
		for i, s := range segments {
			if s == cluster {
				segments[i] = "${cluster_name}"
			}
		}
		escaped["path"] = strings.Join(segments, "/")
	}
	spec := map[string]any{
		"clusterSelector": map[string]any{"matchLabels": map[string]any{Label: fluxes}},
		"template": map[string]any{"spec": escaped,
			"metadata": map[string]any{"name": root.GetName(), "namespace": root.GetNamespace()}},
	}
	if kinds := f.passed(); len(kinds) > 0 {
		list := make([]any, len(kinds))
		for i, kind := range kinds {
			list[i] = kind
		}
		spec["passThrough"] = list
	}
	if keepFlux {
		spec["keepFluxComponents"] = true
	}
	return made(api.FleetKey(name), spec)
}

// escape escapes the $ in the strings of v, so that a Fleet's template keeps them.
func escape(v any) any {
	switch v := v.(type) {
	case string:
		return substitution.Escape(v)
	case map[string]any:
		for key, field := range v {
			v[key] = escape(field)
		}
	case []any:
		for i, item := range v {
			v[i] = escape(item)
		}
	}
	return v
}
