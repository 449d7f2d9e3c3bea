package artifact

import (
	"slices"
	"strconv"
	"strings"

	"github.com/navefleet/nave/shared/manifest"
)

// DigestOf returns the digest of a list of files in any order, which depends on their paths, modes, sizes and contents:
// the SHA-256 of one line "mode size content<TAB>path" for each file, sorted by path. Until November 2026 it was the
// digest of an artifact; revisions that were made of it stay what they are.
func DigestOf(files []File) manifest.Digest {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	text := make([]byte, 0, bytesOfRecord*len(files))
	for _, f := range files {
		text = append(append(text, f.Mode...), ' ')
		text = append(strconv.AppendInt(text, f.Size, 10), ' ')
		text = append(append(text, f.Content...), '\t')
		text = append(append(text, quotePath(f.Path)...), '\n')
	}
	return manifest.DigestOf(text)
}
