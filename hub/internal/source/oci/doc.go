// Package oci fetches artifacts on OCI registries.
//
// A fetch takes these steps, each in the file of its name:
//
//  1. Connect (package registry): find the credentials and log in. A connection is kept for the next fetch, so a poll
//     that finds nothing new costs one request.
//  2. resolve: choose the digest that the request's digest, version range or tag means now. When that is the revision
//     of the last artifact, the last artifact is the answer and nothing else happens.
//  3. verify: if that is asked for, look for a signature of the digest by an accepted key (cosign).
//  4. pull: read the manifest, choose one layer, and write it to disk while its digest is verified.
//  5. unpack: list the files of the layer. Package artifact then writes the tree.
package oci
