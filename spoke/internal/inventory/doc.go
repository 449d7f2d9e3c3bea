// Package inventory is what the spoke owns in its cluster.
//
// An Inventory lists the objects of one Application with what was recorded when they were applied: enough to skip them
// while nothing changes, to see drift without their bytes, and to prune them when they leave. It is kept in the spoke's
// state as the bytes of Encode.
//
// An Index holds the inventories of all Applications in memory, by object, for everybody who needs to know at the same
// time what is ours: apply writes it as objects change (Begin, Commit, Abandon), the watchers ask it what an
// observation means (Observe), and the agent reads drift and health from it. Its rules:
//
//  1. An observation of an object that is being applied waits until the apply is over, so that the spoke's own write is
//     never taken for drift, however the answer and the watch race.
//  2. An observation older than what was applied says nothing.
//  3. Drift stays noted until a Commit of the object, so a repair that fails is not forgotten.
package inventory
