// Package api holds the kinds of objects that users write: Flux's kinds, in all of their versions, and those of
// fleet.nave.io. Each kind is one file that says its names, versions, defaults, validation, columns and role; Register
// adds it. No other package asks for the kind of an object: they ask for its Role or for the view of its role (Source,
// Renderable, Cluster, Fleet).
//
// An object of a user goes through Admit once, before it is stored:
//
//  1. its kind is looked up, and whether it may be in this scope: the hub or a cluster's graph
//  2. an older apiVersion is converted to the current one
//  3. status and the metadata of API servers are removed, defaults are set
//  4. every field is decoded strictly and checked
//
// A field of Flux's schema is either carried out, or refused with a message that names the field and what to do
// instead. No field is ignored, except for fields of old versions that Flux itself has ignored for years
// (gitImplementation, validation).
//
// The result is an Object: it is stored as it is, and its view is decoded at most once. ExpandTemplate makes the root
// that a Fleet gives to a cluster. Everything in this package is a function of values.
package api
