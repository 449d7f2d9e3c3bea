package kustomize

import (
	"fmt"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/resid"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/manifest"
)

// registered begins the name of the object in kustomize's error about an object that it has already.
const registered = "already registered id: "

// duplicate returns the error of a build that failed because two files have the same object, with the files. If the
// build failed for another reason, or no file has the object under its name, duplicate returns nil.
func duplicate(fsys *fileSystem, err error) error {
	_, id, ok := strings.Cut(err.Error(), registered)
	if !ok {
		return nil
	}
	id, _, _ = strings.Cut(id, "'")
	for _, p := range fsys.resources {
		data, rerr := fsys.content(p)
		if rerr != nil {
			continue
		}
		objects, rerr := manifest.Parse(data)
		if rerr != nil {
			continue
		}
		for _, o := range objects {
			if isNamed(o, id) {
				return fsys.locate(&objectError{o, fmt.Errorf("%s: %w", manifest.IDOf(o), render.ErrDuplicate)})
			}
		}
	}
	return nil
}

// isNamed reports whether an object has the name that kustomize uses: Kind.version.group/name.namespace. kustomize may
// have set the namespace.
func isNamed(o *manifest.Object, id string) bool {
	gvk := o.GroupVersionKind()
	kind := resid.Gvk{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind}
	namespace, ok := strings.CutPrefix(id, kind.String()+"/"+o.GetName()+".")
	return ok && !strings.Contains(namespace, ".")
}
