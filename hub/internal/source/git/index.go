package git

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/navefleet/nave/shared/manifest"
)

// An index says what an artifact holds: for each file a line "mode size hash<TAB>path", sorted by path. Paths have no
// control characters, so a line is a line. The digest of the artifact is the SHA-256 of its index.

// encodeIndex sorts files and writes their index.
func encodeIndex(files []file) []byte {
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.path, b.path) })
	var b bytes.Buffer
	for _, f := range files {
		fmt.Fprintf(&b, "%s %d %s\t%s\n", f.mode, f.size, f.id, f.path)
	}
	return b.Bytes()
}

// decodeIndex reads what encodeIndex wrote, strictly.
func decodeIndex(text []byte) ([]file, error) {
	var files []file
	for len(text) > 0 {
		line, rest, ok := bytes.Cut(text, []byte("\n"))
		f, err := decodeLine(string(line))
		if err != nil || !ok {
			return nil, fmt.Errorf("%w: line %d of an artifact's index is malformed", ErrStorage, len(files)+1)
		}
		if len(files) > 0 && files[len(files)-1].path >= f.path {
			return nil, fmt.Errorf("%w: line %d of an artifact's index is out of order", ErrStorage, len(files)+1)
		}
		files, text = append(files, f), rest
	}
	return files, nil
}

func decodeLine(line string) (file, error) {
	facts, name, _ := strings.Cut(line, "\t")
	fields := strings.Split(facts, " ")
	if len(fields) != 3 || !isLocal(name) {
		return file{}, strconv.ErrSyntax
	}
	m := mode(fields[0])
	if m != regular && m != executable && m != symlink {
		return file{}, strconv.ErrSyntax
	}
	n, err := strconv.ParseInt(fields[1], 10, 64)
	id, ok := parseHash([]byte(fields[2]))
	if err != nil || !ok || n < 0 || id.String() != fields[2] || strconv.FormatInt(n, 10) != fields[1] {
		return file{}, strconv.ErrSyntax
	}
	return file{path: name, mode: m, id: id, size: n}, nil
}

// isLocal reports whether a path is one that list may have given out.
func isLocal(name string) bool {
	if name == "" || path.Clean(name) != name {
		return false
	}
	return !slices.ContainsFunc(strings.Split(name, "/"), func(step string) bool { return badName(step) != "" })
}

// readIndex reads the index of an artifact on disk and compares it with the digest.
func readIndex(dir string, digest manifest.Digest) ([]file, error) {
	info, err := os.Stat(indexFile(dir))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	if info.Size() > maxIndex {
		return nil, fmt.Errorf("%w: %s is too large", ErrStorage, indexFile(dir))
	}
	text, err := os.ReadFile(indexFile(dir))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	if manifest.DigestOf(text) != digest {
		return nil, fmt.Errorf("%w: %s does not match its digest", ErrStorage, indexFile(dir))
	}
	return decodeIndex(text)
}

// previous is the files of the last artifact, to take unchanged ones from.
type previous struct {
	dir   string // its tree
	files map[content]file
}

// content is what two files must share to be the same file on disk.
type content struct {
	id   plumbing.Hash
	mode mode
}

// openPrevious reads the last artifact's index; without one, nothing is shared.
func openPrevious(dir string, digest manifest.Digest) previous {
	p := previous{dir: dir, files: map[content]file{}}
	files, err := readIndex(dir, digest)
	if err != nil {
		return p // what cannot be shared is written
	}
	for _, f := range files {
		if f.mode != symlink {
			p.files[content{f.id, f.mode}] = f
		}
	}
	return p
}
