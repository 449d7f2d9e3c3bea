package git

import (
	"bytes"
	"context"
	"errors"
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
	e.made = nil
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
	if !slices.ContainsFunc(e.made, func(o object) bool { return o.id == id }) {
		e.made = append(e.made, object{kind, id, content})
	}
	return id
}

// change returns the tree of a folder in which some files have new contents. The paths are relative to the folder.
func (e *Editor) change(ctx context.Context, tree plumbing.Hash, dir string, files map[string][]byte) (plumbing.Hash,
	error) {
	content, err := e.repository.read(ctx, plumbing.TreeObject, tree, e.fetching.limits.File)
	if err != nil {
		return tree, err
	}
	content = slices.Clone(content)
	below := map[string]map[string][]byte{}
	for name, text := range files {
		if first, rest, isBelow := strings.Cut(name, "/"); !isBelow {
			err = errors.Join(err, replaceEntry(content, dir, name, isFile, func(plumbing.Hash) (plumbing.Hash, error) {
				return e.add(plumbing.BlobObject, text), nil
			}))
		} else if below[first] == nil {
			below[first] = map[string][]byte{rest: text}
		} else {
			below[first][rest] = text
		}
	}
	for _, name := range slices.Sorted(maps.Keys(below)) {
		err = errors.Join(err, replaceEntry(content, dir, name, isFolder, func(old plumbing.Hash) (plumbing.Hash, error) {
			return e.change(ctx, old, dir+name+"/", below[name])
		}))
	}
	if err != nil {
		return tree, err
	}
	return e.add(plumbing.TreeObject, content), nil
}

func isFile(m artifact.Mode) bool   { return m == artifact.Regular || m == artifact.Executable }
func isFolder(m artifact.Mode) bool { return m == folder }

// replaceEntry puts another object in the place of an entry in the content of a tree. No other byte changes.
func replaceEntry(content []byte, dir, name string, fits func(artifact.Mode) bool,
	replace func(plumbing.Hash) (plumbing.Hash, error)) error {
	for rest := content; len(rest) > 0; {
		text, after, ok := bytes.Cut(rest, []byte{' '})
		found, id, isEnded := bytes.Cut(after, []byte{0})
		if !ok || !isEnded || len(id) < len(plumbing.ZeroHash) {
			break
		}
		mode, known := parseMode(string(text))
		if string(found) == name && known && fits(mode) {
			now, err := replace(plumbing.Hash(id[:len(plumbing.ZeroHash)]))
			copy(id, now[:])
			return err
		}
		rest = id[len(plumbing.ZeroHash):]
	}
	return fmt.Errorf("%w: the commit has no %s%s that can be changed", artifact.ErrTree, dir, name)
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
