package git

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"

	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/shared/manifest"
)

// Config is what a Fetcher is made of.
type Config struct {
	Dir     string      // where caches and artifacts are kept. No other process may use it
	Limits  Limits      // fields that are zero have their defaults
	Network dial.Policy // the servers that may be dialled
}

// Fetcher fetches Git repositories. It may be used from several goroutines; fetches of one repository with the same
// credentials take turns.
type Fetcher struct {
	dir    string
	limits Limits
	dialer *dial.Dialer

	mu     sync.Mutex
	ready  bool                     // prepare has succeeded
	caches map[string]chan struct{} // by cache id; holds a token while in use
	trees  map[string]*artifactUse  // by an artifact's tree
}

// artifactUse is what this process knows of an artifact on disk.
type artifactUse struct {
	whole  bool      // written or verified by this process
	unused time.Time // since when Sweep sees no use; zero: in use
}

// New returns a Fetcher.
func New(c Config) *Fetcher {
	dir := c.Dir
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return &Fetcher{
		dir:    dir,
		limits: c.Limits.or(defaults),
		dialer: dial.New(c.Network),
		caches: map[string]chan struct{}{},
		trees:  map[string]*artifactUse{},
	}
}

func (f *Fetcher) tmp() string                   { return filepath.Join(f.dir, "tmp") }
func (f *Fetcher) cacheDir(id string) string     { return filepath.Join(f.dir, "cache", id) }
func (f *Fetcher) artifactsDir(id string) string { return filepath.Join(f.dir, "artifacts", id) }
func (f *Fetcher) treeOf(id, digest string) string {
	return filepath.Join(f.artifactsDir(id), digest, treeDir)
}

// prepare empties, before anything else is done, what an earlier process left half done.
func (f *Fetcher) prepare() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ready {
		return nil
	}
	if err := errors.Join(os.RemoveAll(f.tmp()), os.MkdirAll(f.tmp(), 0o700)); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	f.ready = true
	return nil
}

// Fetch returns the artifact that req means now. last is the artifact that an equal request gave before, or nil; while the
// reference has not moved, it is the answer, and nothing but the server's list of references was read. An artifact from an
// earlier process is compared with its digest first.
//
// The errors are those of this package, with the URL (without credentials), the reference, the cause and a way out; or the
// cause of ctx's end.
func (f *Fetcher) Fetch(ctx context.Context, req Request, last *source.Artifact) (source.Artifact, error) {
	limits := req.Limits.or(f.limits)
	req.Timeout = cmp.Or(req.Timeout, limits.Timeout)
	limited, cancel := context.WithTimeout(ctx, req.Timeout)
	defer cancel()
	work := &fetching{Fetcher: f, req: req, limits: limits, id: req.cacheID(), last: last}
	artifact, err := work.run(limited)
	if err != nil {
		return source.Artifact{}, finish(limited, ctx, req, err)
	}
	return artifact, nil
}

// fetching is one call of Fetch.
type fetching struct {
	*Fetcher
	req    Request
	limits Limits
	id     string // of the cache
	last   *source.Artifact
}

// run fetches, and once more with an empty cache when the cache turned out to be broken.
func (f *fetching) run(ctx context.Context) (source.Artifact, error) {
	u, err := f.req.check()
	if err != nil {
		return source.Artifact{}, err
	}
	if err := f.prepare(); err != nil {
		return source.Artifact{}, err
	}
	if f.last != nil && !f.Usable(ctx, *f.last) {
		f.last = nil
	}
	for attempt := 0; ; attempt++ {
		s, err := open(ctx, f.dialer, u, f.req.Auth, f.limits, f.tmp())
		if err != nil {
			return source.Artifact{}, err
		}
		artifact, err := f.attempt(ctx, s)
		s.close()
		if attempt > 0 || !errors.Is(err, errCache) || ctx.Err() != nil {
			return artifact, err
		}
	}
}

// attempt goes the way from the server's references to the artifact.
func (f *fetching) attempt(ctx context.Context, s session) (source.Artifact, error) {
	refs, err := s.advertise(ctx)
	if err != nil {
		return source.Artifact{}, err
	}
	choice, err := resolve(f.req.Ref, refs)
	if err != nil {
		return source.Artifact{}, err
	}
	if c := choice.candidates; (len(c) == 1 || choice.history) && f.isLast(revision(c[0].label, c[0].commit)) {
		return *f.last, nil
	}
	unlock, err := f.lock(ctx, f.id)
	if err != nil {
		return source.Artifact{}, err
	}
	defer unlock()
	artifact, err := f.update(ctx, s, refs, choice)
	if errors.Is(err, errCache) {
		if err := os.RemoveAll(f.cacheDir(f.id)); err != nil {
			return artifact, fmt.Errorf("%w: %w", ErrStorage, err)
		}
	}
	return artifact, err
}

// isLast reports whether the last artifact has this revision.
func (f *fetching) isLast(revision string) bool { return f.last != nil && f.last.Revision == revision }

// update brings the commit into the cache and its tree into an artifact.
func (f *fetching) update(ctx context.Context, s session, refs *packp.AdvRefs, choice choice) (source.Artifact, error) {
	r, err := f.openCache()
	if err != nil {
		return source.Artifact{}, err
	}
	defer r.close()
	if err := r.complete(ctx, s, refs, choice, f.limits, f.tmp()); err != nil {
		return source.Artifact{}, err
	}
	chosen, err := r.choose(ctx, choice)
	if err != nil {
		return source.Artifact{}, err
	}
	name := revision(chosen.label, chosen.commit)
	if f.isLast(name) {
		return *f.last, nil
	}
	digest, dir, err := f.materialize(ctx, r, chosen.commit)
	if err != nil {
		return source.Artifact{}, err
	}
	return source.Artifact{Revision: name, Digest: digest, Dir: dir, FetchedAt: time.Now().UTC()}, nil
}

// openCache opens the cache repository, emptied when it has become too large.
func (f *fetching) openCache() (*repository, error) {
	r, err := openRepository(f.cacheDir(f.id))
	if err != nil || !r.full(f.limits) {
		return r, err
	}
	r.close()
	if err := os.RemoveAll(r.dir); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return openRepository(r.dir)
}

// complete transfers what the cache lacks of the candidates.
func (r *repository) complete(ctx context.Context, s session, refs *packp.AdvRefs, choice choice, limits Limits, tmp string) error {
	if choice.history {
		return r.transfer(ctx, s, refs, choice.candidates, true, limits, tmp)
	}
	lacking := slices.DeleteFunc(slices.Clone(choice.candidates), func(c candidate) bool { return r.holds(c.want) })
	if len(lacking) == 0 {
		return nil
	}
	return r.transfer(ctx, s, refs, lacking, false, limits, tmp)
}

// choose picks the commit among the candidates, all of which are in the cache.
func (r *repository) choose(ctx context.Context, choice choice) (candidate, error) {
	if choice.history {
		return r.find(ctx, choice)
	}
	var newest candidate
	var when time.Time
	for i, c := range choice.candidates {
		var err error
		if c.commit, err = r.commitOf(ctx, c.want); err != nil {
			return c, err
		}
		made, err := r.commit(ctx, c.commit)
		if err != nil {
			return c, err
		}
		if i == 0 || !made.committed.Before(when) {
			newest, when = c, made.committed
		}
	}
	return newest, nil
}

// find looks for a commit in the history that was transferred.
func (r *repository) find(ctx context.Context, choice choice) (candidate, error) {
	c := choice.candidates[0]
	if !choice.onBranch {
		if !r.objects.has(c.commit) {
			return c, fmt.Errorf("%w: no branch and no tag leads to commit %s", ErrReferenceNotFound, c.commit)
		}
		return c, nil
	}
	found, err := r.reaches(ctx, c.want, c.commit)
	if err == nil && !found {
		err = fmt.Errorf("%w: commit %s is not on branch %s", ErrReferenceNotFound, c.commit, c.label)
	}
	return c, err
}

// materialize makes the artifact of a commit, unless it is there already, and returns its digest and tree.
func (f *fetching) materialize(ctx context.Context, r *repository, id plumbing.Hash) (manifest.Digest, string, error) {
	var none manifest.Digest
	c, err := r.commit(ctx, id)
	if err != nil {
		return none, "", err
	}
	files, err := r.list(ctx, c.tree, f.limits)
	if err != nil {
		return none, "", err
	}
	if files, err = r.keep(ctx, files, f.req.Ignore, f.limits); err != nil {
		return none, "", err
	}
	links, err := r.checkLinks(ctx, files)
	if err != nil {
		return none, "", err
	}
	var last previous
	if f.last != nil {
		last = openPrevious(f.last.Dir, f.last.Digest)
	}
	if err := r.measure(files, last, f.limits); err != nil {
		return none, "", err
	}
	index := encodeIndex(files)
	digest := manifest.DigestOf(index)
	dir := f.treeOf(f.id, hexOf(digest))
	if f.Usable(ctx, source.Artifact{Dir: dir, Digest: digest}) {
		return digest, dir, nil
	}
	return digest, dir, f.place(dir, func(tmp string) error {
		return r.checkOut(ctx, tmp, files, links, index, last, f.limits)
	})
}
