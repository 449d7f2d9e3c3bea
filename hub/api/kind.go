package api

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// Role is the purpose of the objects of a kind. It determines their view.
type Role int

// The roles.
const (
	NoRole           Role = iota
	ClusterRole           // a Cluster, which gets bundles
	FleetRole             // a Fleet, which gives roots to Clusters
	SourceRole            // a source that is fetched; its view is Source
	RenderableRole        // an object that is rendered to an Application; its view is Renderable
	ImageRole             // an object that reads or updates images
	NotificationRole      // an object that sends or receives notifications
	CredentialRole        // a credential in the vault of the hub, which shows no values; never rendered or suspended
)

// Kind is one kind of object that the hub knows. It has all facts about the kind; no other package repeats them.
type Kind struct {
	Name       string // GitRepository
	Plural     string // gitrepositories
	Short      string // gitrepo; empty: none
	Group      string
	Version    string   // the stored version; older ones are converted
	Older      []string // versions that are converted
	Namespaced bool     // kinds without namespaces are the hub's own: no cluster's graph has them
	Words      []string // the two-word forms of the flux command line, singular
	Role       Role
	// NoManifests: the artifacts of the source have no manifests, so a Kustomization cannot name it.
	NoManifests bool
	Derived     bool // only the hub makes objects of the kind: they cannot be applied, committed or named in references

	// Convert turns an object of an older version into the stored one; nil: only apiVersion differs.
	Convert func(o *manifest.Object)
	// Default sets defaults; nil: there are none.
	Default func(o *manifest.Object)
	// Required, Refused and Durations are fields of spec. Required must be set; the value is an example or "". Refused are
	// not implemented; the value is the alternative. Durations are durations.
	Required, Refused map[string]string
	Durations         []string
	// Check returns all errors of an object whose metadata is valid. Its second argument are the errors that checkFields
	// found. If Check is nil, and the Role is not CredentialRole, the hub does not implement the kind, and refuses its
	// objects.
	Check func(o *manifest.Object, found field.ErrorList) field.ErrorList

	// Credentials are the entries of the Secret that spec.secretRef of a source names, for people.
	Credentials string

	// Missing is the advice for a reference to an object that does not exist; "": the kind has no advice of its own.
	Missing string

	// Reasons are the reasons of conditions that only objects of the kind have.
	Reasons []Reason

	// View returns the view of an admitted object: a *Source, *Renderable, *Cluster or *Fleet, by the role.
	View func(o *Object) (any, error)

	// Columns are the columns of lists, after the cluster and the namespace; nil: those of the role.
	Columns []Column
}

// Supported reports whether the hub implements the kind.
func (k Kind) Supported() bool { return k.Check != nil || k.Role == CredentialRole }

// The API groups of Flux.
const (
	GroupSource       = "source.toolkit.fluxcd.io"
	GroupKustomize    = "kustomize.toolkit.fluxcd.io"
	groupHelm         = "helm.toolkit.fluxcd.io"
	groupImage        = "image.toolkit.fluxcd.io"
	groupNotification = "notification.toolkit.fluxcd.io"
	groupExtensions   = "source.extensions.fluxcd.io"
)

// kinds are all kinds in the order of their files. byName has the same kinds by name: each name belongs to one group.
var (
	kinds  []Kind
	byName = map[string]Kind{}
)

// Register adds a kind. Only the init function in the file of the kind may call it. It panics if the name of the kind
// or of a reason is taken.
func Register(k Kind) {
	if _, taken := byName[k.Name]; taken {
		panic("api: kind " + k.Name + " is registered twice")
	}
	if k.Columns == nil {
		k.Columns = columnsOfRole(k.Role)
	}
	addReasons(k)
	kinds, byName[k.Name] = append(kinds, k), k
}

// KindOf finds the kind of an object by its group and kind. If the hub does not know it, KindOf returns false.
func KindOf(o *manifest.Object) (Kind, bool) {
	gk := o.GroupVersionKind().GroupKind()
	k, ok := byName[gk.Kind]
	return k, ok && k.Group == gk.Group
}

// Known reports whether the group of o is one whose objects extend the graph and are not sent to a cluster. Admit may
// still refuse o: an unknown kind of such a group is not sent to a cluster, because no controller there reads it.
func Known(o *manifest.Object) bool {
	group := o.GroupVersionKind().Group
	return group != "" && slices.ContainsFunc(kinds, func(k Kind) bool { return k.Group == group })
}

// Kinds returns all kinds that have a name on the command line.
func Kinds() []Kind { return slices.Clone(kinds) }

// KindByName finds a kind by a name of the command line: its name, its plural or short name, in any case, also with its
// group ("kustomizations.kustomize.toolkit.fluxcd.io"), or flux's two words ("source git", "sources git",
// "source-git"). If there is no such kind, KindByName returns false.
func KindByName(s string) (Kind, bool) {
	name := strings.Join(strings.Fields(strings.ToLower(s)), " ")
	for _, k := range kinds {
		if name != "" && k.called(name) {
			return k, true
		}
	}
	return Kind{}, false
}

// called reports whether name, in lower case, is one of the names of the kind.
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

// plural returns the plural of a word that ends in y, and any other word as it is.
func plural(w string) string {
	if stem, ok := strings.CutSuffix(w, "y"); ok {
		return stem + "ies"
	}
	return w
}

// manifestSources returns the names of the supported kinds of sources with manifests.
func manifestSources() (names []string) {
	for _, k := range kinds {
		if k.Role == SourceRole && k.Supported() && !k.Derived && !k.NoManifests {
			names = append(names, k.Name)
		}
	}
	return names
}

// Identity returns the identity of the object in Kubernetes' terms.
func (k Key) Identity() bundle.ObjectIdentity {
	kind := byName[k.Kind]
	return bundle.ObjectIdentity{
		Group: kind.Group, Version: kind.Version, Kind: k.Kind, Namespace: k.Namespace, Name: k.Name,
	}
}
