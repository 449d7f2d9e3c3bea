package render

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path"
	"strings"
)

// Limits of a Reads.
const (
	MaxPaths     = 50_000   // files and directories
	MaxReadsSize = 32 << 20 // bytes of JSON
)

// FileType is the type of the file at a path of a tree.
type FileType string

// The file types.
const (
	Absent    FileType = "-"
	Regular   FileType = "f"
	Directory FileType = "d"
	Special   FileType = "o" // a device, a pipe
)

// Reads are the facts about its tree that a render depends on: the content of files, the names in directories, which
// paths exist and which do not, and the targets of symbolic links. The JSON of a Reads is canonical and bounded. The
// zero Reads is of no render.
type Reads struct {
	// Facts maps a rooted path to one fact: a FileType, or Regular and Directory with the SHA-256 of the content in
	// base64url (of the names, for a directory).
	Facts map[string]string `json:"facts,omitempty"`
	// Links maps a rooted path to the path that it resolves to, if that is another.
	Links map[string]string `json:"links,omitempty"`
}

// UnmarshalJSON decodes the JSON of a Reads. If a path or a fact is invalid, or the Reads exceeds the limits,
// UnmarshalJSON returns an error.
func (r *Reads) UnmarshalJSON(data []byte) error {
	if len(data) > MaxReadsSize {
		return fmt.Errorf("decode reads: %w: %d bytes", ErrLimit, len(data))
	}
	type plain Reads // without this method
	var in plain
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("decode reads: %w", err)
	}
	if len(in.Facts) > MaxPaths || len(in.Links) > MaxPaths {
		return fmt.Errorf("decode reads: %w: %d paths", ErrLimit, len(in.Facts)+len(in.Links))
	}
	for p, fact := range in.Facts {
		if !isRooted(p) || !isFact(fact) {
			return fmt.Errorf("decode reads: %q: %q is not a fact", p, fact)
		}
	}
	for p, target := range in.Links {
		if !isRooted(p) || !isRooted(target) {
			return fmt.Errorf("decode reads: %q: %q is not a link", p, target)
		}
	}
	*r = Reads(in)
	return nil
}

func isRooted(p string) bool { return strings.HasPrefix(p, "/") && path.Clean(p) == p }

func isFact(s string) bool {
	if s == "" {
		return false
	}
	switch FileType(s[:1]) {
	case Absent, Special:
		return len(s) == 1
	case Regular, Directory:
		digest, err := base64.RawURLEncoding.Strict().DecodeString(s[1:])
		return err == nil && (len(digest) == 0 || len(digest) == sha256.Size)
	}
	return false
}

// IsZero reports whether r is of no render.
func (r Reads) IsZero() bool { return len(r.Facts) == 0 && len(r.Links) == 0 }
