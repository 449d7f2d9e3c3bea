package compose

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/internal/artifact"
)

// input is an artifact that the composition reads.
type input struct {
	artifact artifact.Artifact
	name     string                   // for messages
	list     []artifact.File          // sorted by path
	files    map[string]artifact.File // by path
	folders  map[string]bool
}

// open reads the list of an artifact's files.
func (b *build) open(a artifact.Artifact, name string) (*input, error) {
	list, err := b.request.Workspace.Files(a)
	if err != nil {
		return nil, err
	}
	in := &input{
		artifact: a, name: name, list: list, files: map[string]artifact.File{}, folders: map[string]bool{".": true},
	}
	for _, f := range list {
		in.files[f.Path] = f
		markFolders(in.folders, f.Path)
	}
	return in, nil
}

// markFolders adds the folders above a path.
func markFolders(folders map[string]bool, p string) {
	for dir := path.Dir(p); !folders[dir] && dir != "."; dir = path.Dir(dir) {
		folders[dir] = true
	}
}

// below returns the files of a folder, and of those in it.
func (in *input) below(dir string) []artifact.File {
	if dir == "." {
		return in.list
	}
	from, _ := slices.BinarySearchFunc(in.list, dir+"/", func(f artifact.File, at string) int {
		return strings.Compare(f.Path, at)
	})
	to := from
	for to < len(in.list) && strings.HasPrefix(in.list[to].Path, dir+"/") {
		to++
	}
	return in.list[from:to]
}

// maxLinks limits the symlinks that are followed for one path, as on Linux.
const maxLinks = 40

// follow returns f, or the file that the symlink f leads to. If a symlink leads to no file of the artifact, follow
// returns false.
func (b *build) follow(in *input, f artifact.File) (artifact.File, bool, error) {
	for range maxLinks {
		if f.Mode != artifact.Symlink {
			return f, true, nil
		}
		target, err := b.request.Workspace.ReadFile(b.ctx, in.artifact, f, artifact.MaxPath)
		if err != nil {
			return f, false, err
		}
		next, ok := in.files[path.Join(path.Dir(f.Path), string(target))]
		if path.IsAbs(string(target)) || !ok {
			return f, false, nil
		}
		f = next
	}
	return f, false, nil
}

// add adds a file to the result, and replaces a file with the same path. If the path is a folder of the result, or a
// folder of the path is a file, add returns an error.
func (b *build) add(to string, f file) error {
	if err := b.ctx.Err(); err != nil {
		return err
	}
	f.Path = to
	if b.folders[to] {
		return refuse("%s is already a folder of the artifact and cannot be a file", to)
	}
	for dir := path.Dir(to); dir != "."; dir = path.Dir(dir) {
		if _, isFile := b.files[dir]; isFile {
			return refuse("%s is already a file of the artifact and cannot be a folder", dir)
		}
	}
	markFolders(b.folders, to)
	b.files[to] = f
	if len(b.files) > b.limits.Files {
		return fmt.Errorf("%w: the artifact has more than %d files", artifact.ErrLimit, b.limits.Files)
	}
	return nil
}

// copyFile adds a file of an input to the result. A symlink to a file is copied as that file; other symlinks are left
// out.
func (b *build) copyFile(in *input, f artifact.File, to string, merge bool) error {
	f, ok, err := b.follow(in, f)
	if err != nil || !ok {
		return err
	}
	next := file{File: f, of: in, at: f}
	if old, exists := b.files[to]; exists && merge {
		return b.merge(old, next, to)
	}
	return b.add(to, next)
}
