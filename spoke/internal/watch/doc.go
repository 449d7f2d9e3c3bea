// Package watch turns watches of the cluster into observations of what is ours: drift, and changes of health.
//
//  1. The set of watches follows the kinds in the inventory.Index: a kind that comes is listed and then watched, one
//     that goes is dropped. Only objects that carry the spoke's label (inventory.Label) are watched. Kinds without
//     health are watched by their metadata.
//  2. After a list, objects that the index knows and the list did not show are looked for one by one, so that nothing
//     is missed that happened while nobody watched: before the start, or after a 410.
//  3. A watch that ends resumes from its last resourceVersion. One that cannot resume is listed again, with growing
//     pauses.
//  4. A DELETED event may also mean that the label was taken off: a read of the object decides.
//  5. Observations wait in a map by object and the latest wins, so that nothing grows with time. Drift of an object
//     that is repaired again and again is held back (pace).
package watch
