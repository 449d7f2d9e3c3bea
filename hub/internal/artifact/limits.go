package artifact

import (
	"fmt"
	"io"
)

// Limits bound the tree of one artifact. The defaults are beside the fields.
type Limits struct {
	Total int64 // bytes of all files: 1 GiB
	Files int   // files: 100,000
	File  int64 // bytes of one file: 64 MiB
}

// DefaultLimits are those of Limits' doc comment.
var DefaultLimits = Limits{Total: 1 << 30, Files: 100_000, File: 64 << 20}

// Limits of every tree.
const (
	MaxDepth = 256  // folders within folders
	MaxPath  = 4095 // bytes of a path

	maxName   = 255     // bytes of a name
	maxTarget = 4095    // bytes of a symlink's target
	maxIgnore = 1 << 20 // bytes of one .sourceignore
	maxOrigin = 1 << 10 // bytes of each field of an Origin, of a Notice, and of a Summary
	maxStatus = 8 << 10 // bytes of a Status
)

// bounded is the reader of Bound.
type bounded struct {
	io.Reader
	left, limit int64
	what        string
}

// Bound returns a reader of at most limit bytes of r. Reading on is ErrLimit, which names what is read.
func Bound(r io.Reader, limit int64, what string) io.Reader {
	return &bounded{Reader: r, left: limit, limit: limit, what: what}
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.Reader.Read(p)
	if b.left -= int64(n); b.left < 0 {
		err = fmt.Errorf("%w: %s has more than %s", ErrLimit, b.what, FormatSize(b.limit))
	}
	return n, err
}

// FormatSize prints a number of bytes for people: 1.5 MiB.
func FormatSize(n int64) string {
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
