package main

import (
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/internal/plan"
	"github.com/navefleet/nave/hub/internal/render/kustomize"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wording"
)

// renderedObject is an object, and the files that it was rendered from.
type renderedObject struct {
	*manifest.Object
	origin plan.Origin
}

// manifestFiles has the files of objects, by kind and name.
type manifestFiles map[string]map[string][]string

// indexManifests reads the manifests of an origin. It leaves out what it cannot read.
func indexManifests(o plan.Origin) manifestFiles {
	found := manifestFiles{}
	for _, file := range o.Files {
		if !slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(file)) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(o.Dir, filepath.FromSlash(file)))
		if err != nil {
			continue
		}
		for kind, name := range kustomize.Identities(data) {
			if found[kind] == nil {
				found[kind] = map[string][]string{}
			}
			if !slices.Contains(found[kind][name], file) {
				found[kind][name] = append(found[kind][name], file)
			}
		}
	}
	return found
}

// find returns the files that hold an object or a patch of it. If the object was renamed, they are those of the only
// object of its kind whose name is a part of the new one. If there are none, such as for a generated object, find
// returns nil.
func (f manifestFiles) find(o *manifest.Object) []string {
	names := f[o.GetKind()]
	if files := names[o.GetName()]; files != nil {
		return files
	}
	parts := slices.DeleteFunc(slices.Collect(maps.Keys(names)), func(name string) bool {
		return !strings.Contains(o.GetName(), name)
	})
	if len(parts) != 1 {
		return nil
	}
	return names[parts[0]]
}

// describe returns the name of an object behind the files that hold it.
func (v *validator) describe(o renderedObject) string {
	if template := o.origin.Templates[manifest.IDOf(o.Object)]; template != "" {
		return template + ": " + manifest.IDOf(o.Object).String()
	}
	id := o.origin.Dir + "\n" + strings.Join(o.origin.Files, "\n")
	index, ok := v.files[id]
	if !ok {
		index = indexManifests(o.origin)
		v.files[id] = index
	}
	name := manifest.IDOf(o.Object).String()
	if files := index.find(o.Object); len(files) > 0 {
		return wording.List(files, len(files), 3) + ": " + name
	}
	return name
}
