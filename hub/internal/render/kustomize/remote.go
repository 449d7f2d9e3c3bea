package kustomize

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/navefleet/nave/hub/internal/render"
)

// refuseRemote returns the error for a path that kustomize would fetch. For a directory of a Git server the error names
// the objects to use instead.
func refuseRemote(p string) error {
	err := fmt.Errorf("%s: %w; remote bases and files are not fetched: commit a copy of it", p, render.ErrRemote)
	base, ok := parseRemoteBase(p)
	if !ok {
		return fmt.Errorf("%w, or make it a source and a Kustomization of its own", err)
	}
	return fmt.Errorf("%w, or take it out and add a GitRepository with url: %s, ref: {%s} and a Kustomization with "+
		"path: %s that names it", err, base.url, base.reference(), base.path)
}

// remoteBase is a directory of a repository.
type remoteBase struct{ url, ref, path string }

// commitPattern is a whole commit ID.
var commitPattern = regexp.MustCompile(`^[0-9a-f]{40}$`)

// versionPattern is a ref that looks like the tag of a version.
var versionPattern = regexp.MustCompile(`^v?[0-9]+\.[0-9]+`)

// reference returns the ref as a field of a GitRepository's spec.ref.
func (b remoteBase) reference() string {
	switch {
	case b.ref == "":
		return "branch: main"
	case commitPattern.MatchString(b.ref):
		return "commit: " + b.ref
	case versionPattern.MatchString(b.ref):
		return "tag: " + b.ref
	}
	return "branch: " + b.ref
}

// parseRemoteBase reads a kustomize URL of a directory: https://host/owner/repository//path?ref=v1, with // or, for
// hosts with two names before the path, /. For a single file, and for a URL that it cannot read, parseRemoteBase
// returns false.
func parseRemoteBase(p string) (b remoteBase, ok bool) {
	p = strings.TrimPrefix(p, "git::")
	for _, host := range []string{"github.com/", "gitlab.com/", "bitbucket.org/"} {
		if strings.HasPrefix(p, host) {
			p = "https://" + p
		}
	}
	u, err := url.Parse(p)
	switch {
	case err != nil, u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "ssh":
		return b, false
	case u.Scheme != "ssh" && u.User != nil: // it may be a password
		return b, false
	}
	repository, dir, split := strings.Cut(u.Path, "//")
	if !split {
		parts := strings.SplitN(strings.Trim(u.Path, "/"), "/", 3)
		if len(parts) < 2 {
			return b, false
		}
		repository = "/" + parts[0] + "/" + parts[1]
		dir = strings.Join(parts[2:], "/")
	}
	if ext := path.Ext(dir); ext == ".yaml" || ext == ".yml" || ext == ".json" {
		return b, false
	}
	at := url.URL{Scheme: u.Scheme, User: u.User, Host: u.Host, Path: repository}
	ref := u.Query().Get("ref")
	if ref == "" {
		ref = u.Query().Get("version")
	}
	return remoteBase{url: at.String(), ref: ref, path: "./" + strings.Trim(dir, "/")}, true
}
