package artifact

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// File is one file of a tree.
type File struct {
	Path    string // slash-separated, relative to the root
	Mode    Mode
	Content ContentID
	Size    int64 // bytes; Put asks Contents for it
}

// Mode is the kind of a file, in Git's notation.
type Mode string

// The modes of files.
const (
	Regular    Mode = "100644"
	Executable Mode = "100755"
	Symlink    Mode = "120000" // the content is the target
)

// valid reports whether m is one of the modes.
func (m Mode) valid() bool { return m == Regular || m == Executable || m == Symlink }

// ContentID identifies the content of a file in hexadecimal digits: 64 are its SHA-256, 40 are Git's SHA-1 of a blob
// that was checked for a forged collision when it arrived.
type ContentID string

// IdentifyContent returns the SHA-256 of a content.
func IdentifyContent(content []byte) ContentID {
	sum := sha256.Sum256(content)
	return ContentID(hex.EncodeToString(sum[:]))
}

// IdentifyBlob returns Git's SHA-1 of a content.
func IdentifyBlob(content []byte) ContentID {
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", len(content))
	h.Write(content)
	return ContentID(hex.EncodeToString(h.Sum(nil)))
}

// valid reports whether id has the form of a ContentID.
func (id ContentID) valid() bool {
	isHex := strings.TrimLeft(string(id), "0123456789abcdef") == ""
	return isHex && (len(id) == 2*sha1.Size || len(id) == 2*sha256.Size)
}

// identifies reports whether id is that of the content.
func (id ContentID) identifies(content []byte) bool {
	if len(id) == 2*sha256.Size {
		return IdentifyContent(content) == id
	}
	return IdentifyBlob(content) == id
}

// Contents gives the contents of files that a fetcher found.
type Contents interface {
	// Size returns the bytes of a file's content.
	Size(f File) (int64, error)
	// Read returns a file's content. More than limit bytes are ErrLimit.
	Read(ctx context.Context, f File, limit int64) ([]byte, error)
}

// checkPaths refuses paths that do not stay in their tree.
func checkPaths(files []File) error {
	for _, f := range files {
		if err := checkPath(f.Path); err != nil {
			return err
		}
	}
	return nil
}

func checkPath(p string) error {
	if !filepath.IsLocal(p) || path.Clean(p) != p || p == "." {
		return fmt.Errorf("%w: the path %.80q has a part that is not allowed", ErrTree, p)
	}
	return nil
}

// checkNames refuses paths that have a bad name, or that a tree on disk cannot hold one beside the other.
func checkNames(files []File) error {
	isFolder := map[string]bool{} // by path
	for _, f := range files {
		if err := checkName(f.Path); err != nil {
			return err
		}
		if _, taken := isFolder[f.Path]; taken {
			return fmt.Errorf("%w: the path %q is there twice", ErrTree, f.Path)
		}
		isFolder[f.Path] = false
		for dir := parent(f.Path); dir != ""; dir = parent(dir) {
			known, taken := isFolder[dir]
			if taken && !known {
				return fmt.Errorf("%w: %q is a file and a folder", ErrTree, dir)
			}
			if isFolder[dir] = true; taken {
				break
			}
		}
	}
	return nil
}

// checkName refuses a path that has a bad name, or is too long.
func checkName(p string) error {
	for name := range strings.SplitSeq(p, "/") {
		if why := BadName(name); why != "" {
			return fmt.Errorf("%w: entry %.80q of %.80q %s; rename it or exclude it in .sourceignore", ErrTree, name, p, why)
		}
	}
	if len(p) > MaxPath || strings.Count(p, "/") > MaxDepth {
		return fmt.Errorf("%w: the path %.80q… has more than %d bytes or %d folders", ErrLimit, p, MaxPath, MaxDepth)
	}
	return nil
}

// isLocal reports whether a path stays in its tree and has good names only.
func isLocal(name string) bool { return checkPath(name) == nil && checkName(name) == nil }

// BadName returns why the name of a file or folder is refused; empty: it is good. Git itself refuses to make entries
// with these names; a tree that has one was made to write where it should not. A name may have any bytes but NUL, as
// on disk: see IsPlain.
func BadName(name string) string {
	switch {
	case name == "":
		return "has no name"
	case name == "." || name == "..":
		return "leads out of its folder"
	case strings.ContainsRune(name, '/'):
		return "has a slash in its name"
	case len(name) > maxName:
		return fmt.Sprintf("has a name of more than %d bytes", maxName)
	case strings.ContainsRune(name, 0):
		return "has a NUL in its name"
	case isWrittenAs(name, ".git", "git~1"):
		return "is a way to write .git"
	default:
		return ""
	}
}

// IsPlain reports whether a path is UTF-8 without control characters. Other paths, such as the Icon\r of a Mac or names
// in Latin-1, may be in an artifact, but no render can use them.
func IsPlain(path string) bool {
	return utf8.ValidString(path) && !strings.ContainsFunc(path, unicode.IsControl)
}

// isWrittenAs reports whether some file system takes a name for one of these names: any case; NTFS drops trailing dots
// and spaces, has streams behind a colon and short names such as git~1, and takes a backslash for a slash; HFS+ drops
// invisible characters.
func isWrittenAs(name string, names ...string) bool {
	if isOrdinary(name) {
		name = strings.TrimRight(name, ". ")
		return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(name, n) })
	}
	for part := range strings.SplitSeq(name, `\`) {
		part, _, _ = strings.Cut(part, ":")
		part = strings.Map(dropInvisible, part)
		if slices.Contains(names, strings.ToLower(strings.TrimRight(part, ". "))) {
			return true
		}
	}
	return false
}

// isOrdinary reports whether a name has only ASCII characters, without backslashes and colons, as almost all names.
func isOrdinary(name string) bool {
	for i := range len(name) {
		if c := name[i]; c >= utf8.RuneSelf || c == '\\' || c == ':' {
			return false
		}
	}
	return true
}

// dropInvisible removes the characters that HFS+ ignores in names.
func dropInvisible(r rune) rune {
	switch {
	case r >= 0x200c && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x206a && r <= 0x206f, r == 0xfeff:
		return -1
	default:
		return r
	}
}
