package git

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/source"
)

// secretField is the field that names the Secret with credentials.
const secretField = "spec.secretRef"

// spec is what a fetch reads of a GitRepository.
type spec struct {
	URL               string                              `json:"url"` // its scheme is http, https or ssh
	Provider          string                              `json:"provider"`
	Ref               reference                           `json:"ref"`
	Ignore            *string                             `json:"ignore"`
	SparseCheckout    []string                            `json:"sparseCheckout"`
	RecurseSubmodules bool                                `json:"recurseSubmodules"`
	Verify            *sourcev1.GitRepositoryVerification `json:"verify"`
}

// reference names a commit. Commit wins over Name, Name over SemVer, SemVer over Tag, Tag over Branch; with none of
// them it is the branch master.
type reference struct {
	Branch string `json:"branch"`
	Tag    string `json:"tag"`
	SemVer string `json:"semver"`
	Commit string `json:"commit"` // a full SHA-1. With Branch, the commit must be on that branch
	Name   string `json:"name"`   // a full reference name such as refs/pull/420/head
	Any    string `json:"any"`    // of an api.RemoteBase, alone: a full commit, tag, branch or full reference name
}

// String returns the field that counts: "branch main".
func (r reference) String() string {
	switch {
	case r.Any != "":
		return r.Any
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

// branch returns the branch's name, with Flux's default.
func (r reference) branch() string {
	return cmp.Or(r.Branch, api.DefaultBranch)
}

// decode reads the object, and refuses one that no server could answer.
func (f *fetching) decode() (err error) {
	var object struct {
		Spec spec `json:"spec"`
	}
	if err := json.Unmarshal(f.Object.JSON, &object); err != nil {
		return fmt.Errorf("%w: %w", source.ErrRequest, err)
	}
	f.spec = object.Spec
	if f.url, err = parseURL(f.spec.URL); err != nil {
		return err
	}
	if c := f.spec.Ref.Commit; c != "" && !plumbing.IsHash(c) {
		return fmt.Errorf("%w: spec.ref.commit %q is not a full commit hash of 40 hexadecimal digits", source.ErrRequest, c)
	}
	f.id = f.cacheID(f.spec.URL)
	return nil
}

// cacheID returns the name of the cache of an address. The Secret with public keys gives access to nothing, so that
// new keys need no new cache; and all who may use a provider have the same identity.
func (f *fetching) cacheID(address string) string {
	access := f.Request
	access.Secrets = maps.Clone(f.Secrets)
	delete(access.Secrets, verifyField)
	delete(access.Secrets, source.ProviderField) // what it gives differs each time
	return access.CacheID(address)
}

// parseURL accepts http, https and ssh, and nothing that runs a program or reads the hub's own files.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: the URL cannot be read (scp-like addresses are written ssh://git@host/path)",
			source.ErrRequest)
	}
	switch u.Scheme {
	case "http", "https", "ssh":
	default:
		return nil, fmt.Errorf("%w: the URL's scheme must be http, https or ssh (scp-like addresses are written "+
			"ssh://git@host/path)", source.ErrRequest)
	}
	if u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-") {
		return nil, fmt.Errorf("%w: the URL has no host", source.ErrRequest)
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%w: the URL has a query (?) or a fragment (#): remove it", source.ErrRequest)
	}
	return u, nil
}
