package git

import "github.com/navefleet/nave/hub/internal/artifact"

// Limits bound one fetch. The defaults are beside the fields.
type Limits struct {
	artifact.Limits       // the commit's tree may hold ten times as many entries as Files
	Advertised      int64 // bytes of the server's list of references: 64 MiB
	Pack            int64 // bytes of one transfer: 512 MiB; the objects in it may inflate to eight times that
	Objects         int   // Git objects in one transfer: 1,000,000
}

const (
	inflation  = 8       // inflated bytes of a transfer, as a multiple of Limits.Pack
	entryShare = 10      // entries of a tree, as a multiple of Limits.Files
	maxMessage = 2 << 10 // bytes of a server's message that are read
)

// DefaultLimits are those of Limits' doc comment.
var DefaultLimits = Limits{
	Limits:     artifact.DefaultLimits,
	Advertised: 64 << 20,
	Pack:       512 << 20,
	Objects:    1_000_000,
}
