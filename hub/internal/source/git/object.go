package git

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// maxHeaders limits the bytes of a commit or tag, with its message.
const maxHeaders = 4 << 20

// commit is the part of a commit object that a fetch needs.
type commit struct {
	tree      plumbing.Hash
	parents   []plumbing.Hash
	committed time.Time
	author    string // the name and the address of the author, and of the committer
	committer string
	subject   string // the first line of the message
	message   string
}

// maxCommitText limits the bytes of a text about a commit.
const maxCommitText = 256

// about returns what an artifact keeps of the commit.
func (c commit) about() artifact.Commit {
	return artifact.Commit{Author: c.author, Time: c.committed.UTC(), Subject: c.subject}
}

// commitText returns a text on one line, cut where it is too long.
func commitText(text []byte) string {
	line := strings.Join(strings.Fields(strings.ToValidUTF8(string(text), "\ufffd")), " ")
	if len(line) <= maxCommitText {
		return line
	}
	return strings.ToValidUTF8(line[:maxCommitText-len("…")], "") + "…"
}

// parseCommit parses a commit object: the headers "tree", "parent"…, "author", "committer", in that order. Only the
// first header of each name counts, so a second one further down has no effect.
func parseCommit(content []byte) (commit, error) {
	var c commit
	rest := content
	tree, rest, ok := hashHeader(rest, "tree")
	if !ok {
		return c, fmt.Errorf("%w: a commit without a tree", source.ErrProtocol)
	}
	c.tree = tree
	for {
		parent, next, ok := hashHeader(rest, "parent")
		if !ok {
			break
		}
		c.parents, rest = append(c.parents, parent), next
	}
	author, rest, _ := bytes.Cut(rest, []byte("\n"))
	committer, _, _ := bytes.Cut(rest, []byte("\n"))
	if !bytes.HasPrefix(author, []byte("author ")) || !bytes.HasPrefix(committer, []byte("committer ")) {
		return c, fmt.Errorf("%w: a commit without an author or a committer", source.ErrProtocol)
	}
	c.committed = signatureTime(committer)
	c.author, c.committer = personOf(author), personOf(committer)
	_, text, _ := bytes.Cut(content, []byte("\n\n")) // no header has an empty line
	subject, _, _ := bytes.Cut(bytes.TrimLeft(text, "\n"), []byte("\n"))
	c.subject, c.message = commitText(subject), string(text)
	return c, nil
}

// personOf returns the name and the address in a line "author name <address> time".
func personOf(line []byte) string {
	_, who, _ := bytes.Cut(line, []byte(" "))
	return commitText(who[:bytes.LastIndexByte(who, '>')+1])
}

// hashHeader reads a line "name hash".
func hashHeader(content []byte, name string) (plumbing.Hash, []byte, bool) {
	line, rest, _ := bytes.Cut(content, []byte("\n"))
	text, ok := bytes.CutPrefix(line, []byte(name+" "))
	if !ok {
		return plumbing.ZeroHash, content, false
	}
	id, ok := parseHash(text)
	return id, rest, ok
}

// signatureTime returns the time after the > of a signature line; the zero time if the line is malformed.
func signatureTime(line []byte) time.Time {
	end := bytes.LastIndexByte(line, '>')
	fields := bytes.Fields(line[end+1:])
	if end < 0 || len(fields) == 0 {
		return time.Time{}
	}
	seconds, err := strconv.ParseInt(string(fields[0]), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// parseTag returns the object that a tag object is a tag of.
func parseTag(content []byte) (plumbing.Hash, error) {
	id, _, ok := hashHeader(content, "object")
	if !ok {
		return id, fmt.Errorf("%w: a tag without an object", source.ErrProtocol)
	}
	return id, nil
}

// entry is one line of a tree object.
type entry struct {
	mode artifact.Mode
	name string
	id   plumbing.Hash
}

// Modes of entries that are no files.
const (
	folder    artifact.Mode = "40000"
	submodule artifact.Mode = "160000"
)

// parseTree returns the entries of a tree object, each "mode name\0" and 20 bytes of hash.
func parseTree(content []byte) ([]entry, error) {
	var entries []entry
	names := map[string]bool{}
	for len(content) > 0 {
		text, rest, ok := bytes.Cut(content, []byte{' '})
		name, rest, found := bytes.Cut(rest, []byte{0})
		if !ok || !found || len(rest) < len(plumbing.ZeroHash) {
			return nil, fmt.Errorf("%w: a tree object is cut off", source.ErrProtocol)
		}
		m, ok := parseMode(string(text))
		if !ok {
			return nil, fmt.Errorf("%w: entry %q has the unknown mode %q", artifact.ErrTree, name, text)
		}
		if names[string(name)] {
			return nil, fmt.Errorf("%w: entry %q is there twice", artifact.ErrTree, name)
		}
		names[string(name)] = true
		entries = append(entries, entry{m, string(name), plumbing.Hash(rest[:len(plumbing.ZeroHash)])})
		content = rest[len(plumbing.ZeroHash):]
	}
	return entries, nil
}

// parseMode accepts the modes that Git writes now and those that it wrote long ago.
func parseMode(text string) (artifact.Mode, bool) {
	switch text {
	case "40000", "040000":
		return folder, true
	case "100644", "100664", "100600":
		return artifact.Regular, true
	case "100755", "100775", "100700":
		return artifact.Executable, true
	case "120000":
		return artifact.Symlink, true
	case "160000":
		return submodule, true
	default:
		return "", false
	}
}
