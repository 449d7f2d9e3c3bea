package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/plan"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/compose"
	"github.com/navefleet/nave/hub/internal/source/helm"
)

// composer makes the trees of sources that are made of others, as the hub does.
type composer struct {
	mu    sync.Mutex
	dir   string // a temporary one; empty: nothing was composed yet
	store *artifact.Store
	made  map[string]plan.Tree // by the source and its inputs
}

// close removes what was composed.
func (c *composer) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dir != "" {
		_ = os.RemoveAll(c.dir)
	}
}

// open makes the temporary folder.
func (c *composer) open() (err error) {
	if c.dir != "" {
		return nil
	}
	c.dir, err = os.MkdirTemp("", "nave-compose-")
	c.store, c.made = artifact.New(c.dir), map[string]plan.Tree{}
	return err
}

// compose returns the tree of a source that is made of others, once for equal inputs.
func (c *checkout) compose(ctx context.Context, o *api.Object, view *api.Source,
	inputs func() ([]plan.Tree, error)) (plan.Tree, error) {
	trees, err := inputs()
	if err != nil {
		return plan.Tree{}, err
	}
	var own *plan.Tree
	if view.URL != "" { // the composition applies its rules
		dir, err := c.folderOf(o, view)
		if err != nil {
			return plan.Tree{}, err
		}
		t, err := c.treeIn(dir, "")
		if err != nil {
			return plan.Tree{}, err
		}
		own = &t
	}
	m := &c.composer
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.open(); err != nil {
		return plan.Tree{}, err
	}
	id := o.Digest.String()
	for _, t := range trees {
		id += fmt.Sprintf("\x00%s\x00%s\x00%t", t.Dir, t.Rules, t.Git)
	}
	if t, done := m.made[id]; done {
		return t, nil
	}
	a, err := m.store.Make(ctx, nil, func(w artifact.Workspace, _ *artifact.Artifact) (artifact.Artifact, error) {
		return composeIn(ctx, w, o, own, trees)
	})
	if err != nil {
		return plan.Tree{}, compositionError(o.Key, err)
	}
	dir := filepath.Join(m.dir, "made", strconv.Itoa(len(m.made)))
	if err := m.store.Export(ctx, a, dir); err != nil {
		return plan.Tree{}, err
	}
	m.made[id] = plan.Tree{Dir: dir, Revision: c.revision, Made: a}
	return m.made[id], nil
}

// compositionError returns the error of a source that is made of others. A dependency that no folder has is no failure:
// the hub fetches it.
func compositionError(key api.Key, err error) error {
	explained := fmt.Errorf("%s: %w", key, source.ExplainComposition(err))
	if errors.Is(err, helm.ErrNotVendored) {
		return &plan.NoFolder{Err: explained}
	}
	return explained
}

// composeIn composes an artifact in a workspace.
func composeIn(ctx context.Context, w artifact.Workspace, o *api.Object, own *plan.Tree,
	inputs []plan.Tree) (artifact.Artifact, error) {
	r := source.Request{Object: o, Workspace: w}
	if own != nil {
		a, err := keep(ctx, w, *own)
		if err != nil {
			return a, err
		}
		r.Own = &a
	}
	for _, t := range inputs {
		a, err := keep(ctx, w, t)
		if err != nil {
			return a, err
		}
		r.Inputs = append(r.Inputs, a)
	}
	view, err := o.Source()
	switch {
	case err != nil:
		return artifact.Artifact{}, err
	case len(view.Composition.Aliases) == 0: // a chart in another source
		return helm.Charts{}.Fetch(ctx, r)
	}
	return compose.Composer{}.Fetch(ctx, r)
}

// keep makes an artifact of a folder.
func keep(ctx context.Context, w artifact.Workspace, t plan.Tree) (artifact.Artifact, error) {
	tree := artifact.Tree{Revision: t.Revision, Contents: localFiles(t.Dir), NoIgnoreFiles: true}
	err := filepath.WalkDir(t.Dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || name == t.Dir {
			return err
		}
		below, err := filepath.Rel(t.Dir, name)
		if err != nil {
			return err
		}
		path := filepath.ToSlash(below)
		left := t.Exclude != nil && t.Exclude(path, e.IsDir())
		switch {
		case e.IsDir() && left:
			return filepath.SkipDir
		case e.IsDir() || left || !e.Type().IsRegular() && e.Type() != fs.ModeSymlink:
			return nil
		}
		f, err := localFiles(t.Dir).file(path, e, t.Git)
		tree.Files = append(tree.Files, f)
		return err
	})
	if err != nil {
		return artifact.Artifact{}, err
	}
	id := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%t", t.Dir, t.Rules, t.Git))
	return w.Put(ctx, hex.EncodeToString(id[:16]), tree, nil)
}

// localFiles is a folder of a checkout. It implements artifact.Contents.
type localFiles string

// file describes a file or symlink of the folder. If git is set, its content is identified as that of a GitRepository,
// so that equal trees have equal digests.
func (l localFiles) file(path string, e fs.DirEntry, git bool) (artifact.File, error) {
	f := artifact.File{Path: path, Mode: artifact.Regular}
	info, err := e.Info()
	switch {
	case err != nil:
		return f, err
	case e.Type() == fs.ModeSymlink:
		f.Mode = artifact.Symlink
	case info.Mode()&0o111 != 0:
		f.Mode = artifact.Executable
	}
	text, err := l.Read(context.Background(), f, artifact.DefaultLimits.File)
	if f.Content = artifact.IdentifyContent(text); git {
		f.Content = artifact.IdentifyBlob(text)
	}
	return f, err
}

// Size implements artifact.Contents.
func (l localFiles) Size(f artifact.File) (int64, error) {
	info, err := os.Lstat(filepath.Join(string(l), filepath.FromSlash(f.Path)))
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Read implements artifact.Contents.
func (l localFiles) Read(_ context.Context, f artifact.File, limit int64) ([]byte, error) {
	name := filepath.Join(string(l), filepath.FromSlash(f.Path))
	if f.Mode == artifact.Symlink {
		target, err := os.Readlink(name)
		return []byte(target), err
	}
	if n, err := l.Size(f); err != nil || n > limit {
		return nil, cmp.Or(err, fmt.Errorf("%w: %s has more than %s", artifact.ErrLimit, f.Path, artifact.FormatSize(limit)))
	}
	return os.ReadFile(name)
}
