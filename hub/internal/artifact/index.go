package artifact

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/navefleet/nave/shared/manifest"
)

// An index lists what an artifact holds: for each file a line "mode size content<TAB>path", sorted by path. A path with
// a control character or an invalid byte is quoted, so a line is a line. The digest of the artifact is the SHA-256 of
// its index.

// encodeIndex sorts files and returns their index.
func encodeIndex(files []File) []byte {
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	const line = 128 // bytes of most lines
	text := make([]byte, 0, line*len(files))
	for _, f := range files {
		text = append(append(text, f.Mode...), ' ')
		text = append(strconv.AppendInt(text, f.Size, 10), ' ')
		text = append(append(text, f.Content...), '\t')
		text = append(append(text, quotePath(f.Path)...), '\n')
	}
	return text
}

// quotePath returns a path as an index has it.
func quotePath(name string) string {
	if IsPlain(name) && !strings.HasPrefix(name, `"`) {
		return name
	}
	return strconv.Quote(name)
}

// unquotePath is the inverse of quotePath. It accepts only what quotePath returns.
func unquotePath(text string) (string, bool) {
	name, err := strconv.Unquote(text)
	if err != nil || !strings.HasPrefix(text, `"`) {
		name = text
	}
	return name, quotePath(name) == text
}

// decodeIndex reads what encodeIndex returned, strictly.
func decodeIndex(index []byte) ([]File, error) {
	text := string(index) // which the lines share
	files := make([]File, 0, strings.Count(text, "\n"))
	for len(text) > 0 {
		line, rest, ok := strings.Cut(text, "\n")
		f, err := decodeLine(line)
		if err != nil || !ok {
			return nil, fmt.Errorf("%w: line %d of an artifact's index is malformed", ErrStorage, len(files)+1)
		}
		if len(files) > 0 && files[len(files)-1].Path >= f.Path {
			return nil, fmt.Errorf("%w: line %d of an artifact's index is out of order", ErrStorage, len(files)+1)
		}
		files, text = append(files, f), rest
	}
	return files, nil
}

func decodeLine(line string) (File, error) {
	facts, text, _ := strings.Cut(line, "\t")
	mode, facts, _ := strings.Cut(facts, " ")
	size, content, _ := strings.Cut(facts, " ")
	name, ok := unquotePath(text)
	if !ok || !isLocal(name) {
		return File{}, strconv.ErrSyntax
	}
	f := File{Path: name, Mode: Mode(mode), Content: ContentID(content)}
	var err error
	if f.Size, err = strconv.ParseInt(size, 10, 64); err != nil {
		return File{}, err
	}
	if !f.Mode.valid() || !f.Content.valid() || f.Size < 0 || strconv.FormatInt(f.Size, 10) != size {
		return File{}, strconv.ErrSyntax
	}
	return f, nil
}

// valid reports whether m is one of the modes.
func (m Mode) valid() bool { return m == Regular || m == Executable || m == Symlink }

// readIndex reads the index of a tree on disk and compares it with the digest.
func readIndex(tree string, digest manifest.Digest) ([]File, error) {
	name := indexFile(tree)
	info, err := os.Stat(name)
	if err != nil {
		return nil, StorageError(err)
	}
	if info.Size() > maxIndex {
		return nil, fmt.Errorf("%w: %s is too large", ErrStorage, name)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, StorageError(err)
	}
	if manifest.DigestOf(text) != digest {
		return nil, fmt.Errorf("%w: %s does not match its digest", ErrStorage, name)
	}
	return decodeIndex(text)
}

// previous is the files of the last artifact, which the next one shares where they are equal.
type previous struct {
	dir   string // its tree
	all   []File
	files map[identity]File // without symlinks
}

// identity is what two files must share to be the same file on disk.
type identity struct {
	content ContentID
	mode    Mode
}

func (f File) identity() identity { return identity{f.Content, f.Mode} }

// openPrevious reads the index of the last artifact. If there is none, or it cannot be read, nothing is shared.
func (w Workspace) openPrevious(last *Artifact) previous {
	if last == nil {
		return previous{}
	}
	p := previous{dir: filepath.Join(w.Dir, last.Dir), files: map[identity]File{}}
	p.all, _ = readIndex(p.dir, last.Digest)
	for _, f := range p.all {
		if f.Mode != Symlink {
			p.files[f.identity()] = f
		}
	}
	return p
}
