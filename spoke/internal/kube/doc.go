// Package kube is the client of the Kubernetes API that all of the spoke uses: server-side apply, read, list, delete
// and watch of any kind of object, without typed clients and without caches of objects.
//
// It speaks plain HTTP with JSON bodies over the connection that client-go sets up (kubeconfig or in-cluster account,
// TLS, token reload, HTTP/2 with pings). What an answer says of an object is kept as a Live: a few words of metadata,
// the hash of what our field manager owns, and the object itself only where somebody asked for it. Kinds without health
// are asked for as PartialObjectMetadata, so that neither a ConfigMap's data nor a Secret's comes back over the wire.
//
// 1. Connect makes a Client; As makes another that impersonates a ServiceAccount over the same connections.
// 2. Mapping finds where the API serves a kind: one request for each group and version, ever; Warm fills it from disk.
// 3. Apply is one PATCH; Adopt takes over what kubectl owns; Look, Get, List, Delete and Watch do what they say.
// 4. Every error is an *Error with a Reason. Text of the API server is read in error.go and nowhere else.
package kube
