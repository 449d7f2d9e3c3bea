package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// Source is what the hub needs to know of a source, whatever its kind.
type Source struct {
	// URL is the server that is asked, and that Secrets must be bound to.
	URL      string
	Interval time.Duration
	Timeout  time.Duration // zero: the fetcher's
	// Provider names whose credentials the hub has to bring, by a helper of its own: aws, azure; empty: none.
	Provider string
	// Secrets are those of its own namespace that the source needs.
	Secrets []SecretReference
	// Plugin says that a credential provider plugin of the hub gives the credentials.
	Plugin bool
	// Succeeded and Failed are the reasons of its Ready condition after a fetch; empty: Succeeded, FetchFailed.
	Succeeded, Failed string
	// Identity is all of the spec that decides what is fetched, as a value that encodes to JSON. Sources of one kind with
	// equal Identity, equal Secrets and equal inputs share one fetch.
	Identity any
	// Inputs are the sources whose artifacts the source reads, and Composition says what it makes of them.
	Inputs      []SourceInput
	Composition Composition

	key, boundKey string
}

// SecretReference is a field of an object that names a Secret.
type SecretReference struct {
	Field string // spec.secretRef
	Name  string
}

// FetchKey is a digest over the kind of a source, what is fetched and with which Secrets. Sources with one key, of
// whatever clusters, share one fetch; FetchOf returns the key of a source that has inputs. bound says that the Secrets
// must be bound to the host and the namespace: that is so for all but the operators' own sources. Who may use a Secret
// never shares a fetch with who may not.
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
	}{Kind: key.Kind, Fetch: s.Identity, Bound: bound && (len(s.Secrets) > 0 || s.Plugin || s.Provider != "")}
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

// Renderable is what the hub needs to know of an object that is rendered to an Application, whatever its kind.
type Renderable struct {
	// Source is the key of what is rendered, without a cluster. SourceKeys says where it may be.
	Source Key
	// Path is what it renders of the source: below the root, clean; "." is all of it.
	Path string
	// Renderer names who renders it; Spec is all of the object that the result depends on, as canonical JSON. Renderables
	// with equal Spec share one render of one artifact.
	Renderer string
	Spec     json.RawMessage
	// Inputs are the objects whose data the render reads beside its source, in the order of the references.
	Inputs []Input
	// SpecWith returns Spec with the data of the Inputs, which are in the same order; Complete calls it. lenient says that
	// variables which nobody gives are replaced by nothing. Nil for a kind that has neither inputs nor variables.
	SpecWith func(inputs []InputData, lenient bool) any

	Interval      time.Duration
	RetryInterval time.Duration
	Timeout       time.Duration

	// Composes: the objects that it renders to are sources, whose artifacts it makes; its readiness includes theirs.
	Composes bool

	Prune          bool
	Wait           bool
	Force          bool
	DeletionPolicy bundle.DeletionPolicy
	ServiceAccount string                 // empty: the one of what it is below, or the spoke's
	Decryption     bundle.SecretReference // the spoke's keys; zero: none
	DependsOn      []Key                  // without a cluster, each once
	// ReadyExpressions say when some of them are ready, in place of their readiness.
	ReadyExpressions []ReadyExpression
	HealthChecks     []bundle.ObjectIdentity // what its readiness hangs on beside its own objects
	// HealthExpressions say how objects of custom kinds are.
	HealthExpressions []bundle.HealthExpressions
	// Namespaces are the namespaces that it names beside its own, with the fields that name them.
	Namespaces []NamespaceReference

	allowNamespaces, allowAccounts []string // by its annotations
}

// ReadyExpression is a CEL expression over the objects dep, a dependency, and self.
type ReadyExpression struct {
	Dependency Key // without a cluster
	Text       string
}

// ExpressesReady reports whether expressions say when a dependency is ready.
func (r *Renderable) ExpressesReady(dependency Key) bool {
	return slices.ContainsFunc(r.ReadyExpressions,
		func(e ReadyExpression) bool { return e.Dependency == dependency.In("") })
}

// NamespaceReference is a field of an object that names a namespace.
type NamespaceReference struct{ Field, Namespace string }

// allow reads the annotations that let what is rendered reach further.
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

// Orphans reports whether what was rendered stays when the object itself is deleted, as Flux's finalizer decides it.
func (r *Renderable) Orphans() bool {
	switch r.DeletionPolicy {
	case bundle.Delete, bundle.WaitForTermination:
		return false
	case bundle.Orphan:
		return true
	}
	return !r.Prune
}

// IsRoot reports whether an object with this owner is a root: an object that a Fleet gives to a cluster.
func IsRoot(owner *Key) bool { return owner != nil && owner.Role() == FleetRole }

// SourceKeys returns where the source that an object of the cluster names may be, in the order in which it is looked
// for: in the graph of the cluster, then in the hub. For a root it is the other way round, so that what the root
// renders cannot cut it off from where it comes from. owner is the owner of the object; nil if it has none.
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

// FleetAbove returns the Fleet that an object comes from, by way of any number of owners; false if there is none.
// ownerOf returns the owner of an object, nil if it has none or its owner does not give it any more.
func FleetAbove(key Key, ownerOf func(Key) *Key) (Key, bool) {
	seen := map[Key]bool{}
	for !seen[key] {
		seen[key] = true
		owner := ownerOf(key)
		if owner == nil {
			return Key{}, false
		}
		if key = *owner; key.Role() == FleetRole {
			return key, true
		}
	}
	return Key{}, false
}
