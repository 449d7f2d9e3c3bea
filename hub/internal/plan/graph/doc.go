// Package graph walks what one cluster, or the hub itself, is given: from its roots to the objects they render, to the
// objects those render, until nothing new is found. It is a function of values: what a Kustomization renders to is
// asked of a function that is passed in, and nothing is written.
//
// A walk is passes until one agrees with itself; nearly always that is the first. They are needed because what is
// rendered may give, change or take away the source of what was rendered. A pass follows the last as a reconciliation
// follows another in Flux: what it holds is what the last pass found. A pass is these steps:
//
//  1. take     the roots: what Fleets give a cluster, or what operators gave the hub (walk.go)
//  2. resolve  the source of each Kustomization found: in the graph itself first, then in the hub; for a Fleet's root,
//     in the hub first; never one that somebody gives who may do less (source.go)
//  3. expand   render those that have one, a whole level at a time, and take the objects they give (expand.go)
//  4. hold     keep what those gave last that cannot be rendered now (hold.go)
//  5. leave    keep what its owner gave last and does not prune (leave.go)
//
// If no pass agrees with itself, the walk starts again from the previous graph and holds what depends on the objects
// that kept changing (unstable.go). A finding names them, and the next walk finds the same.
//
// And then, over the graph as it is found:
//
//  6. overlap  no two Applications may hold the same object (overlap.go)
//  7. depend   hold what dependsOn keeps waiting, and walk again (depend.go)
//
// # Who owns an object
//
// An object of the graph has one owner: the Kustomization that renders it, or the Fleet or operator it comes from. The
// one that had it before keeps it, else the one that is found first; another that gives it too is told so, and all else
// that it gives goes on. A Kustomization that gives itself is an update of itself, and is rendered again as it says
// now.
//
// # Who may what
//
// What a Kustomization with a service account renders runs with that account and stays in its namespace (confine.go).
// An object below it takes no name from an operator, and no reference of an operator leads to it.
//
// # What is held
//
// An object leaves when an owner that was rendered no longer gives it, and prunes. It does not leave because something
// is broken: a Kustomization that has no source, does not build, is refused or is suspended keeps its last Application
// and what it gave last. So does a Kustomization whose dependencies are missing, not rendered at the revision they
// should have, or in a cycle.
//
// Nor does an object leave because too much of its like leaves with it: the guard holds what one change should not
// remove by itself, until it is given again or an operator confirms its removal (guard.go).
//
// # What is left
//
// An object that its owner gives no more and does not prune is left, like the live object that Flux would leave in the
// cluster: it stays as it was last, and is rendered on, from its own source. That is so
//
//   - when the owner has prune: false, or began to prune only in the same commit by rendering itself
//   - when the object is annotated kustomize.toolkit.fluxcd.io/prune: disabled, reconcile: disabled or ssa: Ignore
//   - when the owner itself is gone and orphans: deletionPolicy: Orphan, or MirrorPrune (the default) with prune:
//     false, or suspended. With deletionPolicy Delete and WaitForTermination what it gave goes, but for what is
//     annotated
//
// What was left stays left, whatever becomes of its owner and the owner's prune, until its owner gives it again,
// another gives it (then it is that one's), or an operator deletes it or applies it as theirs.
//
// A Fleet has no prune. A root leaves with its Fleet, or when the Fleet does not select the cluster any more, as if
// somebody had deleted that Kustomization: its own deletionPolicy and prune decide about what it gave, here and in the
// cluster. A root that is annotated is left itself.
package graph
