package git

import (
	"cmp"
	"fmt"
	"io"
	"time"
)

// Limits bound one fetch, and Caches all of them. A zero field means the default beside it.
type Limits struct {
	Timeout    time.Duration // of the whole fetch: 60 s; at most maxTimeout
	Advertised int64         // bytes of the server's list of references: 64 MiB
	Pack       int64         // bytes of one transfer: 512 MiB; the objects in it may inflate to eight times that
	Objects    int           // Git objects in one transfer: 1,000,000
	Total      int64         // bytes of all files of the artifact: 1 GiB
	Files      int           // files of the artifact: 100,000; the commit's tree may hold ten times as many entries
	File       int64         // bytes of one file: 64 MiB
	Caches     int64         // bytes on disk of the caches of all repositories, which Sweep keeps: 4 GiB
}

// maxTimeout is the most that a request gets: a slow server holds a worker for so long.
const maxTimeout = 10 * time.Minute

const (
	inflation  = 8        // inflated bytes of a transfer, as a multiple of Limits.Pack
	entryShare = 10       // entries of a tree, as a multiple of Limits.Files
	maxDepth   = 256      // folders within folders
	maxPath    = 4095     // bytes of a path
	maxName    = 255      // bytes of a name
	maxTarget  = 4095     // bytes of a symlink's target
	maxIgnore  = 1 << 20  // bytes of one .sourceignore
	maxIndex   = 1 << 30  // bytes of an artifact's index
	maxMessage = 2 << 10  // bytes of a server's message that are read
	maxQuoted  = 500      // bytes of a server's text that an error quotes
	maxError   = 2 << 10  // bytes of an error's text
	minSecret  = 4        // bytes of a credential that is looked for in an error's text
	maxHeader  = 64 << 10 // bytes of HTTP headers
)

var defaults = Limits{
	Timeout:    time.Minute,
	Advertised: 64 << 20,
	Pack:       512 << 20,
	Objects:    1_000_000,
	Total:      1 << 30,
	Files:      100_000,
	File:       64 << 20,
	Caches:     4 << 30,
}

// or returns l with other's values where l has none.
func (l Limits) or(other Limits) Limits {
	return Limits{
		Timeout:    cmp.Or(l.Timeout, other.Timeout),
		Advertised: cmp.Or(l.Advertised, other.Advertised),
		Pack:       cmp.Or(l.Pack, other.Pack),
		Objects:    cmp.Or(l.Objects, other.Objects),
		Total:      cmp.Or(l.Total, other.Total),
		Files:      cmp.Or(l.Files, other.Files),
		File:       cmp.Or(l.File, other.File),
		Caches:     cmp.Or(l.Caches, other.Caches),
	}
}

// bounded reads at most limit bytes and then fails with ErrLimit, naming what.
type bounded struct {
	io.Reader
	left, limit int64
	what        string
}

func bound(r io.Reader, limit int64, what string) *bounded {
	return &bounded{Reader: r, left: limit, limit: limit, what: what}
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, b.err()
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.Reader.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, b.err()
	}
	return n, err
}

func (b *bounded) err() error {
	return fmt.Errorf("%w: %s has more than %s", ErrLimit, b.what, size(b.limit))
}

// size prints a number of bytes for people.
func size(n int64) string {
	const units = "KMGT"
	if n < 1024 {
		return fmt.Sprintf("%d bytes", n)
	}
	value, unit := float64(n)/1024, 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.4g %ciB", value, units[unit])
}
