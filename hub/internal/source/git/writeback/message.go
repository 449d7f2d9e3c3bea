package writeback

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/navefleet/nave/hub/internal/image"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/template"
)

const defaultMessage = "Update from image update automation" // Flux's

// Data is what a template of a commit message sees, as in Flux.
type Data struct {
	AutomationObject types.NamespacedName
	Changed          Changed
	Values           map[string]string
	Policy           string // of a pull request for one policy; Flux has no such field
}

// Changed are the changes of a run.
type Changed struct {
	FileChanges map[string]ObjectChanges // by path
}

// ObjectChanges are changes by object.
type ObjectChanges map[image.Object][]Change

// Change is a value that got another one.
type Change struct{ OldValue, NewValue, Setter string }

// newChanged returns the changes of files.
func newChanged(files []changedFile) Changed {
	all := Changed{FileChanges: map[string]ObjectChanges{}}
	for _, f := range files {
		objects := ObjectChanges{}
		for _, c := range f.changes {
			objects[c.Object] = append(objects[c.Object], Change{c.Old, c.New, c.Setter})
		}
		all.FileChanges[f.path] = objects
	}
	return all
}

// count returns the number of changed values.
func (c Changed) count() (n int) {
	for _, objects := range c.FileChanges {
		for _, changes := range objects {
			n += len(changes)
		}
	}
	return n
}

// Objects returns the changes of each object, in any file.
func (c Changed) Objects() ObjectChanges {
	all := ObjectChanges{}
	for _, objects := range c.FileChanges {
		for object, changes := range objects {
			all[object] = append(all[object], changes...)
		}
	}
	for _, changes := range all {
		slices.SortStableFunc(changes, compareChanges)
	}
	return all
}

// Changes returns the changes, each once.
func (c Changed) Changes() []Change {
	var all []Change
	for _, changes := range c.Objects() {
		all = append(all, changes...)
	}
	slices.SortFunc(all, compareChanges)
	return slices.Compact(all)
}

func compareChanges(a, b Change) int {
	return slices.Compare([]string{a.Setter, a.NewValue, a.OldValue}, []string{b.Setter, b.NewValue, b.OldValue})
}

// message returns the text that the template of a field makes; unset is the text without a template. Errors are
// source.ErrRequest.
func message(field, text, unset string, data Data) (string, error) {
	if strings.TrimSpace(text) == "" {
		return unset, nil
	}
	made, err := template.Execute(text, data, data.Changed.count())
	if err != nil {
		return "", fmt.Errorf("%w: %s: %w", source.ErrRequest, field, err)
	}
	return made, nil
}
