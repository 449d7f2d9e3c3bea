package kustomize

import (
	"fmt"
	"path"
	"strings"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
)

// kustomizationFile returns the path of the kustomization file of a directory. If there is none, kustomizationFile
// returns "". If there are several, kustomizationFile returns an error that names them, because kustomize accepts none
// of them.
func kustomizationFile(fsys *fileSystem, dir string) (string, error) {
	var found []string
	for _, name := range kustomizationNames() {
		if fsys.is(path.Join(dir, name), render.Regular) {
			found = append(found, name)
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return path.Join(dir, found[0]), nil
	}
	return "", fmt.Errorf("%s has several kustomization files: %s; keep one of them", tree.Local(path.Join(dir, ".")),
		strings.Join(found, " and "))
}

// isBase reports whether a directory has a kustomization file.
func isBase(fsys *fileSystem, dir string) bool {
	file, err := kustomizationFile(fsys, dir)
	return file != "" || err != nil
}

// isComponent reports whether a directory is a Component, and returns its kustomization file. If the file cannot be
// read or decoded, isComponent returns false; kustomize reports the error.
func isComponent(fsys *fileSystem, dir string) (file string, yes bool, err error) {
	file, err = kustomizationFile(fsys, dir)
	if file == "" || err != nil {
		return file, false, err
	}
	var head types.TypeMeta
	data, err := fsys.content(file)
	if err != nil || yaml.Unmarshal(data, &head) != nil {
		return file, false, nil
	}
	return file, head.Kind == types.ComponentKind, nil
}

// checkBase refuses a directory that a kustomization file lists in the wrong field. kustomize's own message names at
// most one of the two files.
func checkBase(fsys *fileSystem, field, dir string) error {
	file, component, err := isComponent(fsys, dir)
	switch {
	case err != nil:
		return err
	case field == "resources" && component:
		return fmt.Errorf("%s is a Component, which is no resource: list its directory in components", tree.Local(file))
	case field == "components" && !component && file != "":
		return fmt.Errorf("%s is no Component: list its directory in resources, or give it kind: Component", tree.Local(file))
	}
	return nil
}
