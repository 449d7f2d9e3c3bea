// Package migrate reports what becomes of a cluster that Flux runs when Nave takes the cluster over.
//
//  1. Read reads Flux's objects out of the cluster: specifications, statuses, inventories, controllers. It only lists.
//  2. Flux.HubObjects returns the objects that the hub needs: a Cluster, the sources of Flux's roots, and a Fleet for
//     each root. The caller walks a checkout with them as the hub would (plan.Preview).
//  3. Compare compares the walk with the inventories, and returns a Report: what is taken over, refused, left, and the
//     commands of the migration.
//
// The package reads no Secret. Texts of the cluster are in a Report as they are; who prints them makes them visible.
package migrate
