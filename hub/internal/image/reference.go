package image

import (
	"regexp"
	"strings"
)

// tagPattern is the pattern of tags in the distribution specification.
var tagPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// IsTag reports whether a registry may have a tag.
func IsTag(text string) bool { return tagPattern.MatchString(text) }

// Reference is an image in a registry. Tag and Digest may be empty.
type Reference struct {
	Name   string // ghcr.io/org/app
	Tag    string
	Digest string // sha256:…
}

// ParseReference splits name[:tag][@digest]. A port of the registry belongs to the name.
func ParseReference(text string) (r Reference) {
	r.Name, r.Digest, _ = strings.Cut(text, "@")
	if colon := strings.LastIndexByte(r.Name, ':'); colon > strings.LastIndexByte(r.Name, '/') {
		r.Name, r.Tag = r.Name[:colon], r.Name[colon+1:]
	}
	return r
}

// String returns name[:tag][@digest].
func (r Reference) String() string {
	text := r.Name
	if r.Tag != "" {
		text += ":" + r.Tag
	}
	if r.Digest != "" {
		text += "@" + r.Digest
	}
	return text
}
