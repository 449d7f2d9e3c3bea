package git

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/navefleet/nave/hub/internal/artifact"
)

// Identity is the author of a commit.
type Identity struct{ Name, Email string }

// String returns the identity as commits have it. Like git, it leaves out characters that would end a part of it.
func (i Identity) String() string {
	clean := strings.NewReplacer("<", "", ">", "", "\n", "", "\r", "", "\x00", "").Replace
	return strings.TrimSpace(clean(i.Name)) + " <" + strings.TrimSpace(clean(i.Email)) + ">"
}

// NewCommit is the text of a commit that is to be made.
type NewCommit struct {
	Author  Identity // and committer
	Time    time.Time
	Message string
	Sign    Signer // nil: the commit is not signed
}

// object is a Git object that the server may lack.
type object struct {
	kind    plumbing.ObjectType
	id      plumbing.Hash
	content []byte
}

// Commit makes a commit on top of Head in which files of Head have new contents, by their paths. All other entries of
// all folders stay as they are, byte for byte. The next Push sends the commit, in place of one that was made before.
func (e *Editor) Commit(ctx context.Context, files map[string][]byte, c NewCommit) (Commit, error) {
	e.made, e.has = nil, map[plumbing.Hash]bool{}
	tree, err := e.change(ctx, plumbing.NewHash(e.Head.Tree), "", files)
	if err != nil {
		return Commit{}, err
	}
	content, err := c.encode(tree, plumbing.NewHash(e.Head.ID))
	if err != nil {
		return Commit{}, err
	}
	id := e.add(plumbing.CommitObject, content)
	parsed, err := parseCommit(content)
	return describe(id, parsed), err
}

// add keeps a new object for the next push, once: servers may refuse packs that have an object twice.
func (e *Editor) add(kind plumbing.ObjectType, content []byte) plumbing.Hash {
	id := plumbing.ComputeHash(kind, content)
	if !e.has[id] {
		e.has[id] = true
		e.made = append(e.made, object{kind, id, content})
	}
	return id
}

// change returns the tree of a folder in which some files have new contents. The paths are relative to the folder. No
// other byte changes.
func (e *Editor) change(ctx context.Context, tree plumbing.Hash, dir string, files map[string][]byte) (plumbing.Hash,
	error) {
	content, err := e.repository.read(ctx, plumbing.TreeObject, tree, e.fetching.limits.File)
	if err != nil {
		return tree, err
	}
	content = slices.Clone(content)
	left := byEntry(files)
	for rest := content; len(rest) > 0 && len(left) > 0; {
		var mode artifact.Mode
		var name string
		var id []byte
		if mode, name, id, rest = cutEntry(rest); id == nil {
			break
		}
		now, fits, err := e.replace(ctx, mode, plumbing.Hash(id), dir+name, left[name])
		if err != nil {
			return tree, err
		}
		if fits {
			copy(id, now[:])
			delete(left, name)
		}
	}
	if len(left) > 0 {
		return tree, fmt.Errorf("%w: the commit has no %s%s that can be changed", artifact.ErrTree, dir,
			slices.Min(slices.Collect(maps.Keys(left))))
	}
	return e.add(plumbing.TreeObject, content), nil
}

// replace returns what takes the place of an entry of a folder; false: the entry is not what is to be changed.
func (e *Editor) replace(ctx context.Context, mode artifact.Mode, id plumbing.Hash, path string,
	files map[string][]byte) (now plumbing.Hash, fits bool, err error) {
	text, isFile := files[""]
	switch {
	case isFile && (mode == artifact.Regular || mode == artifact.Executable):
		return e.add(plumbing.BlobObject, text), true, nil
	case len(files) > 0 && !isFile && mode == folder:
		now, err = e.change(ctx, id, path+"/", files)
		return now, true, err
	}
	return id, false, nil
}

// byEntry returns files by the entries of their folder: those below a folder by their paths in it, and a file by "".
func byEntry(files map[string][]byte) map[string]map[string][]byte {
	entries := map[string]map[string][]byte{}
	for path, text := range files {
		name, below, _ := strings.Cut(path, "/")
		if entries[name] == nil {
			entries[name] = map[string][]byte{}
		}
		entries[name][below] = text
	}
	return entries
}

// cutEntry returns the first entry in the content of a tree, and what is behind it. id is a part of the content; nil:
// there is no entry.
func cutEntry(content []byte) (mode artifact.Mode, name string, id, rest []byte) {
	text, after, _ := bytes.Cut(content, []byte{' '})
	found, after, _ := bytes.Cut(after, []byte{0})
	if len(after) < hashSize {
		return "", "", nil, nil
	}
	mode, _ = parseMode(string(text)) // an unknown one is no file and no folder
	return mode, string(found), after[:hashSize], after[hashSize:]
}

// encode returns the commit object.
func (c NewCommit) encode(tree, parent plumbing.Hash) ([]byte, error) {
	who := fmt.Sprintf("%s %d +0000", c.Author, c.Time.Unix())
	headers := fmt.Sprintf("tree %s\nparent %s\nauthor %s\ncommitter %s\n", tree, parent, who, who)
	message := strings.ReplaceAll(strings.ToValidUTF8(c.Message, "\ufffd"), "\x00", "")
	message = "\n" + strings.TrimRight(message, "\n") + "\n"
	if c.Sign == nil {
		return []byte(headers + message), nil
	}
	signature, err := c.Sign([]byte(headers + message))
	if err != nil {
		return nil, err
	}
	lines := strings.ReplaceAll(strings.TrimRight(string(signature), "\n"), "\n", "\n ")
	return []byte(headers + "gpgsig " + lines + "\n" + message), nil
}
