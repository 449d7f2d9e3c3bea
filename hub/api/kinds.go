package api

import (
	"slices"
	"strings"

	"github.com/navefleet/nave/shared/manifest"
)

// Kind is one kind of object that the hub knows.
type Kind struct {
	Name       string // GitRepository
	Plural     string // gitrepositories
	Short      string // gitrepo; empty: none
	Group      string
	Version    string // the one that is stored; older ones are converted
	Namespaced bool

	words []string // the two-word forms of the flux command line, singular
	old   []string // versions that are converted
}

// The API groups of Flux.
const (
	GroupSource       = "source.toolkit.fluxcd.io"
	GroupKustomize    = "kustomize.toolkit.fluxcd.io"
	groupHelm         = "helm.toolkit.fluxcd.io"
	groupImage        = "image.toolkit.fluxcd.io"
	groupNotification = "notification.toolkit.fluxcd.io"
	groupExtensions   = "source.extensions.fluxcd.io"
)

// The kinds that Admit accepts.
const (
	GitRepositoryKind = "GitRepository"
	KustomizationKind = "Kustomization"
	ClusterKind       = "Cluster"
	FleetKind         = "Fleet"
	// SecretKind is known by name only: credentials of the hub go to its vault, and Secrets of a cluster are payload.
	SecretKind = "Secret"
)

// kinds are all kinds, those that Admit accepts first.
var kinds = []Kind{
	{
		Name: ClusterKind, Plural: "clusters", Group: GroupFleet, Version: Version,
	},
	{
		Name: FleetKind, Plural: "fleets", Group: GroupFleet, Version: Version,
	},
	{
		Name: GitRepositoryKind, Plural: "gitrepositories", Short: "gitrepo", Group: GroupSource, Version: "v1", Namespaced: true,
		words: []string{"source git"}, old: []string{"v1beta1", "v1beta2"},
	},
	{
		Name: KustomizationKind, Plural: "kustomizations", Short: "ks", Group: GroupKustomize, Version: "v1", Namespaced: true,
		old: []string{"v1beta1", "v1beta2"},
	},
	{Name: SecretKind, Plural: "secrets", Version: "v1", Namespaced: true},

	{Name: "OCIRepository", Plural: "ocirepositories", Short: "ocirepo", Group: GroupSource, Version: "v1",
		Namespaced: true, words: []string{"source oci"}},
	{Name: "Bucket", Plural: "buckets", Group: GroupSource, Version: "v1", Namespaced: true,
		words: []string{"source bucket"}},
	{Name: "HelmRepository", Plural: "helmrepositories", Short: "helmrepo", Group: GroupSource, Version: "v1",
		Namespaced: true, words: []string{"source helm"}},
	{Name: "HelmChart", Plural: "helmcharts", Short: "hc", Group: GroupSource, Version: "v1", Namespaced: true,
		words: []string{"source chart"}},
	{Name: "ExternalArtifact", Plural: "externalartifacts", Short: "ea", Group: GroupSource, Version: "v1",
		Namespaced: true, words: []string{"source external"}},
	{Name: "ArtifactGenerator", Plural: "artifactgenerators", Short: "ag", Group: groupExtensions, Version: "v1beta1",
		Namespaced: true, words: []string{"artifact generator"}},
	{Name: "HelmRelease", Plural: "helmreleases", Short: "hr", Group: groupHelm, Version: "v2", Namespaced: true},
	{Name: "ImageRepository", Plural: "imagerepositories", Short: "imgrepo", Group: groupImage, Version: "v1",
		Namespaced: true, words: []string{"image repository"}},
	{Name: "ImagePolicy", Plural: "imagepolicies", Short: "imgpol", Group: groupImage, Version: "v1", Namespaced: true,
		words: []string{"image policy"}},
	{Name: "ImageUpdateAutomation", Plural: "imageupdateautomations", Short: "iua", Group: groupImage, Version: "v1",
		Namespaced: true, words: []string{"image update"}},
	{Name: "Alert", Plural: "alerts", Group: groupNotification, Version: "v1beta3", Namespaced: true},
	{Name: "Provider", Plural: "providers", Group: groupNotification, Version: "v1beta3", Namespaced: true,
		words: []string{"alert provider"}},
	{Name: "Receiver", Plural: "receivers", Group: groupNotification, Version: "v1", Namespaced: true},
}

// groups are the API groups whose objects are the hub's, whatever their kind. An unknown kind of theirs is refused, not
// sent to a cluster where nobody reads it.
var groups = []string{GroupFleet, GroupSource, GroupKustomize, groupHelm, groupImage, groupNotification,
	groupExtensions}

// Known reports whether o is of a group whose objects extend the graph and are not sent to a cluster. Admit may refuse
// it all the same.
func Known(o *manifest.Object) bool {
	return slices.Contains(groups, o.GroupVersionKind().Group)
}

// Kinds returns all kinds that have a name on the command line, the accepted ones first.
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
	for _, w := range k.words {
		first, second, _ := strings.Cut(w, " ")
		for _, form := range []string{w, first + "s " + second, w + "s", plural(w)} {
			if name == form {
				return true
			}
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

// kindOf finds the kind of an object by its group and kind.
func kindOf(o *manifest.Object) (Kind, bool) {
	gk := o.GroupVersionKind().GroupKind()
	for _, k := range kinds {
		if k.Name == gk.Kind && k.Group == gk.Group {
			return k, true
		}
	}
	return Kind{}, false
}
