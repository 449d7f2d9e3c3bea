// Package plan decides what every cluster should run. It watches the objects that users wrote and the artifacts that
// were fetched, and keeps three tables up to date: the objects of each cluster's graph (Resources), their Conditions,
// and the Plan of each cluster: its Applications, by digest.
//
// A round is these steps:
//
//  1. note     which rows changed, and which graphs read them (affected.go)
//  2. hub      walk the hub's own root first: Clusters and Fleets may come from it (round.go)
//  3. walk     the affected clusters, each from its Fleets' templates (scope.go, package graph)
//  4. render   what no earlier render answers, outside of any transaction (package render/cache)
//  5. compile  Applications and their digests (compile.go)
//  6. commit   blobs, then the rows of some graphs in each transaction (commit.go, condition.go)
//
// # Cost
//
// Cost follows the change. The planner remembers for each graph what the last walk read: sources, sources of the hub
// that were found or missed, Fleets. A change marks the graphs that read it and no others. Equal specifications over
// equal trees are one render, in all clusters and after a restart (package render/cache). Equal objects over one render
// are one Application, encoded once.
//
// # Transactions
//
// The rows of a graph are written in one transaction, and the blobs that they name before. A round that is cut off has
// written some graphs. After a restart every graph is walked again. A graph that was written is found as it was, so
// nothing is rendered and nothing is written for it.
//
// # Revisions
//
// When a commit changes nothing that an Application is made of, its digest stays, but the revision of its entry moves.
// Flux does so, its users wait for lastAppliedRevision to reach their commit, and dependsOn between two objects of one
// source compares revisions. The price is one signature and one envelope of some hundred bytes for each application and
// cluster. No blob is sent, and the spoke makes no request to its API server for it.
//
// # Two writers
//
// Package fetch writes the Condition of a source. The planner writes it only for a source that was refused and has no
// earlier version. If there is an earlier version, fetch goes on with that, and the condition of the object that gives
// the source names the error. Operators own RequestedAt and Suspended of a Resource; a commit does not change them.
package plan
