package graph

import (
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// Input is what a walk starts from. Render, Contents and Last may be expensive. All other fields are plain data.
type Input struct {
	// Cluster is whose graph it is; empty: the hub's.
	Cluster string
	// Roots in the order in which they may claim what they give.
	Roots []Root
	// Previous is the graph as it was last, with the roots that had an owner.
	Previous map[api.Key]Node
	// Entries are the cluster's last plan.
	Entries map[bundle.ApplicationName]bundle.Entry
	// Suspended reports what an operator suspended, whatever its spec says, and which Fleets are suspended.
	Suspended map[api.Key]bool
	// Confirmed are the objects whose removal an operator confirmed: no guard holds it.
	Confirmed map[api.Key]bool
	// LastCluster are the Fleets that select no cluster any more.
	LastCluster map[string]bool
	// NoCrossNamespaceRefs refuses sources of another namespace.
	NoCrossNamespaceRefs bool
	// Guard is what may be removed unconfirmed; zero: DefaultGuard.
	Guard Guard
	// HubSource returns a source of the hub; nil if there is none. For the hub's own graph it is nil.
	HubSource func(api.Key) *api.Object
	// Render renders a level of the graph. It returns one Result for each Work, in the same order.
	Render func([]Work) []Result
	// Contents names the objects in an Application of the last plan.
	Contents func(manifest.Digest) ([]manifest.ID, error)
	// Last returns the revision that a suspended Kustomization was rendered from last (empty: never), and the reason if
	// its last rendering failed (empty: it did not). Nil: every suspended Kustomization is as it should be.
	Last func(api.Key) (revision, failure string)

	waits map[api.Key]problem // the Kustomizations that are held for their dependencies
}

// Root is an object that no Kustomization gives.
type Root struct {
	Key   api.Key
	Owner *api.Key // a Fleet; nil: an operator
	// Object is nil when it cannot be told now; then the last one is held.
	Object *api.Object
	// Err is why Object is nil.
	Err error
}

// Node is one object of the graph and whose it is.
type Node struct {
	Key    api.Key
	Object *api.Object
	Owner  *api.Key // nil: an operator's
	// Orphaned: the owner does not give it any more, but does not prune it either.
	Orphaned bool
	// OrphanOnDelete: it stays when its owner goes.
	OrphanOnDelete bool
	// Held: nobody gives it any more, but its removal is held until an operator confirms it.
	Held bool
	// Confined is what holds it: it is below a Kustomization with a service account. Nil: it is the operators'.
	Confined *api.Confinement
}

// GivenBy returns the owner that gives the object now; nil if it has none or was orphaned.
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
	// SourceName is how messages call the source: "GitRepository namespace/name".
	SourceName string
	SourceKey  string
}

// Result is what came of a Work.
type Result struct {
	// Revision is the one that was tried; empty when there is no artifact.
	Revision string
	Rendered *Rendered
	// Err is why Rendered is nil, and Reason its word.
	Err    error
	Reason string
}

// Rendered is what one render gave. It is shared and never changed.
type Rendered struct {
	Children []Child
	Payload  []bundle.ObjectReference // in the order in which they are applied
	Sealed   []bundle.SealedFile
}

// Child is an object that extends the graph.
type Child struct {
	Key    api.Key     // without a cluster
	Object *api.Object // nil when it is refused
	Err    error       // why it is refused
}

// Application is what one renderable of the graph comes to.
type Application struct {
	Key        api.Key
	Renderable *api.Renderable
	// Rendered is nil when the last Application is held.
	Rendered  *Rendered
	Revision  string
	Held      bundle.Entry // the last one, when Rendered is nil
	Object    *api.Object  // whose view Renderable is; nil when the last Application is held
	Suspended bool
	// ServiceAccount is what it runs with; empty: as the spoke says.
	ServiceAccount string
}

// Finding is what the walk has to say about one object.
type Finding struct {
	Ready     bool
	Reason    string
	Message   string
	Revision  string // rendered; empty when it was not
	Attempted string
	// Suspended leaves all that was said before.
	Suspended bool
	// Held counts the objects that a Kustomization gave and whose removal is held.
	Held int
}

// Graph is the result of a walk.
type Graph struct {
	Nodes        map[api.Key]Node
	Applications []Application // sorted by owner
	// Findings are about nodes, about refused objects that are no nodes, and about the Fleets of roots that conflict.
	Findings map[api.Key]Finding
	// Sources are the keys of the fetches that the walk read.
	Sources map[string]bool
	// HubSources are the sources of the hub that the walk looked for, found or not.
	HubSources map[api.Key]bool
	// Pending are the Kustomizations that have no Application, because they were never rendered. Sorted.
	Pending []api.Key
	// Blind is what holds the Kustomizations that were not rendered as they are now, each once: they may give objects that
	// the walk does not know of. Nil stands for one that may give anything.
	Blind []*api.Confinement
}
