package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/config"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// Bounds of the submodules of one source.
const (
	maxSubmodules = 64
	maxNesting    = 8       // submodules of submodules
	maxModules    = 1 << 20 // bytes of one .gitmodules
	modulesFile   = ".gitmodules"
)

// gathering is the files of a commit and of its submodules.
type gathering struct {
	*fetching
	lister
	source     *repository                        // of the commit
	origins    map[artifact.ContentID]*repository // of the files of submodules
	opened     map[string]*repository             // submodules, by the name of their cache
	caches     []string                           // the folders of their caches
	tree       plumbing.Hash                      // of the commit of source
	release    []func()
	submodules int
	linked     bool // the source wants submodules, and there are some
}

func newGathering(f *fetching, r *repository) *gathering {
	return &gathering{
		fetching: f, lister: lister{limits: f.limits, sparse: newSparse(f.spec.SparseCheckout)}, source: r,
		origins: map[artifact.ContentID]*repository{}, opened: map[string]*repository{},
	}
}

// close closes the caches of submodules. If err is that of a spoiled cache, close removes them all, because err does
// not say which of them is meant. It returns err, and why a cache could not be removed.
func (g *gathering) close(err error) error {
	if spoilsCache(err) {
		for _, dir := range g.caches {
			err = errors.Join(err, artifact.StorageError(os.RemoveAll(dir)))
		}
	}
	for _, release := range slices.Backward(g.release) {
		release()
	}
	return err
}

// place is where a commit stands.
type place struct {
	dir     string   // in the artifact
	address *url.URL // of its repository
	nesting int
}

// add adds the files of a commit, and of its submodules if the source wants them.
func (g *gathering) add(ctx context.Context, r *repository, id plumbing.Hash, at place) error {
	c, err := r.commit(ctx, id)
	if err != nil {
		return err
	}
	known := len(g.files)
	g.repository, g.links = r, nil
	last := plumbing.ZeroHash
	if at.nesting == 0 {
		g.tree, last = c.tree, g.last.tree()
	}
	if err := g.list(ctx, c.tree, last, at.dir); err != nil {
		return err
	}
	if at.nesting > 0 {
		for _, f := range g.files[known:] {
			g.origins[f.Content] = r
		}
	}
	links := g.links
	if !g.spec.RecurseSubmodules || len(links) == 0 {
		return nil
	}
	if g.linked = true; g.last != nil {
		return artifact.ErrShared // what .gitmodules says may have changed
	}
	ignored, err := artifact.Tree{Files: g.files, Contents: g.contents(), Ignore: g.spec.Ignore}.FolderFilter(ctx)
	if err != nil {
		return err
	}
	links = slices.DeleteFunc(links, func(l link) bool { return ignored(l.path) })
	addresses, err := g.modules(ctx, r, c.tree)
	if err != nil {
		return err
	}
	for _, l := range links {
		if err := g.descend(ctx, l, addresses, at); err != nil {
			return fmt.Errorf("submodule %q: %w", l.path, err)
		}
	}
	return nil
}

// descend adds a submodule. Git, too, leaves one alone that .gitmodules does not list.
func (g *gathering) descend(ctx context.Context, l link, addresses map[string]string, at place) error {
	raw, ok := addresses[strings.TrimPrefix(strings.TrimPrefix(l.path, at.dir), "/")]
	if !ok {
		return nil
	}
	if g.submodules++; g.submodules > maxSubmodules || at.nesting >= maxNesting {
		return fmt.Errorf("%w: a source may have %d submodules, %d of them one in the other", artifact.ErrLimit,
			maxSubmodules, maxNesting)
	}
	address, err := submoduleURL(at.address, raw)
	if err != nil {
		return err
	}
	r, err := g.open(ctx, address, l.commit)
	if err != nil {
		return fmt.Errorf("%s: %w", source.Redact(address.String()), source.Classify(err, classify))
	}
	return g.add(ctx, r, l.commit, place{l.path, address, at.nesting + 1})
}

// modules reads the addresses of submodules, by path, of the file at the root of a tree.
func (g *gathering) modules(ctx context.Context, r *repository, tree plumbing.Hash) (map[string]string, error) {
	content, err := r.read(ctx, plumbing.TreeObject, tree, g.lister.limits.File)
	if err != nil {
		return nil, err
	}
	entries, err := parseTree(content)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.name == modulesFile && (e.mode == artifact.Regular || e.mode == artifact.Executable) {
			text, err := r.read(ctx, plumbing.BlobObject, e.id, maxModules)
			if err != nil {
				return nil, err
			}
			return parseModules(text)
		}
	}
	return nil, nil
}

// parseModules returns the addresses of the submodules in a .gitmodules, by path.
func parseModules(text []byte) (addresses map[string]string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %s is malformed: %v", artifact.ErrTree, modulesFile, p)
		}
	}()
	file := config.New()
	if err := config.NewDecoder(bytes.NewReader(text)).Decode(file); err != nil {
		return nil, fmt.Errorf("%w: %s is malformed: %w", artifact.ErrTree, modulesFile, err)
	}
	addresses = map[string]string{}
	for _, s := range file.Section("submodule").Subsections {
		if at := s.Option("path"); at != "" {
			addresses[path.Clean(at)] = s.Option("url")
		}
	}
	return addresses, nil
}

// scpLike is git@host:path, which .gitmodules often have.
var scpLike = regexp.MustCompile(`^([A-Za-z0-9._-]+@)?([A-Za-z0-9.-]+):([^/].*)$`)

// submoduleURL returns the address of a submodule, which may be relative to that of the repository that lists it.
func submoduleURL(parent *url.URL, raw string) (*url.URL, error) {
	if strings.HasPrefix(raw, "./") || strings.HasPrefix(raw, "../") {
		return relativeURL(parent, raw)
	}
	if parts := scpLike.FindStringSubmatch(raw); parts != nil && !strings.Contains(raw, "://") {
		raw = "ssh://" + parts[1] + parts[2] + "/" + parts[3]
	}
	u, err := parseURL(raw)
	if err != nil {
		return nil, fmt.Errorf("its URL in %s: %w", modulesFile, err)
	}
	if u.Scheme != "ssh" {
		u.User = nil // a repository names no credentials
	}
	return u, nil
}

// relativeURL resolves an address as git does, but never above the root of the server.
func relativeURL(parent *url.URL, raw string) (*url.URL, error) {
	u := *parent
	u.RawPath = ""
	u.Path = strings.TrimRight(u.Path, "/")
	for {
		if rest, ok := strings.CutPrefix(raw, "../"); ok {
			if u.Path == "" {
				return nil, fmt.Errorf("%w: its URL in %s leads out of the server", source.ErrRequest, modulesFile)
			}
			raw, u.Path = rest, strings.TrimSuffix(path.Dir(u.Path), "/")
		} else if rest, ok := strings.CutPrefix(raw, "./"); ok {
			raw = rest
		} else {
			break
		}
	}
	if raw == "" || path.Clean("/"+raw) != "/"+strings.TrimRight(raw, "/") {
		return nil, fmt.Errorf("%w: its URL in %s is not a path", source.ErrRequest, modulesFile)
	}
	u.Path += "/" + raw
	return &u, nil
}

// open returns the cache of a submodule with a commit in it. The name of the cache has the source's in it: no two
// fetches wait for each other's.
func (g *gathering) open(ctx context.Context, address *url.URL, commit plumbing.Hash) (*repository, error) {
	sub, err := g.submodule(address, commit)
	if err != nil {
		return nil, err
	}
	r := g.opened[sub.id]
	if r == nil {
		unlock, err := g.Workspace.Lock(ctx, sub.id)
		if err != nil {
			return nil, err
		}
		g.release, g.caches = append(g.release, unlock), append(g.caches, g.Workspace.CacheDir(sub.id))
		if r, err = sub.openCache(); err != nil {
			return nil, err
		}
		g.release = append(g.release, r.close)
		g.opened[sub.id] = r
	}
	if r.holds(commit) {
		return r, nil
	}
	return r, sub.bring(ctx, r, commit)
}

// submodule returns the fetch of a submodule's commit. It has the source's credentials only at the source's server.
func (g *gathering) submodule(address *url.URL, commit plumbing.Hash) (*fetching, error) {
	sub := &fetching{
		Request: g.Request, limits: g.lister.limits, url: address,
		spec: spec{URL: address.String(), Ref: reference{Commit: commit.String()}},
		id:   g.cacheID(g.spec.URL + " " + address.String()),
	}
	if source.SameOrigin(g.url, address) {
		return sub, nil
	}
	if address.Scheme == "ssh" {
		return nil, fmt.Errorf("%w: it is at another server than the source, where the source's key is not used: give it a "+
			"relative or an https URL in %s", source.ErrRequest, modulesFile)
	}
	sub.Secrets = maps.Clone(g.Secrets)
	delete(sub.Secrets, secretField)
	if ca := g.Secrets[secretField].Authority(); len(ca) > 0 {
		sub.Secrets[secretField] = source.Secret{"ca.crt": ca}
	}
	return sub, nil
}

// bring transfers a commit into the cache.
func (f *fetching) bring(ctx context.Context, r *repository, commit plumbing.Hash) error {
	s, err := open(ctx, f, uploadPack)
	if err != nil {
		return err
	}
	defer s.close()
	refs, err := s.advertise(ctx)
	if err != nil {
		return err
	}
	choice, err := resolve(f.spec.Ref, refs)
	if err != nil {
		return err
	}
	if err := r.complete(ctx, s, refs, choice, f.limits, f.Workspace.Tmp); err != nil {
		return err
	}
	if _, err := r.choose(ctx, choice); err != nil || !choice.history {
		return err
	}
	r.state.Tips = append(r.state.Tips, tip{commit.String(), commit.String(), false})
	return r.save()
}

// contents returns where the contents of all files are.
func (g *gathering) contents() artifact.Contents { return origins{g.source, g.origins} }

// origins are the contents of files of several repositories.
type origins struct {
	source     *repository
	submodules map[artifact.ContentID]*repository
}

func (o origins) of(f artifact.File) *repository {
	if r := o.submodules[f.Content]; r != nil {
		return r
	}
	return o.source
}

// Size implements artifact.Contents.
func (o origins) Size(f artifact.File) (int64, error) { return o.of(f).Size(f) }

// Read implements artifact.Contents.
func (o origins) Read(ctx context.Context, f artifact.File, limit int64) ([]byte, error) {
	return o.of(f).Read(ctx, f, limit)
}
