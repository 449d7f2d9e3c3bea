package git

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/shared/version"
)

// made is what the cache knows of an artifact: of which tree of a commit it was made, and by which rules. The next
// artifact shares the folders whose trees are the same.
type made struct {
	Artifact string `json:"artifact"` // its digest
	Tree     string `json:"tree"`
	Rules    string `json:"rules"`
	// Special are the files of the tree that have a meaning for other folders than their own: symlinks and ignore files,
	// sorted by path. If one of them changes, nothing is shared.
	Special []artifact.File `json:"special,omitempty"`
}

// Limits of what the cache knows of artifacts. Beyond them nothing is shared.
const (
	maxMade    = 32  // artifacts
	maxSpecial = 100 // special files of one
)

// tree returns the tree of the commit. If m is nil, tree returns the zero hash.
func (m *made) tree() plumbing.Hash {
	if m == nil {
		return plumbing.ZeroHash
	}
	return plumbing.NewHash(m.Tree)
}

// isSpecial reports whether a file has a meaning for other folders than its own.
func isSpecial(f artifact.File) bool {
	return f.Mode == artifact.Symlink || path.Base(f.Path) == sourceignore.IgnoreFile
}

// rules identify what, beside the tree of a commit, an artifact depends on. A hub of another build may judge otherwise.
func (f *fetching) rules() string {
	// Strings and bools: marshalling them cannot fail.
	text, _ := json.Marshal([]any{version.String(), f.spec.Ignore, f.spec.SparseCheckout, f.spec.RecurseSubmodules})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// lastMade returns what the cache knows of the last artifact. If the artifact was made by other rules, lastMade returns
// nil.
func (f *fetching) lastMade(r *repository) *made {
	if f.Last == nil {
		return nil
	}
	digest, rules := f.Last.Digest.String(), f.rules()
	for _, m := range r.state.Made {
		if m.Artifact == digest && m.Rules == rules {
			return &m
		}
	}
	return nil
}

// put makes an artifact of a commit that is in the cache. It lists only the folders that the commit changed, if it can.
func (f *fetching) put(ctx context.Context, r *repository, id plumbing.Hash, name string) (artifact.Artifact, error) {
	a, err := f.putSince(ctx, r, id, name, f.lastMade(r))
	if errors.Is(err, artifact.ErrShared) {
		a, err = f.putSince(ctx, r, id, name, nil)
	}
	return a, err
}

// putSince makes an artifact that shares folders with the last one, unless last is nil. If it cannot share them, the
// error is artifact.ErrShared.
func (f *fetching) putSince(ctx context.Context, r *repository, id plumbing.Hash, name string, last *made) (
	a artifact.Artifact, err error) {
	g := newGathering(f, r)
	defer func() { err = g.close(err) }()
	g.last = last
	if err := g.add(ctx, r, id, place{address: f.url}); err != nil {
		return artifact.Artifact{}, err
	}
	special, err := g.special()
	if err != nil {
		return artifact.Artifact{}, err
	}
	if err := g.sparse.check(g.files, g.shared); err != nil {
		return artifact.Artifact{}, err
	}
	a, err = f.Workspace.Put(ctx, f.id, artifact.Tree{
		Revision: name, Files: g.files, Shared: g.shared, Contents: g.contents(), Ignore: f.spec.Ignore,
		Limits: f.limits.Limits,
	}, f.Last)
	isOdd := func(f artifact.File) bool { return !artifact.IsPlain(f.Path) } // JSON would change it
	if err != nil || g.linked || len(special) > maxSpecial || slices.ContainsFunc(special, isOdd) {
		return a, err
	}
	return a, r.rememberMade(made{a.Digest.String(), g.tree.String(), f.rules(), special})
}

// special returns the special files of the commit, and adds those in shared folders to the files. If they are not
// those of the last artifact, the error is artifact.ErrShared.
func (g *gathering) special() ([]artifact.File, error) {
	var own, shared []artifact.File
	for _, f := range g.files {
		if isSpecial(f) {
			own = append(own, f)
		}
	}
	if g.last == nil {
		return sortFiles(own), nil
	}
	for _, f := range g.last.Special {
		if slices.ContainsFunc(g.shared, func(dir string) bool { return dir == "" || sparse{dir}.has(f.Path) }) {
			shared = append(shared, f)
		}
	}
	all := sortFiles(slices.Concat(own, shared))
	if !slices.Equal(all, g.last.Special) {
		return nil, artifact.ErrShared
	}
	g.files = append(g.files, shared...)
	return all, nil
}

func sortFiles(files []artifact.File) []artifact.File {
	slices.SortFunc(files, func(a, b artifact.File) int { return strings.Compare(a.Path, b.Path) })
	return files
}

// rememberMade records of what an artifact was made.
func (r *repository) rememberMade(m made) error {
	isSame := func(o made) bool { return o.Artifact == m.Artifact && o.Rules == m.Rules }
	r.state.Made = append(slices.DeleteFunc(r.state.Made, isSame), m)
	return r.save()
}
