package bundle

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// MaxImageBytes is how long the name of an image of the spoke may be. A spoke reports no longer one.
const MaxImageBytes = 256

// imagePattern is a reference to an image as a Pod names it: a repository, and a tag, a digest or both.
var imagePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9.-]*(:[0-9]+)?(/[a-z0-9._-]+)*` +
	`(:[A-Za-z0-9_][A-Za-z0-9._-]*)?(@sha256:[0-9a-f]{64})?$`)

// CheckImage returns an error unless a text names an image of the spoke that is the same on every node: by digest, or
// by a tag other than latest.
func CheckImage(image string) error {
	if len(image) > MaxImageBytes {
		return fmt.Errorf("%d bytes: at most %d", len(image), MaxImageBytes)
	}
	if !imagePattern.MatchString(image) {
		return errors.New("not the name of an image: want repository:tag or repository@sha256:…")
	}
	name, digest, _ := strings.Cut(image, "@")
	repository, tag := name, ""
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
		repository, tag = name[:at], name[at+1:]
	}
	switch {
	case repository != strings.ToLower(repository) && !strings.Contains(repository, "/"):
		return errors.New("not the name of an image: want repository:tag or repository@sha256:…")
	case digest == "" && (tag == "" || tag == "latest"):
		return errors.New("without a digest or a tag other than latest, it is not the same on every node: name one of them")
	}
	return nil
}

// IsImage reports whether a spoke that runs an image, by its own report, runs the wanted one. If the wanted one has a
// digest, the digest decides, whatever registry the image came from. Otherwise repository and tag do.
func IsImage(runs, wanted string) bool {
	name, digest, _ := strings.Cut(runs, "@")
	wantedName, wantedDigest, pinned := strings.Cut(wanted, "@")
	if pinned {
		return digest == wantedDigest
	}
	return name == wantedName
}
