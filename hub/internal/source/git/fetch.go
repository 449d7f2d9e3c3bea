package git

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// Fetcher fetches GitRepositories. Zero Limits are the DefaultLimits. Without Tokens, GitHub is asked for a token at
// each fetch.
type Fetcher struct {
	Limits Limits
	Tokens *Tokens
}

var _ source.Fetcher = Fetcher{}

// Fetch implements source.Fetcher. Its errors name the reference, the cause and the way out.
func (f Fetcher) Fetch(ctx context.Context, r source.Request) (artifact.Artifact, error) {
	g := &fetching{Request: r, limits: cmp.Or(f.Limits, DefaultLimits), tokens: f.Tokens}
	a, err := g.run(ctx, g.attempt)
	if err != nil {
		return artifact.Artifact{}, g.explain(err)
	}
	return a, nil
}

// explain returns an error with its kind and with the reference. It returns nil for nil.
func (f *fetching) explain(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, source.ErrAuthentication) {
		f.tokens.drop(f.tokenID)
	}
	// Only this process knows the token of a GitHub App.
	err = source.Conceal(source.Classify(err, classify), f.Secrets)
	if errors.Is(err, source.ErrRequest) { // whatever the reference is
		return err
	}
	return fmt.Errorf("%s: %w", f.spec.Ref, err)
}

// isAnonymous reports whether the server is asked without credentials.
func (f *fetching) isAnonymous() bool {
	_, hasSecret := f.Secrets[secretField]
	_, hasProvider := f.Secrets[source.ProviderField]
	return !hasSecret && !hasProvider && f.url.User == nil
}

// fetching is one fetch.
type fetching struct {
	source.Request
	spec   spec
	url    *url.URL // of spec
	id     string   // of the cache
	limits Limits

	tokens  *Tokens
	tokenID [sha256.Size]byte // of the token in Secrets
}

// run makes an attempt, and one more with an empty cache if the cache turned out to be broken.
func (f *fetching) run(ctx context.Context, attempt func(context.Context, session) (artifact.Artifact, error)) (
	artifact.Artifact, error) {
	if err := f.start(ctx); err != nil {
		return artifact.Artifact{}, err
	}
	var a artifact.Artifact
	err := f.twice(ctx, func() error {
		s, err := open(ctx, f, uploadPack)
		if err != nil {
			return err
		}
		defer s.close()
		a, err = attempt(ctx, s)
		return err
	})
	return a, err
}

// start reads the request and logs in.
func (f *fetching) start(ctx context.Context) error {
	if err := f.decode(); err != nil {
		return err
	}
	return f.logIn(ctx)
}

// twice makes an attempt, and one more if the cache turned out to be broken.
func (f *fetching) twice(ctx context.Context, attempt func() error) error {
	err := attempt()
	if !errors.Is(err, errCache) || errors.Is(err, syscall.ENOSPC) || ctx.Err() != nil {
		return err
	}
	return attempt()
}

// attempt goes from the server's references to the artifact.
func (f *fetching) attempt(ctx context.Context, s session) (artifact.Artifact, error) {
	refs, err := s.advertise(ctx)
	if err != nil {
		return artifact.Artifact{}, err
	}
	choice, err := resolve(f.spec.Ref, refs)
	if err != nil {
		return artifact.Artifact{}, err
	}
	first := choice.candidates[0]
	isOne := len(choice.candidates) == 1 || choice.history
	if isOne && f.IsLast(revision(first.label, first.commit), f.verified()) {
		return *f.Last, nil
	}
	var a artifact.Artifact
	err = f.locked(ctx, func() error {
		a, err = f.update(ctx, s, refs, choice)
		return err
	})
	return a, err
}

// locked calls do while nobody else uses the cache, and removes the cache if do finds it broken.
func (f *fetching) locked(ctx context.Context, do func() error) error {
	unlock, err := f.Workspace.Lock(ctx, f.id)
	if err != nil {
		return err
	}
	defer unlock()
	err = do()
	if spoilsCache(err) {
		if err := os.RemoveAll(f.Workspace.CacheDir(f.id)); err != nil {
			return artifact.StorageError(err)
		}
	}
	return err
}

// update brings the commit into the cache and its tree into an artifact.
func (f *fetching) update(ctx context.Context, s session, refs *packp.AdvRefs, choice choice) (artifact.Artifact,
	error) {
	r, err := f.openCache()
	if err != nil {
		return artifact.Artifact{}, err
	}
	defer r.close()
	if err := r.complete(ctx, s, refs, choice, f.limits, f.Workspace.Tmp); err != nil {
		return artifact.Artifact{}, err
	}
	chosen, err := r.choose(ctx, choice)
	if err != nil {
		return artifact.Artifact{}, err
	}
	name := revision(chosen.label, chosen.commit)
	if f.IsLast(name, f.verified()) {
		return *f.Last, nil
	}
	verification, err := f.verify(ctx, r, chosen)
	if err != nil {
		return artifact.Artifact{}, err
	}
	if f.Last != nil && f.Last.Revision == name {
		again := *f.Last
		again.Verification = verification
		return again, nil
	}
	a, err := f.put(ctx, r, chosen.commit, name)
	if err != nil {
		return a, err
	}
	made, err := r.commit(ctx, chosen.commit)
	a.Verification, a.Commit = verification, made.about()
	return a, err
}

// openCache opens the cache repository, emptied if it has become too large.
func (f *fetching) openCache() (*repository, error) {
	dir := f.Workspace.CacheDir(f.id)
	if readState(dir).full(f.limits) {
		if err := os.RemoveAll(dir); err != nil {
			return nil, artifact.StorageError(err)
		}
	}
	return openRepository(dir)
}

// complete transfers what the cache lacks of the candidates.
func (r *repository) complete(ctx context.Context, s session, refs *packp.AdvRefs, choice choice, limits Limits,
	tmp string) error {
	isHere := func(c candidate) bool { return !choice.history && r.holds(c.want) }
	lacking := slices.DeleteFunc(slices.Clone(choice.candidates), isHere)
	if len(lacking) == 0 {
		return nil
	}
	return r.transfer(ctx, s, refs, lacking, choice.history, limits, tmp)
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
			return c, c.named(err)
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
		has, err := r.objects.has(c.commit)
		if err == nil && !has {
			err = fmt.Errorf("%w: no branch and no tag leads to commit %s", source.ErrReferenceNotFound, c.commit)
		}
		return c, err
	}
	found, err := r.reaches(ctx, c.want, c.commit)
	if err == nil && !found {
		err = fmt.Errorf("%w: commit %s is not on branch %s", source.ErrReferenceNotFound, c.commit, c.label)
	}
	return c, err
}

// Size implements artifact.Contents.
func (r *repository) Size(f artifact.File) (int64, error) {
	return r.size(plumbing.NewHash(string(f.Content)))
}

// Read implements artifact.Contents.
func (r *repository) Read(ctx context.Context, f artifact.File, limit int64) ([]byte, error) {
	return r.read(ctx, plumbing.BlobObject, plumbing.NewHash(string(f.Content)), limit)
}
