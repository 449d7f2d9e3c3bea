package api

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wording"
)

// admitError is the error of Admit about an object.
type admitError struct {
	key Key
	err error // of several fields: an utilerrors.Aggregate
}

// Error implements error.
func (e *admitError) Error() string { return e.key.String() + ": " + e.err.Error() }

// Unwrap returns the cause.
func (e *admitError) Unwrap() error { return e.err }

// fault is one thing that is wrong with an object.
type fault struct {
	field string // "": the whole object
	text  string
}

// faultsOf divides an error of Admit, or several errors that were joined.
func faultsOf(err error) (all []fault) {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range several.Unwrap() {
			all = append(all, faultsOf(one)...)
		}
		return all
	}
	of, ok := errors.AsType[*admitError](err)
	if !ok {
		return []fault{{text: err.Error()}}
	}
	list := []error{of.err}
	if several, ok := errors.AsType[utilerrors.Aggregate](of.err); ok {
		list = several.Errors()
	}
	for _, err := range list {
		f := fault{text: of.key.String() + ": " + err.Error()}
		if wrong, ok := errors.AsType[*field.Error](err); ok {
			f.field = wrong.Field
		}
		all = append(all, f)
	}
	return all
}

// Place is where an object stands that Admit refuses: a file, and the lines of the fields that are wrong.
type Place struct {
	File     string         `json:"file"`
	Document int            `json:"document"`
	Lines    map[string]int `json:"lines"` // by field; "": that of the object
}

// PlaceOf returns the place of an object that Admit refuses with err.
func PlaceOf(file string, o *manifest.Located, err error) *Place {
	p := &Place{File: file, Document: o.Document, Lines: map[string]int{"": o.Line("")}}
	for _, f := range faultsOf(err) {
		p.Lines[f.field] = o.Line(f.field)
	}
	return p
}

// Faults returns one text for each fault that an error of Admit names, with its place: "FILE:7: …".
func (p *Place) Faults(err error) (texts []string) {
	all := faultsOf(err)
	slices.SortStableFunc(all, func(a, b fault) int { return cmp.Compare(p.lineOf(a), p.lineOf(b)) })
	for _, f := range all {
		texts = append(texts, manifest.At(p.File, p.Document, p.lineOf(f))+": "+f.text)
	}
	return texts
}

func (p *Place) lineOf(f fault) int {
	if line, known := p.Lines[f.field]; known {
		return line
	}
	return p.Lines[""]
}

// Explain returns an error of Admit with the place of each fault. If the place is not known (nil), Explain returns err.
func (p *Place) Explain(err error) error {
	if p == nil || err == nil {
		return err
	}
	return &placedError{strings.Join(p.Faults(err), "; "), err}
}

// placedError is an error of Admit with the places of its faults.
type placedError struct {
	text string
	err  error
}

// Error implements error.
func (e *placedError) Error() string { return e.text }

// Unwrap returns the error without the places.
func (e *placedError) Unwrap() error { return e.err }

// File is a file with manifests, or a part of one.
type File struct {
	Name  string // "": what a caller sends
	Data  []byte
	Start manifest.Start // of the part
}

// maxFaults limits the faults that an error of Admit or of AdmitAll lists: who writes an object chooses how many it
// has, and its error is stored and compared.
const maxFaults = 100

// maxFault limits the bytes of one fault in the error of AdmitAll, which travels in a header.
const maxFault = 1 << 10

// AdmitAll calls admit with each object of files. The error has one line for each fault of all files, with its place:
// manifests that cannot be parsed, objects that admit refuses, and keys that it returns twice. Objects for which it
// returns the zero Key may be given more than once.
func AdmitAll(files []File, admit func(*manifest.Object) (Key, error)) error {
	b := NewBatch(admit)
	for _, file := range files {
		b.Add(file)
	}
	return b.Err()
}

// Batch admits the objects of files that come one after another, as AdmitAll does.
type Batch struct {
	admit  func(*manifest.Object) (Key, error)
	faults Faults
	first  map[Key]string // the places
}

// NewBatch returns a Batch without files.
func NewBatch(admit func(*manifest.Object) (Key, error)) *Batch {
	return &Batch{admit: admit, first: map[Key]string{}}
}

// Add admits the objects of a file.
func (b *Batch) Add(file File) {
	objects, wrong := manifest.ParsePart(manifest.Part{Data: file.Data, Start: file.Start})
	for _, w := range wrong {
		b.fail(w.In(file.Name))
	}
	for _, o := range objects {
		key, err := b.admit(o.Object)
		place := manifest.At(file.Name, o.Document, o.Line(""))
		before, twice := b.first[key]
		switch {
		case err != nil:
			b.fail(PlaceOf(file.Name, &o, err).Faults(err)...)
		case twice && key != Key{}:
			b.fail(fmt.Sprintf("%s: %s is given twice, also at %s: remove one of the two", place, key, before))
		default:
			b.first[key] = place
		}
	}
}

// fail notes faults.
func (b *Batch) fail(faults ...string) { b.faults.Add(faults...) }

// Err returns the error about all files so far; nil: nothing is wrong.
func (b *Batch) Err() error { return b.faults.Err() }

// At returns the place of an object that was admitted.
func (b *Batch) At(key Key) string { return b.first[key] }

// Faults is what is wrong with several objects. It keeps the first faults and counts the others.
type Faults struct {
	first []string
	more  int
}

// Add notes faults.
func (f *Faults) Add(texts ...string) {
	for _, text := range texts {
		if len(f.first) < maxFaults {
			f.first = append(f.first, wording.Shorten(text, maxFault))
		} else {
			f.more++
		}
	}
}

// Err returns the error about all faults, one a line; nil: there are none.
func (f *Faults) Err() error {
	texts := f.first
	if f.more > 0 {
		texts = append(slices.Clip(texts), fmt.Sprintf("and %d more", f.more))
	}
	if len(texts) == 0 {
		return nil
	}
	return errors.New(strings.Join(texts, "\n"))
}

// maxFieldName limits the names of unknown fields for which a near one is searched.
const maxFieldName = 100

// nearestField returns the name of the field that was most likely meant by an unknown one at a path in a type; "": none
// is near.
func nearestField(t reflect.Type, path string) string {
	names := strings.Split(path, ".")
	wrong := names[len(names)-1]
	for _, name := range names[:len(names)-1] {
		name, _, _ = strings.Cut(name, "[")
		if t = itemOf(t); t.Kind() == reflect.Map {
			t = t.Elem()
		} else if t = jsonFields(t)[name]; t == nil {
			return ""
		}
	}
	if t = itemOf(t); len(wrong) > maxFieldName {
		return ""
	}
	return wording.Nearest(wrong, slices.Sorted(maps.Keys(jsonFields(t))))
}

// itemOf returns the type behind pointers, and that of the items of lists.
func itemOf(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}

// jsonFields returns the types of the fields of a struct by their names in JSON. Another type has none.
func jsonFields(t reflect.Type) map[string]reflect.Type {
	found := map[string]reflect.Type{}
	if t.Kind() != reflect.Struct {
		return found
	}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			maps.Copy(found, jsonFields(itemOf(f.Type)))
		case name != "" && name != "-":
			found[name] = f.Type
		}
	}
	return found
}
