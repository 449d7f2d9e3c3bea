package kustomize

import (
	"errors"
	"fmt"
	"path"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/manifest"
)

// explain returns the error of a failed build. If kustomize could not read a manifest, the error has its file and line.
// If all manifests are good, explain returns err with the name of the built file or directory. kustomize's own message
// has neither, and is about directories and remote repositories.
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
	if cause := duplicate(fsys, err); cause != nil {
		return cause
	}
	return fmt.Errorf("%s: %w", fsys.built(), err)
}

// built returns the path of the kustomization file that is built, or of the directory if it has none.
func (f *fileSystem) built() string {
	for file := range f.overlay { // the only one
		if k, err := f.tree.Type(file); err == nil && k == render.Absent {
			return tree.Local(path.Dir(file))
		}
		return tree.Local(file)
	}
	return ""
}

// examine returns the error of one manifest file, with its line. If the file is good, examine returns nil.
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
