package oci

import "github.com/navefleet/nave/hub/internal/artifact"

// Limits bound one fetch. The defaults are beside the fields.
type Limits struct {
	artifact.Limits       // of the tree, as for all kinds
	Layer           int64 // bytes of a layer as it is transferred: 512 MiB
	Unpacked        int64 // bytes of a layer that is unpacked, with what is ignored: 2 GiB
	Entries         int   // entries of a layer: 400,000
}

// DefaultLimits are those of Limits' doc comment.
var DefaultLimits = Limits{
	Limits: artifact.DefaultLimits, Layer: 512 << 20, Unpacked: 2 << 30, Entries: 400_000,
}

// Limits of all fetches.
const (
	maxTags    = 100_000 // tags of a repository
	maxIndexes = 8       // indexes, one in the other
)
