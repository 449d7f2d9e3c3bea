package artifact

import (
	"context"
	"os"
	"path"
	"path/filepath"
)

// Draft is a copy of the tree of the last artifact, of hard links, from which Put makes the next artifact. A fetcher
// that waits for a server has it made meanwhile: most files of the next tree will be the same.
type Draft struct {
	last   previous
	dir    string
	files  map[string]File // by path, those that are in the tree of dir; symlinks are left out
	err    error           // of making the draft
	done   chan struct{}
	cancel context.CancelFunc
}

// NewDraft begins to make a draft of the last artifact. The caller calls Stop in any case. If last is nil, NewDraft
// returns nil, which is a valid Draft of nothing.
func (w Workspace) NewDraft(ctx context.Context, last *Artifact) *Draft {
	if last == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	d := &Draft{dir: filepath.Join(w.Tmp, "draft"), files: map[string]File{}, done: make(chan struct{}), cancel: cancel}
	go func() {
		defer close(d.done)
		d.last = w.openPrevious(last)
		d.err = d.make(ctx)
	}()
	return d
}

// Stop ends the making of a draft. If no Put has taken the draft, it goes with the Workspace.
func (d *Draft) Stop() {
	if d != nil {
		d.cancel()
		<-d.done
	}
}

// make links all files of the last artifact.
func (d *Draft) make(ctx context.Context) error {
	w := &writer{dir: filepath.Join(d.dir, treeDir), made: map[string]bool{}}
	for _, f := range d.last.all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if f.Mode == Symlink {
			continue
		}
		if err := w.folder(path.Dir(f.Path)); err != nil {
			return err
		}
		name := filepath.FromSlash(f.Path)
		if err := os.Link(filepath.Join(d.last.dir, name), filepath.Join(w.dir, name)); err != nil {
			return err
		}
		d.files[f.Path] = f
	}
	return nil
}

// previous returns the files of the last artifact, once the draft has read them.
func (d *Draft) previous() previous {
	<-d.done
	return d.last
}

// moveTo makes the draft the content of dir, which does not exist, without the files that are not in a tree or differ
// there. It returns the files that stay. If the draft could not be made, moveTo returns none, and does not make dir.
func (d *Draft) moveTo(dir string, tree []File) (stay map[string]bool) {
	if d == nil {
		return nil
	}
	if <-d.done; d.err != nil || len(d.files) == 0 {
		return nil
	}
	stay = make(map[string]bool, len(tree))
	for _, f := range tree {
		if old, ok := d.files[f.Path]; ok && old.identity() == f.identity() {
			stay[f.Path] = true
		}
	}
	for name := range d.files {
		if stay[name] {
			continue
		}
		if err := os.Remove(d.name(name)); err != nil {
			return nil
		}
		for folder := parent(name); folder != "" && os.Remove(d.name(folder)) == nil; { // until one is not empty
			folder = parent(folder)
		}
	}
	if os.Rename(d.dir, dir) != nil {
		return nil
	}
	return stay
}

func (d *Draft) name(p string) string { return filepath.Join(d.dir, treeDir, filepath.FromSlash(p)) }
