package writeback

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"k8s.io/apimachinery/pkg/types"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/image"
	"github.com/navefleet/nave/hub/internal/source"
)

const (
	defaultMessage = "Update from image update automation" // Flux's
	maxCommitText  = 64 << 10                              // bytes of a commit message, and
	maxChangeText  = 512                                   // more for each changed value
	maxRepeat      = 10_000                                // of functions that make much of a number
)

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

// removed are fields that Flux's templates had, each with what to write instead.
var removed = map[string]string{
	".Updated": "range over .Changed.Changes, which have .OldValue, .NewValue and .Setter",
	".Changed.ImageResult": "range over .Changed.Objects or .Changed.Changes, which have .OldValue, .NewValue and " +
		".Setter",
}

// message returns the text that the template of a field makes; unset is the text without a template. Errors are
// source.ErrRequest.
func message(field, text, unset string, data Data) (string, error) {
	if strings.TrimSpace(text) == "" {
		return unset, nil
	}
	refuse := func(err error) (string, error) {
		for field, instead := range removed {
			if strings.Contains(text, field) {
				err = fmt.Errorf("%w; %s was removed: %s", err, field, instead)
			}
		}
		return "", fmt.Errorf("%w: %s: %w", source.ErrRequest, field, err)
	}
	t, err := template.New("message").Funcs(functions()).Parse(text)
	if err != nil {
		return refuse(err)
	}
	out := limited{limit: maxCommitText + maxChangeText*data.Changed.count()}
	if err := t.Execute(&out, data); err != nil {
		return refuse(err)
	}
	if strings.TrimSpace(out.String()) == "" {
		return refuse(errors.New("the message is empty"))
	}
	return out.String(), nil
}

// functions are sprig's that depend on nothing but their arguments, without those that make much of a number.
func functions() template.FuncMap {
	all := sprig.HermeticTxtFuncMap()
	repeat := all["repeat"].(func(int, string) string)
	all["repeat"] = func(n int, text string) (string, error) {
		if n > maxRepeat || n*len(text) > maxCommitText {
			return "", fmt.Errorf("repeat makes more than %s", artifact.FormatSize(maxCommitText))
		}
		return repeat(n, text), nil
	}
	for _, name := range []string{"indent", "nindent"} {
		indent := all[name].(func(int, string) string)
		all[name] = func(n int, text string) (string, error) {
			if n > maxRepeat || n*(1+strings.Count(text, "\n")) > maxCommitText {
				return "", fmt.Errorf("%s makes more than %s", name, artifact.FormatSize(maxCommitText))
			}
			return indent(n, text), nil
		}
	}
	until := all["untilStep"].(func(int, int, int) []int)
	all["untilStep"] = func(start, stop, step int) ([]int, error) {
		if step == 0 || (float64(stop)-float64(start))/float64(step) > maxRepeat { // integers overflow
			return nil, fmt.Errorf("more than %d steps", maxRepeat)
		}
		return until(start, stop, step), nil
	}
	all["until"] = func(n int) ([]int, error) {
		if n > maxRepeat || n < -maxRepeat {
			return nil, fmt.Errorf("more than %d steps", maxRepeat)
		}
		if n < 0 {
			return until(0, n, -1), nil
		}
		return until(0, n, 1), nil
	}
	delete(all, "seq") // it has no limit, and until does the same
	return all
}

// limited keeps up to limit bytes.
type limited struct {
	bytes.Buffer
	limit int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > l.limit {
		return 0, fmt.Errorf("the message has more than %s, and %s for each change", artifact.FormatSize(maxCommitText),
			artifact.FormatSize(maxChangeText))
	}
	return l.Buffer.Write(p)
}
