// Package plan decides what every cluster should run. It watches the objects that users wrote and the artifacts that
// were fetched, and keeps three tables up to date: the objects of each cluster's graph (Resources), their Conditions,
// and the Plan of each cluster: its Applications, by digest.
//
// The steps of a round are:
//
//  1. note     mark the graphs that read a changed row (affected.go)
//  2. hub      walk the hub's own graph first: Clusters and Fleets may come from it (round.go)
//  3. walk     walk the marked clusters, each from its Fleets' templates (walk.go, package graph)
//  4. render   render objects without an earlier render, outside of any transaction (render.go, package render/cache)
//  5. compile  encode Applications and compute their digests (compile.go)
//  6. commit   write blobs, then the rows of some graphs in each transaction (commit.go, condition.go)
//
// # Cost
//
// The cost of a round depends on the change, not on the fleet. The planner remembers the rows that the last walk of
// each graph read: sources, sources of the hub that were found or missed, Fleets. A change marks only the graphs that
// read it. Equal specifications over equal trees are rendered once for all clusters, and not again after a restart
// (package render/cache). Equal objects over one render are one Application, encoded once.
//
// # Transactions
//
// The rows of a graph are written in one transaction, after the blobs that they name. A round that is cut off has
// written some graphs. After a restart every graph is walked again. If a graph was written before, the walk finds it
// unchanged, renders no object and writes no row.
//
// # Revisions
//
// If a commit does not change an Application, its digest stays, but the revision of its entry changes. Flux does so,
// its users wait for lastAppliedRevision to reach their commit, and dependsOn between two objects of one source
// compares revisions. The price is one signature and one envelope of some hundred bytes for each application and
// cluster. No blob is sent, and the spoke makes no request to its API server for it.
//
// # Two writers
//
// Package fetch writes the Condition of a source. The planner writes it only for a source that was refused and has no
// earlier version. If there is an earlier version, package fetch goes on with that, and the condition of the object
// that gives the source names the error. Operators own RequestedAt and Suspended of a Resource. A commit
// does not change them, but a new request in the annotations takes the place of RequestedAt.
package plan
