// Package api is the nouns that users write: Flux's kinds, in any version of theirs, and the fleet.nave.io kinds, with
// their defaults and their validation.
//
// What a user wrote goes through Admit, once, before it is stored:
//
//  1. its kind is looked up, and whether it may stand in this scope: the hub's own, or a cluster's graph;
//  2. an old apiVersion becomes the current one;
//  3. status and what an API server adds to metadata go, defaults come;
//  4. every field is decoded strictly and checked.
//
// A field that Flux's schema has is either carried out or refused with a message that names the field and the way out.
// Nothing is dropped in silence: an object that half works is worse than one that is refused. The exceptions are the
// fields of old versions that Flux itself has ignored for years (gitImplementation, validation).
//
// An admitted object is an Object, whose views are what the rest of the hub asks for. ExpandTemplate makes a Fleet's
// root for one cluster. All of it is a function of values.
package api
