// Package graph walks the graph of one cluster, or of the hub itself: from its roots to the objects that they render,
// to the objects that those render, until no new object is found. A walk is a function of values: it asks a function of
// its Input to render, and writes nothing. It knows roles of objects (sources, renderables, Fleets), not kinds.
//
// A walk makes passes until a pass agrees with itself; nearly always the first pass does. More passes are needed
// because a render may add, change or remove the source of another render. Each pass starts from what the pass before
// it found. The steps of a pass are:
//
//  1. roots    add the roots: those that Fleets give a cluster, or those that operators gave the hub (walk.go)
//  2. resolve  find the source of each renderable: in the graph first, then in the hub; for a Fleet's root, in the hub
//     first; never a source of an owner that may do less (source.go)
//  3. expand   render those that have a source, one level at a time, and add the objects that they render (expand.go)
//  4. keep     keep the last objects of those that cannot be rendered now (keep.go)
//  5. orphans  keep objects that their owner stopped rendering and does not prune (leave.go)
//
// A renderable that reads ConfigMaps or Secrets (its inputs) waits until the Applications that have them are rendered
// (input.go). If no more renders are possible and no Application has an input, the input is live: only the cluster has
// the object.
//
// If no pass agrees with itself, the walk starts again from the previous graph and keeps the renderables that depend on
// the objects that kept changing (unstable.go). A finding names these objects, and the next walk finds the same.
//
// Over the whole graph the walk then
//
//  6. overlap  keeps back an Application that has an object of another Application (overlap.go)
//  7. depend   keeps back renderables whose dependencies are not ready, and walks again (depend.go)
//
// # Owners
//
// An object of the graph has one owner: the renderable that renders it, or the Fleet or operator that it comes from.
// The owner that had the object before keeps it, else the first that is found. Another owner that renders the object
// too gets a finding, and everything else that it renders goes on. A renderable that renders itself updates itself, and
// is rendered again as it is now.
//
// A Cluster that an operator added becomes the object of the renderable of the hub that gives it: Git adopts it with
// its spoke, its plan and its pin. If a Cluster whose spoke has registered leaves Git, its removal is held, and an
// operator can take it over.
//
// # Service accounts
//
// Objects of a renderable with a service account run with that account and stay in its namespace (confine.go). Such an
// object takes no name from an operator, and no reference of an operator leads to it.
//
// # Held objects
//
// An object leaves the graph if its owner was rendered, no longer renders the object, and prunes. It does not leave
// because of a failure: a renderable that has no source, does not build, is refused or is suspended keeps its last
// Application and its last objects. So does a renderable whose dependencies are missing, are not rendered at the
// revision that they should have, or form a cycle.
//
// An object also stays if too many others would leave with it: the guard holds them until they are rendered again or an
// operator confirms their removal (guard.go).
//
// # Orphans
//
// If an owner no longer renders an object and does not prune it, the object is an orphan, like the live object that
// Flux leaves in the cluster: it stays as it was last, and is rendered on from its own source. That is so if
//
//   - the owner has prune: false, or began to prune in the same commit by rendering itself
//   - the object is annotated kustomize.toolkit.fluxcd.io/prune: disabled, reconcile: disabled or ssa: Ignore
//   - the owner itself is gone and has deletionPolicy Orphan, or MirrorPrune (the default) with prune: false, or is
//     suspended. With deletionPolicy Delete and WaitForTermination only annotated objects stay
//
// An orphan stays one, even if its owner changes or leaves, until its owner renders it again, another owner renders it,
// or an operator deletes it or applies it.
//
// A Fleet does not prune. A root leaves with its Fleet, or when the Fleet no longer selects the cluster, as if the root
// had been deleted: its own deletionPolicy and prune decide about its objects, here and in the cluster. An annotated
// root becomes an orphan.
package graph
