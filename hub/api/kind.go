package api

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// Role is what the objects of a kind are to the hub. It says which view they have.
type Role int

// The roles.
const (
	NoRole           Role = iota
	ClusterRole           // a Cluster: what bundles are for
	FleetRole             // a Fleet: it gives roots to Clusters
	SourceRole            // where state comes from; its view is Source
	RenderableRole        // it is rendered to an Application; its view is Renderable
	ImageRole             // it reads or updates images
	NotificationRole      // it tells others, or is told
)

// Kind is one kind of object that the hub knows: all that is said of the kind, and what no other package says.
type Kind struct {
	Name       string // GitRepository
	Plural     string // gitrepositories
	Short      string // gitrepo; empty: none
	Group      string
	Version    string   // the one that is stored; older ones are converted
	Older      []string // versions that are converted
	Namespaced bool     // kinds without namespaces are the hub's own: no cluster's graph has them
	Words      []string // the two-word forms of the flux command line, singular
	Role       Role

	// Convert turns an object of an older version into the stored one; nil: they differ in nothing.
	Convert func(o *manifest.Object)
	// Default sets defaults; nil: there are none.
	Default func(o *manifest.Object)
	// Required, Refused and Durations are fields of spec: those that must be set, with an example or nothing; those that
	// are not carried out, with what to do instead; those that hold a duration.
	Required, Refused map[string]string
	Durations         []string
	// Check returns what else is wrong with an object, whose metadata is valid. If Check is nil, nothing carries out the
	// kind yet, and its objects are refused.
	Check func(o *manifest.Object) field.ErrorList

	// Missing is what to do about a reference to an object that does not exist; empty: nothing that is particular to the
	// kind.
	Missing string

	// View returns the view of an admitted object: a *Source, *Renderable, *Cluster or *Fleet, by the role.
	View func(o *Object) (any, error)

	// Columns are what lists print of an object, after where it is; nil: those of the role.
	Columns []Column
}

// Supported reports whether the hub carries out the objects of the kind.
func (k Kind) Supported() bool { return k.Check != nil }

// The API groups of Flux.
const (
	GroupSource       = "source.toolkit.fluxcd.io"
	GroupKustomize    = "kustomize.toolkit.fluxcd.io"
	groupHelm         = "helm.toolkit.fluxcd.io"
	groupImage        = "image.toolkit.fluxcd.io"
	groupNotification = "notification.toolkit.fluxcd.io"
	groupExtensions   = "source.extensions.fluxcd.io"
)

// kinds are all kinds in the order of their files, and byName the same by name: each name belongs to one group.
var (
	kinds  []Kind
	byName = map[string]Kind{}
)

// Register adds a kind. Only the init function in the file of the kind may call it. It panics if the name is taken.
func Register(k Kind) {
	if _, taken := byName[k.Name]; taken {
		panic("api: kind " + k.Name + " is registered twice")
	}
	if k.Columns == nil {
		k.Columns = columnsOfRole(k.Role)
	}
	kinds, byName[k.Name] = append(kinds, k), k
}

// kindOf finds the kind of an object by its group and kind.
func kindOf(o *manifest.Object) (Kind, bool) {
	gk := o.GroupVersionKind().GroupKind()
	k, ok := byName[gk.Kind]
	return k, ok && k.Group == gk.Group
}

// Known reports whether o is of a group whose objects extend the graph and are not sent to a cluster. Admit may refuse
// it all the same: an unknown kind of such a group is not sent to a cluster where nobody reads it.
func Known(o *manifest.Object) bool {
	group := o.GroupVersionKind().Group
	return group != "" && slices.ContainsFunc(kinds, func(k Kind) bool { return k.Group == group })
}

// Kinds returns all kinds that have a name on the command line.
func Kinds() []Kind { return slices.Clone(kinds) }

// KindByName finds a kind by what people type: its name, its plural or short name, in any case, also with its group
// ("kustomizations.kustomize.toolkit.fluxcd.io"), or flux's two words ("source git", "sources git", "source-git").
func KindByName(s string) (Kind, bool) {
	name := strings.Join(strings.Fields(strings.ToLower(s)), " ")
	for _, k := range kinds {
		if name != "" && k.called(name) {
			return k, true
		}
	}
	return Kind{}, false
}

// called reports whether name, in lower case, is one of the kind's.
func (k Kind) called(name string) bool {
	for _, own := range []string{strings.ToLower(k.Name), k.Plural, k.Short} {
		if own != "" && (name == own || k.Group != "" && name == own+"."+k.Group) {
			return true
		}
	}
	name = strings.ReplaceAll(name, "-", " ")
	for _, w := range k.Words {
		first, second, _ := strings.Cut(w, " ")
		if slices.Contains([]string{w, first + "s " + second, w + "s", plural(w)}, name) {
			return true
		}
	}
	return false
}

// plural of the words that end in y.
func plural(w string) string {
	if stem, ok := strings.CutSuffix(w, "y"); ok {
		return stem + "ies"
	}
	return w
}

// supportedOf returns the names of the supported kinds of a role.
func supportedOf(role Role) (names []string) {
	for _, k := range kinds {
		if k.Role == role && k.Supported() {
			names = append(names, k.Name)
		}
	}
	return names
}

// Identity returns how Kubernetes names the object.
func (k Key) Identity() bundle.ObjectIdentity {
	kind := byName[k.Kind]
	return bundle.ObjectIdentity{
		Group: kind.Group, Version: kind.Version, Kind: k.Kind, Namespace: k.Namespace, Name: k.Name,
	}
}
