// Package plan decides what every cluster should run. It watches the objects that users wrote and the artifacts that
// were fetched, and keeps three things true: the objects of each cluster's graph, what the hub made of each of them,
// and the plan of each cluster: its Applications, by digest.
//
// A round is these steps:
//
//  1. note     which rows changed, and which graphs read them (affected.go)
//  2. hub      walk the hub's own root first: Clusters and Fleets may come from it (round.go)
//  3. walk     the affected clusters, each from its Fleets' templates (scope.go, package graph)
//  4. render   what no earlier render answers, outside of any transaction (memo.go)
//  5. compile  Applications and their digests (compile.go)
//  6. commit   blobs, then the rows of some graphs in each transaction (commit.go, outcome.go)
//
// # Cost
//
// Cost follows the change. Of each graph the planner remembers what the last walk read: sources, GitRepositories of the
// hub that were found or missed, Fleets. A change wakes the graphs that read it and no others. Equal specifications
// over equal trees are one render, in all clusters and after a restart: the rows of store.Renders say what a render
// read and what it gave. Equal Kustomizations over one render are one Application, encoded once.
//
// # Nothing is half done
//
// The rows of a graph are written in one transaction, and the blobs that they name before. A round that is cut off has
// written some graphs. After a restart every graph is walked again. A graph that was written is found as it was, so
// nothing is rendered and nothing is written for it.
//
// # Revisions
//
// When a commit changes nothing that an Application is made of, its digest stays, but the revision of its entry moves.
// Flux does so, its users wait for lastAppliedRevision to reach their commit, and dependsOn between two Kustomizations
// of one source compares revisions. The price is one signature and one envelope of some hundred bytes for each
// application and cluster; no blob is sent, and a spoke makes no request to its API server for it.
//
// # Two writers
//
// The Outcome of a GitRepository is written by package fetch. The planner writes one only for a GitRepository that was
// refused and has no earlier version; with an earlier version, fetch goes on with it, and the Kustomization that gives
// it says what is wrong. RequestedAt and Suspended of a Resource belong to operators; a commit keeps what it finds.
package plan
