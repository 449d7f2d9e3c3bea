package kustomize

import (
	"errors"
	"fmt"
	"path"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/manifest"
)

// maxFaults limits the faults of manifests that an error lists: it is stored and compared.
const maxFaults = 100

// explain returns the error of a failed build. If kustomize could not read manifests, the error has all their files and
// lines. If all manifests are good, explain returns err with the name of the built file or directory. kustomize's own
// message has neither, and is about directories and remote repositories.
func explain(fsys *fileSystem, err error) error {
	if fsys.failed != nil {
		return fsys.failed
	}
	var unread []error
	for _, p := range fsys.resources {
		data, rerr := fsys.content(p)
		if rerr != nil {
			return rerr
		}
		unread = append(unread, examine(p, data)...)
	}
	if more := len(unread) - maxFaults; more > 0 {
		unread = append(unread[:maxFaults], fmt.Errorf("and %d more", more))
	}
	if causes := errors.Join(unread...); causes != nil {
		return causes
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

// examine returns the errors of one manifest file, with their lines.
func examine(p string, data []byte) (all []error) {
	_, faults := manifest.ParseAll(data)
	for _, f := range faults {
		all = append(all, errors.New(f.In(tree.Local(p))))
	}
	return all
}
