package kustomize

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
)

// errNeeds is the error of a build that needs Remotes which are not mounted, if it may report them.
var errNeeds = errors.New("remote bases are needed")

// remotes are the remote bases of a build.
type remotes struct {
	mounts map[api.Remote]string // paths in the tree
	report bool                  // collect needs instead of failing
	needs  []render.Need
}

// mount mounts the Remotes of a request.
func (r *remotes) mount(t *tree.Tree, all []render.Mount) error {
	if len(all) > render.MaxMounts {
		return fmt.Errorf("%w: it has more than %d remote bases", render.ErrLimit, render.MaxMounts)
	}
	for _, m := range all {
		at := mountPath(m.Remote)
		if err := t.Mount(at, m.Root); err != nil {
			return err
		}
		r.mounts[m.Remote] = at
	}
	return nil
}

// unsafePath matches what mountPath does not keep of an address.
var unsafePath = regexp.MustCompile(`[^a-zA-Z0-9._/-]+`)

// mountPath returns the path at which a Remote is mounted. Messages show it.
func mountPath(r api.Remote) string {
	_, name, _ := strings.Cut(r.URL, "://")
	ref := strings.ReplaceAll(r.Ref, "/", "_")
	digest := sha256.Sum256([]byte(r.String()))
	return path.Join("/.remote", unsafePath.ReplaceAllString(name, "_")+"@"+unsafePath.ReplaceAllString(ref, "_")+"-"+
		hex.EncodeToString(digest[:4]))
}

// findRemote checks a remote path in a kustomization file. If the path is that of a remote base which is not mounted,
// findRemote notes the need.
func (f *fileSystem) findRemote(p string, r reference) error {
	b, ok := parseRemoteBase(r.path)
	at, mounted := f.remotes.mounts[b.Remote()]
	if ok && mounted && r.accepts == directory {
		return f.findAt(path.Join(at, b.path), r)
	}
	err := refuseRemote(r.path)
	if ok && b.fetchable() && r.accepts == directory && f.remotes.report {
		refusal := fmt.Sprintf("%s: %s: %v", tree.Local(p), r.field, err)
		f.remotes.needs = append(f.remotes.needs, render.Need{Remote: b.Remote(), Refusal: refusal})
		return nil
	}
	return err
}

// refuseRemote returns the error for a path that kustomize would fetch. For a directory of a Git server the error names
// the objects to use instead.
func refuseRemote(p string) error {
	err := fmt.Errorf("%s: %w; remote bases and files are not fetched: commit a copy of it", p, render.ErrRemote)
	base, ok := parseRemoteBase(p)
	if !ok {
		return fmt.Errorf("%w, or make it a source and a Kustomization of its own", err)
	}
	err = fmt.Errorf("%w, or take it out and add a GitRepository with url: %s, ref: {%s} and a Kustomization with "+
		"path: %s that names it", err, base.url, base.reference(), base.path)
	if base.fetchable() {
		err = fmt.Errorf("%w, or let the hub fetch it (--remote-base-host %s)", err, base.Remote().Host())
	}
	return err
}

// remoteFields are the fields of a kustomization file that may name remote bases.
var remoteFields = []string{"resources", "components", "bases"}

// localize replaces the addresses of mounted remote bases in a kustomization file by paths in the tree.
func (f *fileSystem) localize(p string, data []byte) ([]byte, error) {
	var doc yaml.Node
	if len(f.remotes.mounts) == 0 || yaml.Unmarshal(data, &doc) != nil || len(doc.Content) == 0 {
		return data, nil
	}
	fields, changed := doc.Content[0].Content, false
	for i := 0; i+1 < len(fields); i += 2 {
		if !slices.Contains(remoteFields, fields[i].Value) {
			continue
		}
		for _, item := range fields[i+1].Content {
			if b, ok := parseRemoteBase(item.Value); ok && isRemote(item.Value) && f.remotes.mounts[b.Remote()] != "" {
				item.Value = relative(path.Dir(p), path.Join(f.remotes.mounts[b.Remote()], b.path))
				changed = true
			}
		}
	}
	if !changed {
		return data, nil
	}
	data, err := yaml.Marshal(&doc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tree.Local(p), err)
	}
	return data, nil
}

// relative returns the path from a directory to a target; both are rooted.
func relative(dir, target string) string {
	return strings.Repeat("../", strings.Count(strings.TrimSuffix(dir, "/"), "/")) + tree.Local(target)
}

// remoteBase is a directory of a repository.
type remoteBase struct{ url, ref, path string }

// Remote returns the repository at its reference.
func (b remoteBase) Remote() api.Remote { return api.Remote{URL: b.url, Ref: b.ref} }

// refPattern is a ref that the hub asks a server for.
var refPattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._/+-]{0,200}$`)

// fetchable reports whether the hub can fetch the repository without credentials.
func (b remoteBase) fetchable() bool {
	return (strings.HasPrefix(b.url, "https://") || strings.HasPrefix(b.url, "http://")) && len(b.url) <= 1000 &&
		(b.ref == "" || refPattern.MatchString(b.ref) && !strings.Contains(b.ref, ".."))
}

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

// parseRemoteBase reads a kustomize URL of a directory: https://host/owner/repository//path?ref=v1. The repository ends
// at //, else after a name with .git or the name after _git, else after two names. For a single file, and for a URL
// that it cannot read, parseRemoteBase returns false.
func parseRemoteBase(p string) (b remoteBase, ok bool) {
	p = strings.TrimPrefix(p, "git::")
	for _, host := range []string{"github.com/", "gitlab.com/", "bitbucket.org/"} {
		if strings.HasPrefix(p, host) {
			p = "https://" + p
		}
	}
	u, err := url.Parse(p)
	switch {
	case err != nil, u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "ssh", u.Hostname() == "":
		return b, false
	case u.Scheme != "ssh" && u.User != nil: // it may be a password
		return b, false
	}
	repository, dir, ok := splitRepository(u.Path)
	if !ok || slices.Contains(strings.Split(u.Path, "/"), "..") {
		return b, false
	}
	if ext := path.Ext(dir); ext == ".yaml" || ext == ".yml" || ext == ".json" {
		return b, false
	}
	at := url.URL{Scheme: u.Scheme, User: u.User, Host: strings.ToLower(u.Host), Path: repository}
	ref := u.Query().Get("ref")
	if ref == "" {
		ref = u.Query().Get("version")
	}
	return remoteBase{url: at.String(), ref: ref, path: "./" + strings.Trim(dir, "/")}, true
}

// splitRepository returns the path of a repository and the directory in it, as kustomize finds them in the path of a
// URL.
func splitRepository(p string) (repository, dir string, ok bool) {
	if before, after, found := strings.Cut(p, "/_git/"); found {
		name, dir, _ := strings.Cut(after, "/")
		return before + "/_git/" + name, dir, name != ""
	}
	if repository, dir, found := strings.Cut(p, "//"); found {
		return repository, dir, repository != ""
	}
	if before, after, found := strings.Cut(p, ".git"); found && (after == "" || after[0] == '/') {
		return before + ".git", after, true
	}
	parts := strings.SplitN(strings.Trim(p, "/"), "/", 3)
	if len(parts) < 2 {
		return "", "", false
	}
	return "/" + parts[0] + "/" + parts[1], strings.Join(parts[2:], "/"), true
}
