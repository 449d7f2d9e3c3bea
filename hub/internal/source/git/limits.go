package git

import (
	"cmp"

	"github.com/navefleet/nave/hub/internal/artifact"
)

// Limits bound one fetch. A zero field means the default beside it.
type Limits struct {
	artifact.Limits       // the commit's tree may hold ten times as many entries as Files
	Advertised      int64 // bytes of the server's list of references: 64 MiB
	Pack            int64 // bytes of one transfer: 512 MiB; the objects in it may inflate to eight times that
	Objects         int   // Git objects in one transfer: 1,000,000
}

const (
	inflation  = 8        // inflated bytes of a transfer, as a multiple of Limits.Pack
	entryShare = 10       // entries of a tree, as a multiple of Limits.Files
	maxMessage = 2 << 10  // bytes of a server's message that are read
	maxHeader  = 64 << 10 // bytes of HTTP headers
)

var defaults = Limits{
	Limits:     artifact.DefaultLimits,
	Advertised: 64 << 20,
	Pack:       512 << 20,
	Objects:    1_000_000,
}

// or returns l with other's values where l has none.
func (l Limits) or(other Limits) Limits {
	return Limits{
		Limits:     l.Limits.Or(other.Limits),
		Advertised: cmp.Or(l.Advertised, other.Advertised),
		Pack:       cmp.Or(l.Pack, other.Pack),
		Objects:    cmp.Or(l.Objects, other.Objects),
	}
}
