// Package kube is the spoke's client of the Kubernetes API: server-side apply, read, list, delete and watch of any kind
// of object, without typed clients and without caches of objects.
//
// The client sends plain HTTP with JSON bodies over the connection that client-go sets up (kubeconfig or in-cluster
// account, TLS, token reload, HTTP/2 with pings). It returns an object as a Live: some metadata, the hash of the fields
// that our field manager owns, and the object itself only if the caller asked for it. Kinds without health are asked
// for as PartialObjectMetadata, so that the data of ConfigMaps and Secrets does not come back over the wire.
//
//  1. Connect returns a Client; As returns another that impersonates a ServiceAccount over the same connections.
//  2. Mapping finds where the API serves a kind, with one request for each group and version. Warm takes mappings from
//     disk.
//  3. Apply sends one PATCH; Adopt takes over the fields of kubectl and Flux; Look, Get, List, Delete and Watch read
//     and delete.
//  4. Every error is an *Error with a Reason. Texts of the API server are interpreted in error.go and nowhere else.
package kube
