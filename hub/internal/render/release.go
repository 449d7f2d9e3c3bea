package render

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// Release is what a chart renders beside the objects of the release.
type Release struct {
	Chart Chart
	// Hooks are in the order of their kinds. At an event they run by weight, and by name within a weight.
	Hooks []Hook
	// CRDs are the objects in crds/ of the chart and its subcharts. Helm installs them first, and never changes them.
	CRDs  []*manifest.Object
	Notes string
	// Values are those that override the chart's, as JSON.
	Values json.RawMessage
	Asked  Asked
	// Generated are the fields that differ from render to render, such as passwords. The value in the cluster counts.
	Generated []Generated
	// Recipes say how the cluster makes the values of placeholders. Each needs none but earlier ones.
	Recipes []Recipe
	// Templates has the paths of the templates of objects and CRDs, as helm shows them. It stays in the process that
	// renders.
	Templates map[*manifest.Object]string `json:"-"`
}

// TemplatesByID returns the paths of the templates of all objects and hooks.
func (r *Release) TemplatesByID() map[manifest.ID]string {
	if r == nil {
		return nil
	}
	all := map[manifest.ID]string{}
	for o, path := range r.Templates {
		all[manifest.IDOf(o)] = path
	}
	for _, h := range r.Hooks {
		all[manifest.IDOf(h.Object)] = h.Path
	}
	return all
}

// Recipe is a bundle.Recipe, and the place of the call in the templates that it is of.
type Recipe struct {
	bundle.Recipe
	Site string
}

// Generated are the generated fields of one object.
type Generated struct {
	ID     manifest.ID `json:"id"`
	Hook   bool        `json:"hook,omitempty"`
	Fields []string    `json:"fields"` // JSON pointers
}

// Chart is what others need to know of a chart.
type Chart struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// AppVersion is the version of the software in the chart. It may be empty.
	AppVersion string `json:"appVersion,omitempty"`
	// Metadata is the content of Chart.yaml without its disabled dependencies, as Helm stores it with a release.
	Metadata json.RawMessage `json:"metadata"`
	// Defaults are the values of the chart, with those that it imports, as Helm stores them with a release.
	Defaults json.RawMessage `json:"defaults,omitempty"`
}

// Hook is an object that Helm creates at events in the life of a release. It is not one of the release's objects.
type Hook struct {
	Object *manifest.Object
	Path   string // of the template
	Events []string
	Weight int
	// DeletePolicies say when the object is deleted. There is at least one.
	DeletePolicies    []string
	OutputLogPolicies []string
}

// Asked are the facts about the cluster and the release that a render of a chart depends on. If no other fact changes,
// neither does the result.
type Asked struct {
	KubeVersion bool `json:"kubeVersion,omitempty"`
	// APIVersions has the APIs that templates asked for, and whether the cluster serves them.
	APIVersions map[string]bool `json:"apiVersions,omitempty"`
	// AllAPIVersions is set if a template may read the whole list of APIs.
	AllAPIVersions bool `json:"allApiVersions,omitempty"`
	// Upgrade is set if a template may read .Release.IsInstall or .Release.IsUpgrade; Revision, if it may read
	// .Release.Revision.
	Upgrade  bool `json:"upgrade,omitempty"`
	Revision bool `json:"revision,omitempty"`
	// Cluster is set if the result has values that the hub generated, which no two clusters may share.
	Cluster bool `json:"cluster,omitempty"`
}

// Answers returns the answers to these questions for some facts, with the questions, as text. A render that asked these
// questions has the same result for all facts with the same text.
func (a Asked) Answers(f api.ChartFacts) string {
	served := slices.Sorted(slices.Values(f.Capabilities.APIVersions))
	answers := struct {
		Asked       Asked
		KubeVersion string          `json:",omitempty"`
		All         manifest.Digest `json:",omitzero"`
		Upgrade     bool            `json:",omitempty"`
		Revision    int             `json:",omitempty"` // unless Upgrade tells it
		Cluster     string          `json:",omitempty"`
	}{Asked: a}
	answers.Asked.APIVersions = make(map[string]bool, len(a.APIVersions))
	for name := range a.APIVersions {
		_, answers.Asked.APIVersions[name] = slices.BinarySearch(served, name)
	}
	if a.KubeVersion {
		answers.KubeVersion = f.Capabilities.KubeVersion
	}
	if a.AllAPIVersions {
		answers.All = manifest.DigestOf([]byte(strings.Join(served, "\n")))
	}
	if a.Cluster {
		answers.Cluster = f.Cluster
	}
	answers.Upgrade = f.Upgrade && (a.Upgrade || a.Revision)
	first := api.ChartFacts{Upgrade: f.Upgrade}
	if n := f.Revision(); a.Revision && n != first.Revision() {
		answers.Revision = n
	}
	text, _ := json.Marshal(answers) // texts and booleans alone: this cannot fail
	return string(text)
}

// SameQuestions reports whether two renders asked the same questions.
func (a Asked) SameQuestions(b Asked) bool {
	return a.Answers(api.ChartFacts{}) == b.Answers(api.ChartFacts{})
}
