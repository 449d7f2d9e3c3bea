package git

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Request says what to fetch.
type Request struct {
	// URL is the repository's address; its scheme is http, https or ssh.
	URL string
	Ref Reference
	// Auth is what ParseAuth made of the source's Secret; the zero value is anonymous.
	Auth Auth
	// Ignore is spec.ignore: .gitignore lines that replace the default exclusions; nil keeps them.
	Ignore *string
	// Timeout bounds the whole fetch. Zero: that of Limits.
	Timeout time.Duration
	// Limits override the fetcher's where they are not zero.
	Limits Limits
}

// Reference names a commit as spec.ref of a GitRepository does. Commit wins over Name, Name over SemVer, SemVer over
// Tag, Tag over Branch; with none of them it is the branch master.
type Reference struct {
	Branch string
	Tag    string
	SemVer string
	// Commit is a full SHA-1. With Branch, the commit must be on that branch.
	Commit string
	// Name is a full reference name such as refs/pull/420/head.
	Name string
}

// String says which of the fields counts: "branch main".
func (r Reference) String() string {
	switch {
	case r.Commit != "" && r.Branch != "":
		return "commit " + r.Commit + " of branch " + r.Branch
	case r.Commit != "":
		return "commit " + r.Commit
	case r.Name != "":
		return r.Name
	case r.SemVer != "":
		return fmt.Sprintf("version %q", r.SemVer)
	case r.Tag != "":
		return "tag " + r.Tag
	default:
		return "branch " + r.branch()
	}
}

// branch is the branch's name, with Flux's default.
func (r Reference) branch() string {
	if r.Branch == "" {
		return "master"
	}
	return r.Branch
}

var fullHash = regexp.MustCompile(`^[0-9a-fA-F]{40}$`)

// check refuses a request that no server could answer, and returns its address.
func (r Request) check() (*url.URL, error) {
	u, err := parseURL(r.URL)
	if err != nil {
		return nil, err
	}
	if r.Ref.Commit != "" && !fullHash.MatchString(r.Ref.Commit) {
		return nil, fmt.Errorf("%w: spec.ref.commit %q is not a full commit hash of 40 hexadecimal digits", ErrRequest,
			r.Ref.Commit)
	}
	if u.Scheme == "ssh" && len(r.Auth.Identity) == 0 {
		return nil, fmt.Errorf("%w: an ssh URL needs a Secret with identity and known_hosts in spec.secretRef", ErrRequest)
	}
	if u.Scheme == "ssh" && len(r.Auth.KnownHosts) == 0 {
		return nil, fmt.Errorf("%w: the Secret has no known_hosts, without which no ssh server is trusted (ssh-keyscan "+
			"prints it)", ErrRequest)
	}
	return u, nil
}

// parseURL accepts http, https and ssh, and nothing that runs a program or reads the hub's own files.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: the URL cannot be read (scp-like addresses are written ssh://git@host/path)", ErrRequest)
	}
	switch u.Scheme {
	case "http", "https", "ssh":
	default:
		return nil, fmt.Errorf("%w: the URL's scheme must be http, https or ssh (scp-like addresses are written "+
			"ssh://git@host/path)", ErrRequest)
	}
	if u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-") {
		return nil, fmt.Errorf("%w: the URL has no host", ErrRequest)
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%w: the URL of a repository has no ? and no #", ErrRequest)
	}
	return u, nil
}

// cacheID names the cache of a URL and credentials: who may see one repository sees nothing of another's.
func (r Request) cacheID() string {
	// Strings, byte slices: marshalling them cannot fail.
	text, _ := json.Marshal(struct {
		URL  string
		Auth Auth
	}{r.URL, r.Auth})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}
