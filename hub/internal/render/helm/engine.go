package helm

import (
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
)

// Engine renders the templates of charts. Implementations are safe for concurrent use.
type Engine interface {
	// Render returns the texts that the templates of a chart render. Equal inputs give equal outputs, except for values
	// that a template generates by chance or from the clock. Errors name the template and the line, or the value.
	Render(in Input) (*Output, error)
}

// File is a file of a chart. Its name is relative to the folder of the chart, with slashes.
type File struct {
	Name string
	Data []byte
}

// Input is a chart and all that its templates can see.
type Input struct {
	// Files are all files of the chart: Chart.yaml, values.yaml, templates/, charts/ and others.
	Files []File
	// Values override the values of the chart. The Engine does not change them.
	Values       map[string]any
	Release      Release
	Capabilities api.Capabilities
	Compat       Compat
	// SkipSchema leaves out the check of the values by the schemas of the chart and its subcharts.
	SkipSchema bool
	// Generation answers the calls of templates that were rewritten to look up generated values; nil: there are none.
	Generation *Generation

	// texts changes the texts that templates give to tpl; nil: it gets them as they are.
	texts func(string) string
	// watch has the functions that rewritten templates call; nil: there are none.
	watch *watcher
}

// withTexts returns an input with one more change of texts, after the others.
func (in Input) withTexts(change func(string) string) Input {
	before := in.texts
	in.texts = change
	if before != nil {
		in.texts = func(text string) string { return change(before(text)) }
	}
	return in
}

// Release is what templates see as .Release.
type Release struct {
	Name      string
	Namespace string
	// Upgrade is set if an earlier revision of the release is installed.
	Upgrade  bool
	Revision int // counts from 1
}

// Compat is the version of Helm whose results the package gives where versions differ.
type Compat int

// The versions of Helm. The zero Compat is Helm4.
const (
	Helm3 Compat = 3
	Helm4 Compat = 4
)

// Output is what the templates of a chart render.
type Output struct {
	Chart render.Chart
	// Texts are the rendered templates by their path, such as app/charts/db/templates/service.yaml, without the notes.
	Texts map[string]string
	// CRDs are the files in crds/ of the chart and of its enabled subcharts, by their path.
	CRDs  []File
	Notes string // the rendered templates/NOTES.txt of the chart
	Asked render.Asked
	// Recipes are those of the placeholders that Generation gave.
	Recipes []render.Recipe
}
