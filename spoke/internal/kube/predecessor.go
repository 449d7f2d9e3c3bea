package kube

import (
	"encoding/json"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/bundle"
)

// Takeover is the choice of managers whose fields Adopt takes over.
type Takeover struct {
	ByHand bool // those that own fields by hand: Live.Adoptable
	// Application is the one whose objects Flux, Argo CD or Helm applied before; zero: none.
	Application bundle.ApplicationName
}

// Managers returns the managers of a live object whose fields the Takeover includes.
func (t Takeover) Managers(l Live) []string {
	var out []string
	if t.ByHand {
		out = slices.Clone(l.Adoptable)
	}
	seen := map[string]bool{}
	for _, name := range out {
		seen[name] = true
	}
	for _, p := range l.Predecessors {
		if p.owner.is(t.Application) {
			out = appendNew(out, p.Manager, seen)
		}
	}
	return out
}

// includes reports whether the Takeover includes the fields of one entry of a live object.
func (t Takeover) includes(l Live, e metav1.ManagedFieldsEntry) bool {
	return t.ByHand && adoptable(e) ||
		slices.ContainsFunc(l.predecessors(e), func(p Predecessor) bool { return p.owner.is(t.Application) })
}

// Predecessor is a manager that applied the object on behalf of Flux, Argo CD or Helm.
type Predecessor struct {
	Manager string
	owner   owner
}

// owner is what a tool's labels or annotations say an object belongs to. An empty field is not said.
type owner struct {
	kind, namespace, name string
}

// anyName is the name of an owner whose name is not known.
const anyName = "*"

// is reports whether the Application is the owner.
func (o owner) is(app bundle.ApplicationName) bool {
	return o.name != "" && (o.name == app.Name || o.name == anyName) && (o.kind == "" || o.kind == app.Kind) &&
		(o.namespace == "" || o.namespace == app.Namespace)
}

// mark is a label or an annotation, as a path in a field set.
type mark struct {
	in, key string // in: f:labels or f:annotations
}

func label(key string) mark { return mark{"f:labels", key} }

// FluxOwner is the kind of Flux that applies the objects of Kustomizations.
var FluxOwner = schema.GroupVersionKind{Group: kustomizeGroup, Version: "v1", Kind: "Kustomization"}

// IsRelease reports whether an Application is a release of Helm.
func IsRelease(app bundle.ApplicationName) bool { return app.Kind == helmRelease }

// FluxLabels returns the labels of the objects that Flux applied for a Kustomization of the Application's name; nil if
// the Application is none.
func FluxLabels(app bundle.ApplicationName) map[string]string {
	if app.Kind != FluxOwner.Kind {
		return nil
	}
	return map[string]string{kustomizeGroup + "/name": app.Name, kustomizeGroup + "/namespace": app.Namespace}
}

// badge is the proof that a manager applied an object for an owner: the manager owns all marks, and so has set the
// values that the object has now.
type badge struct {
	manager string
	marks   []mark
	owner   func(Live) owner
}

const (
	fluxApplier    = "kustomize-controller"
	helmRelease    = "HelmRelease"
	fluxCLI        = "flux" // it bootstraps a cluster, and puts no marks on objects
	kustomizeGroup = "kustomize.toolkit.fluxcd.io"
	argoTracking   = "argocd.argoproj.io/tracking-id"
	argoInstance   = "app.kubernetes.io/instance"
)

var badges = []badge{
	fluxBadge(fluxApplier, FluxOwner.Kind, kustomizeGroup),
	fluxBadge("helm-controller", helmRelease, "helm.toolkit.fluxcd.io"),
	{"helm", nil, helmOwner},
	{"argocd-controller", []mark{{"f:annotations", argoTracking}}, argoTracked},
	{"argocd-controller", []mark{label(argoInstance)}, func(l Live) owner { return argoOwner(l.Labels[argoInstance]) }},
}

func fluxBadge(manager, kind, group string) badge {
	name, namespace := group+"/name", group+"/namespace"
	return badge{manager, []mark{label(name), label(namespace)}, func(l Live) owner {
		if l.Labels[namespace] == "" {
			return owner{}
		}
		return owner{kind, l.Labels[namespace], l.Labels[name]}
	}}
}

// helmOwner returns the owner of an object of a release. Helm writes no objects of other releases, so what it wrote on
// an object of a HelmRelease is of the same release, whatever the names are.
func helmOwner(l Live) owner {
	if l.Annotations["meta.helm.sh/release-name"] == "" {
		return owner{}
	}
	return owner{kind: helmRelease, name: anyName}
}

// argoTracked reads an annotation APP:GROUP/KIND:NAMESPACE/NAME. A copy of an object has the annotation of the
// original, which names another object.
func argoTracked(l Live) owner {
	app, object, ok := strings.Cut(l.Annotations[argoTracking], ":")
	kind, name, both := strings.Cut(object, ":")
	namespace, name, placed := strings.Cut(name, "/")
	if !ok || !both || !placed || kind != l.ID.Group+"/"+l.ID.Kind || name != l.ID.Name ||
		l.ID.Namespace != "" && namespace != l.ID.Namespace {
		return owner{}
	}
	return argoOwner(app)
}

// argoOwner returns the owner with the name of an application of Argo CD, which is NAMESPACE_NAME outside of the
// namespace of Argo CD.
func argoOwner(app string) owner {
	if namespace, name, ok := strings.Cut(app, "_"); ok {
		return owner{namespace: namespace, name: name}
	}
	return owner{name: app}
}

// predecessors returns the Predecessors that one entry shows. What Flux's CLI applied belongs to the owner that
// kustomize-controller proves on the same object. Fields that controllers write at work, such as finalizers, are in
// entries of their own without marks, and so belong to no Predecessor.
func (l Live) predecessors(e metav1.ManagedFieldsEntry) []Predecessor {
	var out []Predecessor
	if e.Manager == fluxCLI && e.Operation == metav1.ManagedFieldsOperationApply && e.Subresource == "" {
		for _, other := range l.managers {
			for _, p := range l.badges(other) {
				if p.Manager == fluxApplier {
					out = append(out, Predecessor{fluxCLI, p.owner})
				}
			}
		}
	}
	return append(out, l.badges(e)...)
}

// badges returns the Predecessors that an entry proves by itself.
func (l Live) badges(e metav1.ManagedFieldsEntry) []Predecessor {
	var out []Predecessor
	for _, b := range badges {
		if e.Manager != b.manager || e.Subresource != "" || !owns(e, b.marks) {
			continue
		}
		if o := b.owner(l); o.name != "" {
			out = append(out, Predecessor{e.Manager, o})
		}
	}
	return out
}

// owns reports whether an entry owns all of the marks.
func owns(e metav1.ManagedFieldsEntry, marks []mark) bool {
	if e.FieldsV1 == nil {
		return false
	}
	var fields struct {
		Metadata map[string]json.RawMessage `json:"f:metadata"`
	}
	if json.Unmarshal(e.FieldsV1.GetRawBytes(), &fields) != nil {
		return false
	}
	return !slices.ContainsFunc(marks, func(m mark) bool {
		var keys map[string]json.RawMessage
		_ = json.Unmarshal(fields.Metadata[m.in], &keys) // no map has no keys
		_, owned := keys["f:"+m.key]
		return !owned
	})
}
