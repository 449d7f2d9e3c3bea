package git

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// Checkout says which commits an Editor reads.
type Checkout struct {
	Ref *sourcev1.GitRepositoryRef // nil: that of the GitRepository
	// References are further ones, by their full names. They need not exist.
	References []string
}

// Commit is a commit that an Editor has read or made.
type Commit struct {
	ID        string // the full hash
	Tree      string // the hash of the tree of its files
	Author    string // name and address, as in the commit
	Committer string
	Subject   string // the first line of the message
	Message   string // all of it
}

// Editor changes files of one repository: it makes commits and pushes them. It may be used until the function that was
// given the Editor returns.
type Editor struct {
	// Head is the commit of Checkout.Ref. Label names the branch or tag that led to Head; empty: none did.
	Head  Commit
	Label string
	// References are the commits of those of Checkout.References that the server has.
	References map[string]Commit

	fetching   *fetching
	repository *repository
	made       []object               // for the next push
	has        map[plumbing.Hash]bool // the objects that are made
	readers    []reference            // of the GitRepository and of the checkout
}

// Edit calls do with an Editor for the repository of r.Object, a GitRepository. It transfers no history. If the
// GitRepository wants its commits to be signed, so must Head be: a signed commit on top would hide that Head is not.
// The cache is locked until do returns. If the cache turns out to be broken, do is called a second time. Errors are
// those of Fetch, source.ErrRejected and source.ErrMoved.
func (f Fetcher) Edit(ctx context.Context, r source.Request, at Checkout,
	do func(context.Context, *Editor) error) error {
	g := &fetching{Request: r, limits: cmp.Or(f.Limits, DefaultLimits), tokens: f.Tokens}
	if err := g.start(ctx); err != nil {
		return g.explain(err)
	}
	readers := []reference{g.spec.Ref}
	if at.Ref != nil {
		g.spec.Ref = referenceOf(at.Ref)
		readers = append(readers, g.spec.Ref)
	}
	return g.explain(g.twice(ctx, func() error {
		return g.locked(ctx, func() error {
			e := &Editor{fetching: g, References: map[string]Commit{}, readers: readers}
			if err := e.open(ctx, at.References); err != nil {
				return err
			}
			defer e.repository.close()
			return do(ctx, e)
		})
	}))
}

// referenceOf returns the reference of a checkout.
func referenceOf(r *sourcev1.GitRepositoryRef) reference {
	return reference{Branch: r.Branch, Tag: r.Tag, SemVer: r.SemVer, Commit: r.Commit, Name: r.Name}
}

// open brings the commits of the checkout and of further references into the cache, and reads them. The references are
// read under the lock of the cache: those of somebody who waited for the lock would be the ones from before the
// pushes of those who had it.
func (e *Editor) open(ctx context.Context, names []string) error {
	f := e.fetching
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
	wanted, further := choice, map[string]candidate{}
	for _, name := range names {
		if c, ok := lookup(refs, name); ok {
			further[name] = c
			wanted.candidates = append(slices.Clone(wanted.candidates), c)
		}
	}
	if e.repository, err = f.openCache(); err != nil {
		return err
	}
	err = e.repository.complete(ctx, s, refs, wanted, f.limits, f.Workspace.Tmp)
	if err == nil {
		err = e.read(ctx, choice, further)
	}
	if err != nil {
		e.repository.close()
	}
	return err
}

// read sets Head, Label and References.
func (e *Editor) read(ctx context.Context, choice choice, further map[string]candidate) error {
	chosen, err := e.repository.choose(ctx, choice)
	if err != nil {
		return err
	}
	keys, err := e.headKeys()
	if err != nil {
		return err
	}
	if keys != nil {
		if _, err := e.repository.verifyCommit(ctx, *keys, chosen.commit); err != nil {
			return err
		}
	}
	e.Label = chosen.label
	if e.Head, err = e.commit(ctx, chosen.commit); err != nil {
		return err
	}
	for name, c := range further {
		if e.References[name], err = e.commit(ctx, c.want); err != nil {
			return err
		}
	}
	return nil
}

// headKeys returns the keys that must have signed the commits which the GitRepository reads; nil if nobody must.
func (e *Editor) headKeys() (*publicKeys, error) {
	if v := e.fetching.spec.Verify; v == nil || !v.VerifyHEAD() {
		return nil, nil
	}
	keys, err := readPublicKeys(e.fetching.Secrets[verifyField])
	return &keys, err
}

// Check returns the error of a Push that would set a reference which the GitRepository or the checkout reads to a
// commit that both would then refuse.
func (e *Editor) Check(p Push) error {
	read := func(t Target) bool {
		return slices.ContainsFunc(e.readers, func(r reference) bool { return r.reads(t.Reference) })
	}
	at := slices.IndexFunc(p.Targets, read)
	keys, err := e.headKeys()
	if at < 0 || keys == nil || err != nil {
		return err
	}
	made := e.made[len(e.made)-1]
	if _, err = keys.checkCommit(made.id, made.content); err != nil {
		err = fmt.Errorf("%w; it was not pushed, because the GitRepository verifies the commits of %s: sign them with a key "+
			"whose public half is in the Secret of %s", err, p.Targets[at].Reference, verifyField)
	}
	return err
}

// commit reads the commit that a reference leads to.
func (e *Editor) commit(ctx context.Context, id plumbing.Hash) (Commit, error) {
	id, err := e.repository.commitOf(ctx, id)
	if err != nil {
		return Commit{}, err
	}
	c, err := e.repository.commit(ctx, id)
	return describe(id, c), err
}

// describe returns what an Editor tells of a commit.
func describe(id plumbing.Hash, c commit) Commit {
	return Commit{id.String(), c.tree.String(), c.author, c.committer, c.subject, c.message}
}

// Files lists the regular files of a commit, Head or one of References, below a folder ("" is the root), in the order
// of their paths. If there is no such folder, or no file in it, the error is source.ErrReferenceNotFound.
func (e *Editor) Files(ctx context.Context, of Commit, dir string) ([]artifact.File, error) {
	l := &lister{repository: e.repository, limits: e.fetching.limits, sparse: newSparse([]string{dir})}
	if err := l.list(ctx, plumbing.NewHash(of.Tree), plumbing.ZeroHash, ""); err != nil {
		return nil, err
	}
	if len(l.files) == 0 && dir != "" {
		return nil, fmt.Errorf("%w: commit %s has no folder %q", source.ErrReferenceNotFound, of.ID, dir)
	}
	isLink := func(f artifact.File) bool { return f.Mode == artifact.Symlink }
	return slices.DeleteFunc(l.files, isLink), nil
}

// Read returns the content of a file that Files has listed.
func (e *Editor) Read(ctx context.Context, f artifact.File) ([]byte, error) {
	return e.repository.Read(ctx, f, e.fetching.limits.File)
}
