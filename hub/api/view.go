package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/fluxcd/pkg/apis/meta"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// RegistryPlugin is the Source.Provider of credentials from a credential provider plugin of the hub.
const RegistryPlugin = "plugin"

// Source is the view of a source of any kind.
type Source struct {
	// URL is the address that is fetched from. Secrets must be bound to its server.
	URL      string
	IsGit    bool // URL is that of a Git repository
	Interval time.Duration
	Timeout  time.Duration // zero: the fetcher's
	// Provider gives the credentials: the helper of a cloud (aws, azure) or RegistryPlugin; empty: the Secrets do.
	Provider string
	// Secrets are those of its own namespace that the source needs.
	Secrets []SecretReference
	// NamedHosts: only hosts that the operator named for remote bases may be asked, because the address is not the
	// operator's or a tenant's object but stands in a tree.
	NamedHosts bool
	// Succeeded and Failed are the reasons of its Ready condition after a fetch; empty: Succeeded, FetchFailed.
	Succeeded, Failed string
	// TimeField is the field of the status that has the time of the last fetch without an error: lastScanResult.scanTime.
	// That time is then stored after each fetch, and not only when something changed; nil: there is no such field.
	TimeField []string
	// Identity has all fields of the spec that the fetched artifact depends on, as a value that encodes to JSON. Sources
	// of one kind with equal Identity, equal Secrets and equal inputs share one fetch.
	Identity any
	// Upstream: the server of the only input is asked, with the URL, the Secrets and the provider of that input.
	Upstream bool
	// Offline: no server is asked. What is in the input is enough, with the spec of Upstream.
	Offline bool
	// Inputs are the sources whose artifacts the source reads. Composition describes the artifact that it makes from them.
	Inputs      []SourceInput
	Composition Composition
	// Sharing says which other namespaces may read the source; nil: all.
	Sharing *Sharing
	// Selects are further sources whose revisions the source reads; nil: none.
	Selects *Selection
	// Image is the image whose tags the artifact lists, as it is written; empty: the artifact is something else.
	Image string
	// ChoosesTag: it chooses one of the tags in its only input, and operators may overrule it; see TagControl.
	ChoosesTag bool
	// Writes: a fetch may change what the first input is fetched from. Then that is fetched again.
	Writes bool

	key, boundKey string
}

// SecretReference is a field of an object that names a Secret.
type SecretReference struct {
	Field string // spec.secretRef
	Name  string
	// API says which API gets the Secret; nil: the server that is fetched from does.
	API *ForgeAPI
}

// ForgeAPI is the API of the server that has the pull requests of a Git repository.
type ForgeAPI struct {
	Provider string // one of PullRequestProviders
	Address  string // empty: where the provider has it for the URL of the repository
}

// addSecret adds the Secret that a field names. A nil reference names none.
func addSecret(all []SecretReference, field string, ref *meta.LocalObjectReference) []SecretReference {
	if ref == nil {
		return all
	}
	return append(all, SecretReference{Field: field, Name: ref.Name})
}

// FetchKey returns a digest over the kind of a source, its Identity, its Secrets and its Composition. Sources of all
// clusters with the same key share one fetch; FetchOf returns the key of a source that has inputs. bound means that the
// Secrets must be bound to the host and the namespace, as for all but the operators' own sources. So a source that may
// use a Secret never shares a fetch with one that may not.
func (s *Source) FetchKey(bound bool) string {
	if bound {
		return s.boundKey
	}
	return s.key
}

// identify sets the keys of the fetch.
func (s *Source) identify(key Key) (err error) {
	if s.key, err = s.fetchKey(key, false); err == nil {
		s.boundKey, err = s.fetchKey(key, true)
	}
	return err
}

func (s *Source) fetchKey(key Key, bound bool) (string, error) {
	identity := struct {
		Kind    string   `json:"kind"`
		Fetch   any      `json:"fetch"`
		Secrets []string `json:"secrets,omitempty"` // namespace/name
		Bound   bool     `json:"bound,omitempty"`
		Compose any      `json:"compose,omitempty"`
	}{Kind: key.Kind, Fetch: s.Identity, Bound: bound && (len(s.Secrets) > 0 || s.Provider != "")}
	if len(s.Inputs) > 0 {
		identity.Compose = s.Composition
	}
	for _, ref := range s.Secrets {
		identity.Secrets = append(identity.Secrets, key.Namespace+"/"+ref.Name)
	}
	data, err := json.Marshal(identity)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", key, err)
	}
	return manifest.DigestOf(data).String(), nil
}

// Renderable is the view of an object of any kind that is rendered to an Application.
type Renderable struct {
	// Source is the key of the source, without a cluster. SourceKeys returns the keys that the source may have.
	Source Key
	// Path is the rendered folder of the source: relative to the root, clean; ".": the whole source.
	Path string
	// Renderer names the renderer. Spec has all fields of the object that the result depends on, as canonical JSON.
	// Renderables with equal Spec share one render of one artifact.
	Renderer string
	Spec     json.RawMessage
	// Inputs are the objects whose data the render reads beside its source, in the order of the references.
	Inputs []Input
	// SpecWith returns the complete Spec; Complete calls it. SpecWith is nil for a kind whose Spec is always complete.
	// SpecNeedsSource is set if the Spec depends on the object of the source, too.
	SpecWith        func(SpecInputs) any
	SpecNeedsSource bool
	// Makes is a source that the renderable makes itself, and is rendered from; nil: Source exists by itself.
	Makes *Object
	// Release is the release of Helm that the rendered objects are, without what its chart renders; nil: they are no
	// release. The render of a release is given the facts about the cluster.
	Release *bundle.Release

	Interval      time.Duration
	RetryInterval time.Duration
	Timeout       time.Duration

	// Composes: its rendered objects are sources, whose artifacts it makes. Its readiness includes theirs.
	Composes bool

	Prune          bool
	Wait           bool
	Force          bool
	DeletionPolicy bundle.DeletionPolicy
	ServiceAccount string                 // empty: the one of the renderable above it, or the spoke's
	Decryption     bundle.SecretReference // the spoke's keys, as in a bundle.Application
	DependsOn      []Key                  // without a cluster, each once
	// ReadyExpressions decide whether some of the dependencies are ready, in place of their readiness.
	ReadyExpressions []ReadyExpression
	HealthChecks     []bundle.ObjectIdentity // further objects that must be healthy before it is ready
	// HealthExpressions decide the health of objects of custom kinds.
	HealthExpressions []bundle.HealthExpressions
	// Drift is the drift mode if neither an annotation nor the Cluster or Fleet names one; empty: correct. If DriftNamed
	// is set, the object's spec names it, and only the annotation overrides it.
	Drift      string
	DriftNamed bool
	// Ignore names the fields of its objects that are left as they are in the cluster.
	Ignore []bundle.IgnoreRule
	// Namespaces are the namespaces that it names beside its own, with the fields that name them.
	Namespaces []NamespaceReference

	allowNamespaces, allowAccounts []string // from its annotations
}

// ReadyExpression is a CEL expression over the objects dep, a dependency, and self.
type ReadyExpression struct {
	Dependency Key // without a cluster
	Text       string
}

// ExpressesReady reports whether an expression decides whether a dependency is ready.
func (r *Renderable) ExpressesReady(dependency Key) bool {
	return slices.ContainsFunc(r.ReadyExpressions,
		func(e ReadyExpression) bool { return e.Dependency == dependency.In("") })
}

// NamespaceReference is a field of an object that names a namespace.
type NamespaceReference struct{ Field, Namespace string }

// allow reads the annotations that let the rendered objects use further namespaces and accounts.
func (r *Renderable) allow(annotations map[string]string) {
	r.allowNamespaces = names(annotations[AllowNamespaces])
	r.allowAccounts = names(annotations[AllowServiceAccounts])
	for _, namespace := range r.allowNamespaces {
		r.Namespaces = append(r.Namespaces, NamespaceReference{"annotation " + AllowNamespaces, namespace})
	}
}

// Awaited returns the keys, without a cluster, of the Applications among the health checks.
func (r *Renderable) Awaited() (keys []Key) {
	for _, h := range r.HealthChecks {
		key := Key{Kind: h.Kind, Namespace: h.Namespace, Name: h.Name}
		if key.Role() == RenderableRole && key.Identity().Group == h.Group {
			keys = append(keys, key)
		}
	}
	return keys
}

// Orphans reports whether the rendered objects stay in the cluster if the object itself is deleted. The rules are those
// of Flux's finalizer.
func (r *Renderable) Orphans() bool { return r.DeletionPolicy.Resolve(r.Prune) == bundle.Orphan }

// IsRoot reports whether an object with this owner is a root: an object that a Fleet gives to a cluster.
func IsRoot(owner *Key) bool { return owner != nil && owner.Role() == FleetRole }

// SourceKeys returns the keys that the source of an object may have, in the order of the lookup: in the graph of the
// cluster, then in the hub. For a root the hub comes first, so that the objects that a root renders cannot replace its
// source. owner is the owner of the object; nil if it has none.
func SourceKeys(cluster string, source Key, owner *Key) []Key {
	hubs, own := source.In(""), source.In(cluster)
	switch {
	case cluster == "":
		return []Key{hubs}
	case IsRoot(owner):
		return []Key{hubs, own}
	}
	return []Key{own, hubs}
}

// IsSuspended reports whether a renderable is suspended, itself or with the Fleet that it comes from. suspended reports
// whether an object itself is. ownerOf is that of FleetAbove.
func IsSuspended(key Key, suspended func(Key) bool, ownerOf func(Key) *Key) bool {
	fleet, ok := FleetAbove(key, ownerOf)
	return suspended(key) || ok && suspended(fleet)
}

// FleetAbove returns the Fleet that an object comes from, through any number of owners. If there is none, FleetAbove
// returns false. ownerOf returns the owner of an object, or nil if it has none or its owner does not give it any more.
func FleetAbove(key Key, ownerOf func(Key) *Key) (Key, bool) {
	earlier := key // moved up after 1, 2, 4, … owners: a circle comes back to it
	for n, move := 1, 1; ; n++ {
		owner := ownerOf(key)
		if owner == nil || *owner == earlier {
			return Key{}, false
		}
		if key = *owner; key.Role() == FleetRole {
			return key, true
		}
		if n == move {
			earlier, move = key, 2*move
		}
	}
}
