// Package inventory records which objects of the cluster the spoke owns.
//
// An Inventory lists the objects of one Application with a record of their last apply: enough to skip objects that did
// not change, to see drift without the objects' bytes, and to prune objects that leave. The spoke's state keeps an
// Inventory as the bytes of Encode.
//
// An Index holds the inventories of all Applications in memory, by object. Apply writes the Index as objects change
// (Begin, Commit, Abandon), the watchers give it their observations (Observe), and the agent reads drift and
// health from it. The rules of the Index:
//
//  1. An observation of an object that is being applied waits until the apply is over, so that the spoke's own write is
//     never taken for drift, in whichever order answer and watch event come.
//  2. An observation that is older than the last apply is ignored.
//  3. Drift stays noted until a Commit of the object, so that a repair that fails is not forgotten.
package inventory
