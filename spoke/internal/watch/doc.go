// Package watch turns watches of the cluster into observations of our objects: drift, and changes of health.
//
//  1. The set of watches follows the kinds in the inventory.Index: a new kind is listed and then watched; the watch of
//     a kind that left ends. Only objects with the spoke's label (inventory.Label) are watched. Kinds without health
//     are watched by their metadata.
//  2. After a list, objects that are in the index and not in the list are looked for one by one, so that no change is
//     missed from before the start, or from before a 410.
//  3. A watch that ends resumes from its last resourceVersion. If it cannot resume, the kind is listed again, with
//     growing pauses.
//  4. A DELETED event may also mean that the label was taken off: a read of the object decides.
//  5. Observations wait in a map by object and the latest wins, so that memory does not grow with time. Drift of an
//     object that is repaired again and again is held back (pace).
package watch
