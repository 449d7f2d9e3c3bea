package git

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
)

// Config is what a Fetcher is made of.
type Config struct {
	Dir     string      // where caches and artifacts are kept. No other Fetcher may use it
	Limits  Limits      // fields that are zero have their defaults
	Network dial.Policy // the servers that may be dialled
	// Run runs a job, usually in a confined process. Nil: in this process.
	Run func(context.Context, Job) (Result, error)
}

// Fetcher fetches Git repositories. It may be used from several goroutines; fetches of one repository with the same
// credentials take turns.
type Fetcher struct {
	Config

	mu    sync.Mutex
	ready bool                    // prepare has succeeded
	trees map[string]*artifactUse // by an artifact's tree

	repairs sync.Mutex // held while an artifact may be discarded because it is damaged
}

// artifactUse is what this process knows of an artifact on disk.
type artifactUse struct {
	whole  bool      // written or verified by this process
	unused time.Time // since when Sweep sees no use; zero: in use
}

// New returns a Fetcher.
func New(c Config) *Fetcher {
	if abs, err := filepath.Abs(c.Dir); err == nil {
		c.Dir = abs
	}
	c.Limits = c.Limits.or(defaults)
	if c.Run == nil {
		c.Run = func(ctx context.Context, j Job) (Result, error) { return j.Run(ctx) }
	}
	return &Fetcher{Config: c, trees: map[string]*artifactUse{}}
}

func (f *Fetcher) tmp() string                   { return filepath.Join(f.Dir, "tmp") }
func (f *Fetcher) locks() string                 { return filepath.Join(f.Dir, "locks") }
func (f *Fetcher) lockOf(id string) string       { return filepath.Join(f.locks(), id) }
func (f *Fetcher) cacheDir(id string) string     { return filepath.Join(f.Dir, "cache", id) }
func (f *Fetcher) artifactsDir(id string) string { return filepath.Join(f.Dir, "artifacts", id) }

// prepare removes, before anything else is done, what an earlier process left half done.
func (f *Fetcher) prepare() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ready {
		return nil
	}
	for _, dir := range []string{f.tmp(), f.locks()} {
		if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
			return fmt.Errorf("%w: %w", ErrStorage, err)
		}
	}
	f.ready = true
	return nil
}

// Fetch returns the artifact that req means now. last is the artifact that an equal request gave before, or nil; while
// the reference has not moved, it is the answer, and nothing but the server's list of references was read. An artifact
// from an earlier process is compared with its digest first.
//
// The errors are those of this package, with the URL (without credentials), the reference, the cause and a way out; or
// the cause of ctx's end.
func (f *Fetcher) Fetch(ctx context.Context, req Request, last *source.Artifact) (source.Artifact, error) {
	artifact, err := f.fetch(ctx, req, last)
	switch {
	case err == nil:
		return artifact, nil
	case ctx.Err() != nil:
		return source.Artifact{}, context.Cause(ctx)
	default:
		return source.Artifact{}, explain(req, err)
	}
}

// fetch fetches, and once more when the artifact that is already there turns out to be damaged.
func (f *Fetcher) fetch(ctx context.Context, req Request, last *source.Artifact) (source.Artifact, error) {
	if _, err := req.check(); err != nil {
		return source.Artifact{}, err
	}
	if err := f.prepare(); err != nil {
		return source.Artifact{}, err
	}
	if last != nil && !f.Usable(ctx, *last) {
		last = nil
	}
	for range 2 {
		result, err := f.work(ctx, req, last)
		if err != nil {
			return source.Artifact{}, err
		}
		if result.Unmoved && last != nil {
			return *last, nil
		}
		a := source.Artifact{Revision: result.Revision, Digest: result.Digest, FetchedAt: time.Now().UTC()}
		a.Dir = filepath.Join(f.artifactsDir(req.cacheID()), hexOf(a.Digest), treeDir)
		if whole, err := f.adopt(ctx, a, result.Written); err != nil || whole {
			return a, err
		}
	}
	return source.Artifact{}, fmt.Errorf("%w: the artifact was damaged as soon as it was written", ErrStorage)
}

// work runs the job of a request, in a folder that goes with it however the job ends.
func (f *Fetcher) work(ctx context.Context, req Request, last *source.Artifact) (Result, error) {
	limits := req.Limits.or(f.Limits)
	req.Timeout = min(cmp.Or(req.Timeout, limits.Timeout), maxTimeout)
	tmp, err := os.MkdirTemp(f.tmp(), "fetch-")
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	defer os.RemoveAll(tmp)
	id := req.cacheID()
	return f.Run(ctx, Job{
		Request: req, Limits: limits, Network: f.Network, Last: last,
		Cache: f.cacheDir(id), Lock: f.lockOf(id), Artifacts: f.artifactsDir(id), Tmp: tmp,
	})
}

// adopt takes note of an artifact that a job wrote or found. A damaged one is discarded, and adopt returns false.
func (f *Fetcher) adopt(ctx context.Context, a source.Artifact, written bool) (bool, error) {
	if written && f.mark(a.Dir) {
		return true, nil
	}
	f.repairs.Lock()
	defer f.repairs.Unlock()
	if f.Usable(ctx, a) {
		return true, nil
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err := f.discard(filepath.Dir(a.Dir)); err != nil {
		return false, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return false, nil
}
