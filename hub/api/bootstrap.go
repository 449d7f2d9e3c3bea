package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/manifest"
)

// FluxRoot is the name and the namespace that `flux bootstrap` gives to the Kustomization of a whole cluster, and the
// default name of a Fleet's root.
const FluxRoot = "flux-system"

// fluxAccount is the service account of Flux's own kustomize-controller.
const fluxAccount = "kustomize-controller"

// IsFluxComponent reports whether an object belongs to an installation of Flux, as in gotk-components.yaml: its
// controllers, their definitions and their rights. The Namespace does not count, because other objects are in it.
// Objects about Flux that users wrote, such as monitors and dashboards, have no version label.
func IsFluxComponent(o *manifest.Object) bool {
	labels := o.GetLabels()
	return labels["app.kubernetes.io/part-of"] == "flux" && labels["app.kubernetes.io/version"] != "" &&
		o.GetKind() != "Namespace"
}

// UpdateRoot returns a Fleet's root, updated from the Kustomization for it in Git. The result has the labels, the
// annotations and the spec of inGit, but the name, the source and the path of root. If root or inGit is suspended, the
// result is, too. If root names a service account, the result has that account. UpdateRoot leaves out the account of
// Flux's own controller: like that controller, the root has all rights of the program that applies it.
func UpdateRoot(root, inGit *Object) (*Object, error) {
	updated, err := root.Parse()
	if err != nil {
		return nil, err
	}
	self, err := inGit.Parse()
	if err != nil {
		return nil, err
	}
	updated.SetLabels(union(updated.GetLabels(), self.GetLabels()))
	updated.SetAnnotations(union(updated.GetAnnotations(), self.GetAnnotations()))
	spec, _ := updated.Object["spec"].(map[string]any)
	changes, _ := self.Object["spec"].(map[string]any)
	for name, value := range changes {
		switch {
		case name == "sourceRef" || name == "path":
		case name == "suspend" && spec[name] == true:
		case name == "serviceAccountName" && (spec[name] != nil || value == fluxAccount):
		default:
			spec[name] = value
		}
	}
	return Admit(updated, ClusterGraph)
}

// NamesFluxAccount reports whether a renderable with the key runs with the service account of Flux's own
// kustomize-controller.
func (r *Renderable) NamesFluxAccount(key Key) bool {
	return r.ServiceAccount == fluxAccount && key.Namespace == FluxRoot
}

// WithoutAccount returns a renderable object without its service account.
func WithoutAccount(o *Object) (*Object, error) {
	changed, err := o.Parse()
	if err != nil {
		return nil, err
	}
	if spec, ok := changed.Object["spec"].(map[string]any); ok {
		delete(spec, "serviceAccountName")
	}
	return Admit(changed, ClusterGraph)
}

// union returns the entries of both maps. If both have a key, the entry of b wins. If there are no entries, union
// returns nil.
func union(a, b map[string]string) map[string]string {
	if len(a)+len(b) == 0 {
		return nil
	}
	all := maps.Clone(a)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, b)
	return all
}

// Admission controls how rendered objects for Flux or another controller are treated.
type Admission struct {
	// KeepFlux applies the components of Flux itself (IsFluxComponent) like any other object.
	KeepFlux    bool        `json:"keepFlux,omitempty"`
	PassThrough PassThrough `json:"passThrough,omitempty"`
}

// PassThrough is a set of Flux's kinds whose objects are applied to the cluster, for the controller that runs there:
// sorted names as Kind.group, with commas between them.
type PassThrough string

// PassThroughOf returns the set of all kinds of the lists.
func PassThroughOf(lists ...[]string) PassThrough {
	return PassThrough(strings.Join(slices.Compact(slices.Sorted(slices.Values(slices.Concat(lists...)))), ","))
}

// Has reports whether an object is of a kind of the set.
func (p PassThrough) Has(o *manifest.Object) bool {
	name := o.GroupVersionKind().GroupKind().String()
	return p != "" && strings.Contains(","+string(p)+",", ","+name+",")
}

// checkPassThrough checks a list of kinds whose objects are applied to the cluster.
func checkPassThrough(list []string, at *field.Path) (errs field.ErrorList) {
	for i, name := range list {
		gk := schema.ParseGroupKind(name)
		o := &manifest.Object{}
		o.SetGroupVersionKind(gk.WithVersion("v1"))
		switch {
		case gk.Kind == "" || strings.ContainsAny(name, ", "):
			errs = append(errs, field.Invalid(at.Index(i), name, "want Kind.group, such as "+exampleKind))
		case gk.Group == GroupKustomize || gk.Group == GroupFleet:
			errs = append(errs, field.Forbidden(at.Index(i), fmt.Sprintf("the hub renders every %s itself: remove it", gk.Kind)))
		case !Known(o):
			errs = append(errs, field.Invalid(at.Index(i), name,
				"not a kind of Flux: all other kinds go to the cluster anyway; want Kind.group, such as "+exampleKind))
		}
	}
	return errs
}

const exampleKind = "HelmRelease.helm.toolkit.fluxcd.io"
