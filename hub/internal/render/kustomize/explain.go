package kustomize

import (
	"errors"
	"fmt"
	"path"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/manifest"
)

// explain finds the manifest that kustomize could not read and says so, with the line; when every manifest is good, the
// error is kustomize's own, after what is built. kustomize's message names neither, and speaks of directories and
// remote repositories.
func explain(fsys *fileSystem, err error) error {
	if fsys.failed != nil {
		return fsys.failed
	}
	for _, p := range fsys.resources {
		data, rerr := fsys.content(p)
		if rerr != nil {
			return rerr
		}
		if cause := examine(p, data); cause != nil {
			return cause
		}
	}
	return fmt.Errorf("%s: %w", fsys.built(), err)
}

// built names what is built: the kustomization file, or the directory if it has none.
func (f *fileSystem) built() string {
	for file := range f.overlay { // the only one
		if k, err := f.tree.Type(file); err == nil && k == render.Absent {
			return tree.Local(path.Dir(file))
		}
		return tree.Local(file)
	}
	return ""
}

// examine returns the error of one manifest file, with its line; nil if the file is good.
func examine(p string, data []byte) error {
	_, err := manifest.Parse(data)
	if err == nil {
		return nil
	}
	if at, ok := errors.AsType[*manifest.ParseError](err); ok && at.Line > 0 {
		return fmt.Errorf("%s:%d: %w", tree.Local(p), at.Line, at.Err)
	}
	return fmt.Errorf("%s: %w", tree.Local(p), err)
}
