// Package api defines the kinds of objects that users write: Flux's kinds, in all of their versions, and those of
// fleet.nave.io. Each kind is one file with its names, versions, defaults, validation, columns and role; Register adds
// the kind. Other packages do not depend on the kind of an object. They use its Role or the view of its role (Source,
// Renderable, Cluster, Fleet).
//
// An object of a user goes through Admit once, before it is stored:
//
//  1. its kind is looked up, and must be allowed in this scope: the hub or a cluster's graph
//  2. an older apiVersion is converted to the current one
//  3. status and the metadata of API servers are removed, defaults are set
//  4. every field is decoded strictly and checked
//
// A field of Flux's schema is either implemented, or refused with a message that names the field and the alternative.
// No field is ignored, except for fields of old versions that Flux itself has ignored for years (gitImplementation,
// validation).
//
// The result is an Object, which is stored. Its view is decoded at most once. ExpandTemplate returns the root that a
// Fleet gives to a cluster. All functions of this package depend on their arguments only.
package api
