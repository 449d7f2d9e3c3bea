package artifact

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/navefleet/nave/shared/manifest"
)

// Until November 2026 an artifact was a tree of files at artifacts/<id>/<digest>/tree, beside an index of one line
// "mode size content<TAB>path" for each file, sorted by path. Its digest was the SHA-256 of the index. Remove this file
// when no hub is upgraded from a commit before that.

// Convert returns an artifact in today's form. If it has this form already, Convert returns it. If an older artifact
// cannot be converted or is not whole, the error is ErrStorage or that of ctx.
func (s *Store) Convert(ctx context.Context, a Artifact) (Artifact, error) {
	home, name := filepath.Split(a.Dir)
	if name != "tree" {
		return a, nil
	}
	id := filepath.Base(filepath.Dir(filepath.Clean(home)))
	files, err := readOlder(filepath.Join(s.dir, home, "index"), a.Digest)
	if err != nil {
		return a, err
	}
	now, err := s.Make(ctx, nil, func(w Workspace, _ *Artifact) (Artifact, error) {
		return w.put(ctx, id, Tree{Revision: a.Revision, Contents: older(s.Path(a))}, files, nil)
	})
	if err == nil {
		err = Verify(ctx, s.Path(now), now.Digest)
	}
	if err != nil {
		return a, err
	}
	a.Dir, a.Digest = now.Dir, now.Digest
	return a, nil
}

// readOlder reads an index and compares it with its digest.
func readOlder(name string, digest manifest.Digest) ([]File, error) {
	text, err := readFile(name, maxRecord)
	if err != nil {
		return nil, StorageError(err)
	}
	if manifest.DigestOf(text) != digest {
		return nil, fmt.Errorf("%w: %s does not match its digest", ErrStorage, name)
	}
	var files []File
	for line := range strings.Lines(string(text)) {
		facts, path, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		fields := strings.Split(facts, " ")
		path, ok := unquotePath(path)
		if !ok || len(fields) != 3 {
			return nil, fmt.Errorf("%w: %s is malformed", ErrStorage, name)
		}
		f := File{Path: path, Mode: Mode(fields[0]), Content: ContentID(fields[2])}
		if f.Size, err = strconv.ParseInt(fields[1], 10, 64); err != nil || !f.Mode.valid() || !f.Content.valid() {
			return nil, fmt.Errorf("%w: %s is malformed", ErrStorage, name)
		}
		files = append(files, f)
	}
	return files, checkPaths(files)
}

// older is the tree of an older artifact. It implements OnDisk.
type older string

// Size implements Contents.
func (o older) Size(f File) (int64, error) { return f.Size, nil }

// Name implements OnDisk.
func (o older) Name(f File) string {
	if f.Mode == Symlink {
		return ""
	}
	return filepath.Join(string(o), filepath.FromSlash(f.Path))
}

// Read implements Contents.
func (o older) Read(_ context.Context, f File, limit int64) ([]byte, error) {
	name := filepath.Join(string(o), filepath.FromSlash(f.Path))
	if f.Mode == Symlink {
		target, err := os.Readlink(name)
		return []byte(target), StorageError(err)
	}
	text, err := readFile(name, limit)
	return text, StorageError(err)
}
