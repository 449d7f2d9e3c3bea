// Package compose makes artifacts of other artifacts: what a source includes, or what a generator copies together.
//
// A composition works on the lists of files that artifacts have. Contents are only read where they change: where YAML
// is merged or an archive is unpacked. All other contents of the result are hard links to those of the inputs.
package compose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// Composer is a source.Fetcher that asks no server: it composes the artifact of a Request with Inputs. Zero Limits are
// the DefaultLimits.
type Composer struct{ Limits artifact.Limits }

var _ source.Fetcher = Composer{}

// Fetch implements source.Fetcher. Errors name the field of the copy that failed.
func (c Composer) Fetch(ctx context.Context, r source.Request) (artifact.Artifact, error) {
	view, err := r.Object.Source()
	if err != nil {
		return artifact.Artifact{}, err
	}
	if c.Limits == (artifact.Limits{}) {
		c.Limits = artifact.DefaultLimits
	}
	b := &build{
		ctx: ctx, request: r, limits: c.Limits,
		files: map[string]file{}, folders: map[string]bool{}, inputs: map[string]*input{},
	}
	if err := b.run(view); err != nil {
		return artifact.Artifact{}, source.Classify(err, composition)
	}
	a, err := b.put(view)
	if err != nil {
		return artifact.Artifact{}, source.Classify(err, composition)
	}
	return a, nil
}

// composition wraps a copyError in source.ErrCompose. For any other error composition returns nil.
func composition(err error) error {
	if _, ok := errors.AsType[copyError](err); ok {
		return fmt.Errorf("%w: %w", source.ErrCompose, err)
	}
	return nil
}

// copyError is the error of a copy that fails whatever the disk does.
type copyError string

// Error implements error.
func (e copyError) Error() string { return string(e) }

func refuse(format string, args ...any) error { return copyError(fmt.Sprintf(format, args...)) }

// build is one composition.
type build struct {
	ctx     context.Context
	request source.Request
	limits  artifact.Limits
	inputs  map[string]*input // by alias
	files   map[string]file   // of the result, by path
	folders map[string]bool   // of the result
	made    int64             // bytes that were merged or unpacked
}

// file is a file of the result and where its content is.
type file struct {
	artifact.File
	of   *input // nil: name
	at   artifact.File
	name string // a file of the workspace
}

// run adds the source's own tree to the result and makes all copies.
func (b *build) run(view *api.Source) error {
	if own := b.request.Own; own != nil {
		tree, err := b.open(*own, "the source itself")
		if err != nil {
			return err
		}
		for _, f := range tree.list {
			if err := b.add(f.Path, file{File: f, of: tree, at: f}); err != nil {
				return err
			}
		}
	}
	if len(b.request.Inputs) != len(view.Composition.Aliases) || len(view.Inputs) != len(b.request.Inputs) {
		return fmt.Errorf("%w: the request has %d artifacts for %d inputs", source.ErrRequest, len(b.request.Inputs),
			len(view.Inputs))
	}
	for i, alias := range view.Composition.Aliases {
		tree, err := b.open(b.request.Inputs[i], view.Inputs[i].Key.String())
		if err != nil {
			return err
		}
		b.inputs[alias] = tree
	}
	for _, c := range view.Composition.Copies {
		if err := b.copy(c); err != nil {
			return fmt.Errorf("%s: %w", c.Field, err)
		}
	}
	return nil
}

// put writes the result. If the result is the last artifact, put returns that.
func (b *build) put(view *api.Source) (artifact.Artifact, error) {
	tree := artifact.Tree{Contents: contents{b}, Limits: b.limits, NoIgnoreFiles: b.request.Own == nil}
	if b.request.Own != nil {
		tree.Ignore = view.Composition.Ignore
	}
	for _, f := range b.files {
		tree.Files = append(tree.Files, f.File)
	}
	last := b.request.Last
	a, err := b.request.Workspace.Put(b.ctx, b.id(), tree, last)
	if err != nil {
		return a, err
	}
	if own := b.request.Own; own != nil {
		a.Notice, a.Verification, a.Commit = own.Notice, own.Verification, own.Commit
	}
	if origin := b.inputs[view.Composition.Origin]; origin != nil {
		a.Origin = originOf(origin.artifact)
	}
	switch alias := view.Composition.Revision; {
	case alias != "":
		a.Revision = b.inputs[alias].artifact.Revision
	case b.request.Own != nil:
		a.Revision = b.request.Own.Revision
	default:
		files, err := b.request.Workspace.Files(a)
		if err != nil {
			return a, err
		}
		a.Revision = "latest@" + artifact.DigestOf(files).String()
	}
	if last != nil && last.Dir == a.Dir && last.Revision == a.Revision {
		a.FetchedAt = last.FetchedAt
	}
	return a, nil
}

// originOf returns the origin that the publisher of an input names. If there is none, originOf returns the revision of
// the input.
func originOf(a artifact.Artifact) artifact.Origin {
	return artifact.Origin{Revision: cmp.Or(a.Origin.Revision, a.Revision), Source: a.Origin.Source}
}

// id returns the name under which the artifact is kept. The name depends on the names of the inputs, so that a source
// without access to one of the inputs never gets the artifact.
func (b *build) id() string {
	var ids []string
	for _, a := range append(slices.Clone(b.request.Inputs), *orZero(b.request.Own)) {
		ids = append(ids, filepath.Dir(filepath.Dir(a.Dir)))
	}
	slices.Sort(ids)
	return b.request.CacheID("composed " + strings.Join(slices.Compact(ids), " "))
}

func orZero(a *artifact.Artifact) *artifact.Artifact {
	if a == nil {
		return &artifact.Artifact{}
	}
	return a
}

// contents are those of the result. They implement artifact.OnDisk.
type contents struct{ *build }

// Name implements artifact.OnDisk.
func (c contents) Name(f artifact.File) string {
	from := c.files[f.Path]
	if from.of == nil {
		return from.name
	}
	return c.request.Workspace.FileName(from.of.artifact, from.at)
}

// Size implements artifact.Contents.
func (c contents) Size(f artifact.File) (int64, error) { return c.files[f.Path].Size, nil }

// Read implements artifact.Contents.
func (c contents) Read(ctx context.Context, f artifact.File, limit int64) ([]byte, error) {
	return c.read(ctx, c.files[f.Path], limit)
}

// read returns the content of a file of the result.
func (b *build) read(ctx context.Context, f file, limit int64) ([]byte, error) {
	if f.of == nil {
		return readMade(f, limit)
	}
	return b.request.Workspace.ReadFile(ctx, f.of.artifact, f.at, limit)
}
