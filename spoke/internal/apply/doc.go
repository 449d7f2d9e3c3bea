// Package apply brings the objects of one Application into the cluster, and out of it again.
//
// An apply sends the objects stage by stage (manifest.Stage), those of one stage at the same time:
//
//  1. skip   objects that are recorded with the same digest and did not drift: no request
//  2. save   the inventory in which every object that is about to change is marked, so that a crash loses no object
//  3. load   the plaintext of an object, when there is memory for it, and only for as long as it is being sent
//  4. apply  one PATCH an object; fields of kubectl and of Flux are taken over; if an immutable field changes and
//     force is allowed, the object is made anew
//  5. prune  objects that left, after everything was applied, in reverse order, Namespaces last
//  6. save   the inventory as it is now
//
// An object that the API server refuses fails alone; the error names the object and is redacted.
//
// Objects that another application of the current bundle wants (Target.Claimed) are left to that application. The Index
// needs no other writer: an apply and a deletion keep it up to date, and an apply repairs exactly the objects that
// drifted by the Index. Apply and Delete return an error if they could not go on (the context ended, the API server
// does not answer, the state cannot be written); errors of single objects are in the ChangeSet.
//
// A Guard stops a bundle that would empty the cluster; Set.Confirmed lets exactly the prune pass that an operator
// confirmed.
package apply
