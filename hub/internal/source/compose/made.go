package compose

import (
	"errors"
	"fmt"
	"os"

	"github.com/navefleet/nave/hub/internal/artifact"
)

// maxMade limits the bytes that one composition merges and unpacks.
const maxMade = 256 << 20

// make adds a file with merged or unpacked content to the result.
func (b *build) make(to string, mode artifact.Mode, content []byte) error {
	if b.made += int64(len(content)); b.made > maxMade {
		return fmt.Errorf("%w: the merged and unpacked files have together more than %s; copy fewer of them",
			artifact.ErrLimit, artifact.FormatSize(maxMade))
	}
	out, err := os.CreateTemp(b.request.Workspace.Tmp, "made-")
	if err != nil {
		return artifact.StorageError(err)
	}
	_, err = out.Write(content)
	if err = errors.Join(err, out.Close(), os.Chmod(out.Name(), mode.Permissions())); err != nil {
		return artifact.StorageError(err)
	}
	f := artifact.File{Mode: mode, Content: artifact.IdentifyContent(content), Size: int64(len(content))}
	return b.add(to, file{File: f, name: out.Name()})
}

// readMade returns the content of a file that make wrote.
func readMade(f file, limit int64) ([]byte, error) {
	if f.Size > limit {
		return nil, fmt.Errorf("%w: %s has more than %s", artifact.ErrLimit, f.Path, artifact.FormatSize(limit))
	}
	text, err := os.ReadFile(f.name)
	return text, artifact.StorageError(err)
}
