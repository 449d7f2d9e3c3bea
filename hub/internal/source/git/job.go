package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"

	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/shared/manifest"
)

// Job is one fetch as plain data. It can be run by another process than the Fetcher's, and holds credentials.
type Job struct {
	Request   Request
	Limits    Limits           // none is zero
	Network   dial.Policy      // the servers that may be dialled
	Last      *source.Artifact // the artifact of an equal request, whole; or nil
	Cache     string           // folder of the cache of this URL and these credentials
	Lock      string           // file that is locked while the cache is in use
	Artifacts string           // folder of the artifacts of this URL and these credentials
	Tmp       string           // folder of this job alone, on the same disk
}

// Result is what came of a Job.
type Result struct {
	Unmoved  bool // Job.Last is the artifact; the other fields are empty
	Revision string
	Digest   manifest.Digest
	Written  bool // the artifact was written by this job, and not found
}

// Reasons are all errors of Run, by names that another process can send.
var Reasons = map[string]error{
	"limit": ErrLimit, "denied": dial.ErrDenied, "request": ErrRequest, "authentication": ErrAuthentication,
	"untrusted": ErrUntrusted, "repository": ErrRepositoryNotFound, "reference": ErrReferenceNotFound,
	"timeout": ErrTimeout, "tree": ErrTree, "storage": ErrStorage, "protocol": ErrProtocol, "unreachable": ErrUnreachable,
}

// Run fetches. Its errors are those of Reasons or the error of ctx.
func (j Job) Run(ctx context.Context) (Result, error) {
	limited, cancel := context.WithTimeout(ctx, j.Request.Timeout)
	defer cancel()
	result, err := (&fetching{Job: j, dialer: dial.New(j.Network)}).run(limited)
	switch {
	case err == nil || ctx.Err() != nil:
		return result, err
	case limited.Err() != nil:
		return Result{}, fmt.Errorf("%w of %s (spec.timeout)", ErrTimeout, j.Request.Timeout)
	case errors.Is(err, errCache): // twice in a row: the server does not send what it should
		err = fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return Result{}, classify(err)
}

// fetching is one run of a Job.
type fetching struct {
	Job
	dialer *dial.Dialer
}

// run fetches, and once more with an empty cache when the cache turned out to be broken.
func (f *fetching) run(ctx context.Context) (Result, error) {
	u, err := f.Request.check()
	if err != nil {
		return Result{}, err
	}
	for attempt := 0; ; attempt++ {
		s, err := open(ctx, f.dialer, u, f.Request.Auth, f.Limits, f.Tmp)
		if err != nil {
			return Result{}, err
		}
		result, err := f.attempt(ctx, s)
		s.close()
		if attempt > 0 || !errors.Is(err, errCache) || ctx.Err() != nil {
			return result, err
		}
	}
}

// attempt goes the way from the server's references to the artifact.
func (f *fetching) attempt(ctx context.Context, s session) (Result, error) {
	refs, err := s.advertise(ctx)
	if err != nil {
		return Result{}, err
	}
	choice, err := resolve(f.Request.Ref, refs)
	if err != nil {
		return Result{}, err
	}
	if c := choice.candidates; (len(c) == 1 || choice.history) && f.isLast(revision(c[0].label, c[0].commit)) {
		return Result{Unmoved: true}, nil
	}
	unlock, err := lock(ctx, f.Lock)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	result, err := f.update(ctx, s, refs, choice)
	if errors.Is(err, errCache) {
		if err := os.RemoveAll(f.Cache); err != nil {
			return result, fmt.Errorf("%w: %w", ErrStorage, err)
		}
	}
	return result, err
}

// isLast reports whether the last artifact has this revision.
func (f *fetching) isLast(revision string) bool { return f.Last != nil && f.Last.Revision == revision }

// update brings the commit into the cache and its tree into an artifact.
func (f *fetching) update(ctx context.Context, s session, refs *packp.AdvRefs, choice choice) (Result, error) {
	r, err := f.openCache()
	if err != nil {
		return Result{}, err
	}
	defer r.close()
	if err := r.complete(ctx, s, refs, choice, f.Limits, f.Tmp); err != nil {
		return Result{}, err
	}
	chosen, err := r.choose(ctx, choice)
	if err != nil {
		return Result{}, err
	}
	name := revision(chosen.label, chosen.commit)
	if f.isLast(name) {
		return Result{Unmoved: true}, nil
	}
	digest, written, err := f.materialize(ctx, r, chosen.commit)
	return Result{Revision: name, Digest: digest, Written: written}, err
}

// openCache opens the cache repository, emptied when it has become too large.
func (f *fetching) openCache() (*repository, error) {
	r, err := openRepository(f.Cache)
	if err != nil || !r.full(f.Limits) {
		return r, err
	}
	r.close()
	if err := os.RemoveAll(r.dir); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return openRepository(r.dir)
}

// complete transfers what the cache lacks of the candidates.
func (r *repository) complete(ctx context.Context, s session, refs *packp.AdvRefs, choice choice, limits Limits,
	tmp string) error {
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

// materialize makes the artifact of a commit, unless it is there already, and returns its digest.
func (f *fetching) materialize(ctx context.Context, r *repository, id plumbing.Hash) (digest manifest.Digest,
	written bool, err error) {
	c, err := r.commit(ctx, id)
	if err != nil {
		return digest, false, err
	}
	files, err := r.list(ctx, c.tree, f.Limits)
	if err != nil {
		return digest, false, err
	}
	if files, err = r.keep(ctx, files, f.Request.Ignore); err != nil {
		return digest, false, err
	}
	links, err := r.checkLinks(ctx, files)
	if err != nil {
		return digest, false, err
	}
	var last previous
	if f.Last != nil {
		last = openPrevious(f.Last.Dir, f.Last.Digest)
	}
	if err := r.measure(files, last, f.Limits); err != nil {
		return digest, false, err
	}
	index := encodeIndex(files)
	digest = manifest.DigestOf(index)
	written, err = f.place(filepath.Join(f.Artifacts, hexOf(digest)), func(dir string) error {
		return r.checkOut(ctx, dir, files, links, index, last, f.Limits)
	})
	return digest, written, err
}

// place lets write fill a folder beside all others and then gives it its name. It reports false when the name is taken:
// what has it is the same artifact, whole or damaged.
func (f *fetching) place(home string, write func(dir string) error) (bool, error) {
	if _, err := os.Lstat(home); err == nil {
		return false, nil
	}
	dir := filepath.Join(f.Tmp, "artifact")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return false, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	if err := write(dir); err != nil {
		return false, err
	}
	if err := os.MkdirAll(f.Artifacts, 0o700); err != nil {
		return false, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	err := os.Rename(dir, home)
	if errors.Is(err, os.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return true, nil
}
