package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/internal/plan"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wording"
)

// renderedObject is an object, and the files that it was rendered from.
type renderedObject struct {
	*manifest.Object
	origin plan.Origin
}

// manifestFiles has the places of objects and of patches of them, by kind and name.
type manifestFiles map[string]map[string][]manifestPlace

// manifestPlace is a document of a file.
type manifestPlace struct {
	file string
	manifest.Located
}

// indexManifests reads the manifests of an origin. It leaves out what it cannot read.
func indexManifests(o plan.Origin) manifestFiles {
	found := manifestFiles{}
	for _, file := range o.Files {
		if !isManifest(file) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(o.Dir, filepath.FromSlash(file)))
		if err != nil {
			continue
		}
		objects, _ := manifest.ParseAll(data)
		for _, at := range objects {
			kind, name := at.GetKind(), at.GetName()
			if found[kind] == nil {
				found[kind] = map[string][]manifestPlace{}
			}
			found[kind][name] = append(found[kind][name], manifestPlace{file, at})
		}
	}
	return found
}

// find returns the documents that are an object or a patch of it. If the object was renamed, they are those of the only
// object of its kind whose name is a part of the new one. If there are none, such as for a generated object, find
// returns nil.
func (f manifestFiles) find(o *manifest.Object) []manifestPlace {
	names := f[o.GetKind()]
	if places := names[o.GetName()]; places != nil {
		return places
	}
	parts := slices.DeleteFunc(slices.Collect(maps.Keys(names)), func(name string) bool {
		return !strings.Contains(o.GetName(), name)
	})
	if len(parts) != 1 {
		return nil
	}
	return names[parts[0]]
}

// describe returns the name of an object behind the places of one of its fields.
func (v *validator) describe(o renderedObject, field string) schemaFault {
	name := manifest.IDOf(o.Object).String()
	if template := o.origin.Templates[manifest.IDOf(o.Object)]; template != "" {
		return schemaFault{file: template, text: template + ": " + name}
	}
	id := o.origin.Dir + "\n" + strings.Join(o.origin.Files, "\n")
	index, ok := v.files[id]
	if !ok {
		index = indexManifests(o.origin)
		v.files[id] = index
	}
	places := placesIn(index.find(o.Object), o.Object, field)
	if len(places) == 0 {
		return schemaFault{file: name, text: name}
	}
	texts := make([]string, len(places))
	for i, at := range places {
		texts[i] = at.text
	}
	places[0].text = wording.List(texts, len(texts), 3) + ": " + name
	return places[0]
}

// placesIn returns the places of the documents that give an object the value of a field: of one document, the line of
// the field if it has it; of several, those with this value. If there are none, such as when an inline patch gives the
// field, they are the files of all documents.
func placesIn(all []manifestPlace, o *manifest.Object, field string) (places []schemaFault) {
	names := manifest.FieldNames(field)
	value, _ := manifest.ValueAt(o.Object, names)
	for _, at := range all {
		written, has := manifest.ValueAt(at.Object.Object, names)
		if has && (len(all) == 1 || sameJSON(written, value)) {
			line := at.Line(field)
			places = append(places, schemaFault{at.file, line, manifest.At(at.file, at.Document, line)})
		}
	}
	if len(places) > 0 {
		return places
	}
	for _, at := range all {
		if file := (schemaFault{file: at.file, text: at.file}); !slices.Contains(places, file) {
			places = append(places, file)
		}
	}
	return places
}

// sameJSON reports whether two values are the same in JSON.
func sameJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
