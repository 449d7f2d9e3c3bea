// Package source is where state comes from: a Source has a Revision, and fetching it gives an Artifact, one immutable
// tree on disk. The packages below it fetch from one kind of source each.
package source

import (
	"time"

	"github.com/navefleet/nave/shared/manifest"
)

// Artifact is one immutable fetched tree.
type Artifact struct {
	// Revision names the tree as Flux does: main@sha1:…, v1.2.3@sha1:…, sha1:….
	Revision string `json:"revision"`
	// Digest is over the paths, modes and contents of the tree. Equal trees of different revisions have equal digests.
	Digest manifest.Digest `json:"digest"`
	// Dir is the tree's absolute path.
	Dir string `json:"dir"`
	// FetchedAt is when this revision was first seen.
	FetchedAt time.Time `json:"fetchedAt"`
}
