//go:build unix

package tree

import (
	"errors"
	"syscall"
)

// isNotDirectory reports that something on the way to a path is no directory, so that nothing can be at the path.
func isNotDirectory(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
