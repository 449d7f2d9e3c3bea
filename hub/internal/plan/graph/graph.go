package graph

import (
	"encoding/json"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// Input has the values and functions that a walk depends on. Render, Contents, Object and Last may be expensive. All
// other fields are plain data.
type Input struct {
	// Cluster is the cluster of the graph; empty for the hub's own graph.
	Cluster string
	// Roots are in the order in which they claim objects.
	Roots []Root
	// Previous are the nodes of the last walk that had an owner.
	Previous map[api.Key]Node
	// Entries are the cluster's last plan.
	Entries map[bundle.ApplicationName]bundle.Entry
	// Suspended has the objects that an operator suspended, even if their spec does not suspend them, and the suspended
	// Fleets.
	Suspended map[api.Key]bool
	// Resumed ignores what suspends an object in its spec.
	Resumed bool
	// Confirmed are the objects whose removal an operator confirmed; the guard does not hold them.
	Confirmed map[api.Key]bool
	// Joined reports whether the spoke of a Cluster has registered: the guard holds such a Cluster. Nil: none has.
	Joined func(cluster string) bool
	// Unapplied are roots of operators that no hub has, because their owners give them there: no owner adopts them.
	Unapplied map[api.Key]bool
	// LastCluster has the Fleets that no longer select any cluster.
	LastCluster map[string]bool
	// NoCrossNamespaceRefs refuses sources of another namespace.
	NoCrossNamespaceRefs bool
	// LenientSubstitution replaces undefined variables by the empty string.
	LenientSubstitution bool
	// Admissions decide which rendered objects are applied, by the Fleet that they come from; the zero key: no Fleet.
	Admissions map[api.Key]api.Admission
	// Guard limits how much one change removes unconfirmed; zero: DefaultGuard.
	Guard Guard
	// HubSource returns a source of the hub; nil if there is none. For the hub's own graph it is nil.
	HubSource func(api.Key) *api.Object
	// Render renders a level of the graph. It returns one Result for each Work, in the same order.
	Render func([]Work) []Result
	// Contents returns the objects of an Application of the last plan.
	Contents func(manifest.Digest) ([]manifest.ID, error)
	// Object returns an object that an Application has. It is shared, and must not be changed.
	Object func(Application, manifest.ID) (*manifest.Object, error)
	// Shape returns what the cluster answered to a question; false if it did not answer yet. If the spoke cannot be asked,
	// Shape returns an error, and a CallError if a call failed. If Shape is nil, nothing can be asked.
	Shape func(bundle.ShapeQuestion) (Shape, bool, error)
	// Placeholder makes a placeholder; see sealed.Salt.
	Placeholder func(text string, path []string) sealed.Placeholder
	// Sealed returns the SOPS files of an Application, and the name of the keys for them.
	Sealed func(Application) ([]bundle.SealedFile, bundle.SecretReference, error)
	// Last returns the revision that a suspended renderable was last rendered from (empty: never), and the reason if its
	// last render failed (empty: it did not). If Last is nil, every suspended renderable counts as ready.
	Last func(api.Key) (revision, failure string)

	waits    map[api.Key]problem         // renderables that are kept because of their dependencies
	halts    halts                       // more of them
	expected map[manifest.ID]Expectation // their objects, as they were rendered before they were kept
	// lastContents are the objects of Entries, as far as they were read.
	lastContents map[bundle.ApplicationName]map[manifest.ID]bool
}

// Root is an object that no renderable of the graph renders.
type Root struct {
	Key   api.Key
	Owner *api.Key // a Fleet; nil: an operator
	// Object is nil if it is not known now; then the last one is kept.
	Object *api.Object
	// Err is the reason if Object is nil.
	Err error
}

// Node is one object of the graph and its owner.
type Node struct {
	Key    api.Key
	Object *api.Object
	Owner  *api.Key // nil: an operator's
	// Orphaned: the owner no longer renders the object and does not prune it.
	Orphaned bool
	// OrphanOnDelete: the object stays when its owner is deleted.
	OrphanOnDelete bool
	// Held: no owner renders the object, but an operator has to confirm its removal.
	Held bool
	// Confined limits an object below a renderable with a service account. Nil: the object is the operators'.
	Confined *api.Confinement
	// AliasOf is the source of the hub that is used in place of this source; nil: none. See bootstrap.go.
	AliasOf *api.Key
	// Admission decides about the objects of a renderable. It is the last one that its Fleet set.
	Admission api.Admission
}

// GivenBy returns the owner that gives the object now. If the object has no owner or was orphaned, GivenBy returns nil.
func (n Node) GivenBy() *api.Key {
	if n.Orphaned {
		return nil
	}
	return n.Owner
}

// Work is one object to be rendered from one source.
type Work struct {
	Key        api.Key
	Renderable *api.Renderable
	// SourceName is the name of the source in messages: "GitRepository namespace/name".
	SourceName string
	SourceKey  string
	// RequestedAt is the request to reconcile in the object's annotations.
	RequestedAt string
	// Spec is the Renderable's, complete with the data of its Inputs.
	Spec   json.RawMessage
	Inputs []api.InputData
	// FoundAt is the key of the source, in the graph or in the hub, and Source the source itself.
	FoundAt api.Key
	Source  *api.Object
	// Parts are the sources that composed sources among Source and its parts are made of: by the key of the composed
	// source, in the order of api.Source.Inputs.
	Parts     map[api.Key][]api.Given
	Admission api.Admission
	// ServiceAccount is the one that the object runs with: its own, or that of an object above it.
	ServiceAccount string
	// Tenant reports whether the object runs with a service account, its own or that of an object above it.
	Tenant bool
}

// Result is the result of a Work.
type Result struct {
	// Revision is the revision that was tried; empty if there is no artifact.
	Revision string
	Rendered *Rendered
	// Bases are the sources of the remote bases that the render needs, and Notice is what the message of the condition
	// says about them.
	Bases  []Base
	Notice string
	// If Rendered is nil, Err is the cause, and Reason the reason of the condition. With the reason Suspended, the last
	// Application is kept as that of a suspended renderable.
	Err    error
	Reason string
}

// Rendered is the result of one render. It is shared and never changed.
type Rendered struct {
	Children []Child
	Payload  []bundle.ObjectReference // in the order in which they are applied
	Sealed   []bundle.SealedFile
	// LeftOut is the number of objects that are components of Flux itself and are not applied.
	LeftOut int
	// HubGenerates is set if a template looks into a value that it generates, so that the hub generates the value.
	HubGenerates bool
	// Substitution is the part of the substitution that the spoke does; nil: there is none.
	Substitution *bundle.Substitution
	// Release has what a chart renders beside the objects: chart, values, notes and definitions; nil: it is no release.
	Release *bundle.Release
	Hooks   []bundle.Hook
}

// Child is an object that extends the graph.
type Child struct {
	Key    api.Key     // without a cluster
	Object *api.Object // nil if it is refused
	Err    error       // the reason if it is refused
}

// Application is the result of one renderable of the graph.
type Application struct {
	Key        api.Key
	Renderable *api.Renderable
	// Rendered is nil if the last Application is kept.
	Rendered *Rendered
	// Inputs are the data that it was rendered with.
	Inputs    []api.InputData
	Revision  string
	Last      bundle.Entry // the last Application, if Rendered is nil
	Object    *api.Object  // Renderable is its decoded form; nil if the last Application is kept
	Suspended bool
	// Itself is the key, without a cluster, under which Rendered.Children has the renderable itself.
	Itself api.Key
	// ServiceAccount is the account that the spoke uses; empty: the spoke's own.
	ServiceAccount string
}

// Finding is the result of the walk for one object.
type Finding struct {
	Ready   bool
	Reason  string
	Message string
	// Notice is what the operator should know although the build succeeded. It begins with "; ", for the end of a message.
	Notice    string
	Revision  string // the rendered one; empty if it was not rendered
	Attempted string
	// NotYet: the object is not ready, and only waits for something that is expected to pass without an operator.
	NotYet bool
	// Suspended: the earlier condition of the object stays.
	Suspended bool
}

// Graph is the result of a walk.
type Graph struct {
	Nodes        map[api.Key]Node
	Applications []Application // sorted by owner
	// Findings are about nodes, about refused objects that are not nodes, and about the Fleets of conflicting roots.
	Findings map[api.Key]Finding
	// Sources are the keys of the fetches that the walk read.
	Sources map[string]bool
	// HubSources are the sources of the hub that the walk looked for, found or not.
	HubSources map[api.Key]bool
	// Questions are what has to be asked of the spoke; those without an answer come first. Asked has the IDs of these, and
	// of those whose answers were used. Waiting has the renderables that wait for an answer.
	Questions []bundle.ShapeQuestion
	Asked     map[string]bool
	Waiting   map[api.Key]bool
	// Pending are the renderables without an Application, because they were never rendered. Sorted.
	Pending []api.Key
	// Blind has the limits of the renderables that were not rendered as they are now, each limit once: they may render
	// objects that the walk does not know. Nil means a renderable without limits.
	Blind []*api.Confinement
	// Expected are the objects of renderables that were rendered and are kept as they were: because of a dependency, or
	// because another Application has one of their objects.
	Expected map[manifest.ID]Expectation
}

// Expectation is the renderable that is going to have an object, and the account that the spoke will use for it; empty:
// the spoke's own.
type Expectation struct {
	By             api.Key
	ServiceAccount string
}
