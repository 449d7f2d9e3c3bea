// Package apply brings the objects of one Application into the cluster, and out of it again.
//
// An apply goes stage by stage (manifest.Stage), the objects of a stage at the same time:
//
//  1. skip   what is recorded with the same digest and was not seen to drift: no request
//  2. save   the inventory with everything that is about to change marked as such, so that a crash loses nothing
//  3. load   the plaintext of an object, when there is memory for it, and only for as long as it is being sent
//  4. apply  one PATCH an object; kubectl's fields are taken over; an immutable field is recreated where force allows
//  5. prune  what left, once everything was applied, in reverse order, Namespaces last
//  6. save   the inventory as it is now
//
// An object that the API server refuses fails alone; its error names it and is redacted.
//
// Objects that another application of the current bundle wants (Set.Claimed) are left to it. The Index needs no other
// writer: an apply and a deletion keep it, and an apply repairs exactly the objects that the Index knows to have
// drifted. The error of Apply and Delete is for the whole (the context ended, the API server is away, the state cannot
// be written); what is wrong with single objects is in the ChangeSet.
//
// A bundle that would empty the cluster is stopped by Guard, see there; Set.Confirmed lets exactly the prune pass that
// an operator confirmed.
package apply
