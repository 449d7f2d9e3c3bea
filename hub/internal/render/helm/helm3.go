package helm

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
)

// V3 is the Engine of Helm 3.
type V3 struct{}

var _ Engine = V3{}

// notesFile is the end of the path of a template that renders to notes.
const notesFile = "NOTES.txt"

// Render implements Engine.
func (V3) Render(in Input) (out *Output, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("Helm panicked: %v", r)
		}
	}()
	c, err := load(in.Files)
	if err != nil {
		return nil, err
	}
	if in.Compat != Helm3 {
		if v := c.Metadata.APIVersion; v != chart.APIVersionV1 && v != chart.APIVersionV2 {
			return nil, fmt.Errorf("Chart.yaml: apiVersion %s: want v1 or v2", v)
		}
		in = useHelm4Calls(c, in)
		separateAliases(c)
	}
	useTexts(c, in)
	if in.Compat != Helm3 {
		useChartMaps(c)
	}
	if err := chartutil.ProcessDependenciesWithMerge(c, in.Values); err != nil {
		return nil, fmt.Errorf("dependencies of chart %s: %w", c.Name(), err)
	}
	defaults, err := json.Marshal(c.Values)
	if err != nil {
		return nil, fmt.Errorf("values of chart %s: %w", c.Name(), err)
	}
	if in.Compat != Helm3 {
		dropNulls(c, in.Values)
	}
	values, err := chartutil.CoalesceValues(c, in.Values)
	if err != nil {
		return nil, fmt.Errorf("values: %w", err)
	}
	if !in.SkipSchema {
		if err := checkSchemas(c, values); err != nil {
			return nil, err
		}
	}
	if out, err = renderLoaded(c, values, in); err == nil && string(defaults) != "{}" {
		out.Chart.Defaults = defaults
	}
	return out, err
}

// renderLoaded renders a chart with the values that its templates see.
func renderLoaded(c *chart.Chart, values chartutil.Values, in Input) (*Output, error) {
	out := &Output{}
	if err := scanChart(c, values, &out.Asked); err != nil {
		return nil, err
	}
	helmVersion := chartutil.DefaultCapabilities.HelmVersion
	if in.Compat != Helm3 {
		helmVersion.Version = helm4Version
	}
	caps, err := newCapabilities(in.Capabilities, in.Compat, helmVersion, &out.Asked)
	if err != nil {
		return nil, err
	}
	if err := checkKubeVersion(c, caps, &out.Asked); err != nil {
		return nil, err
	}
	visible := chartutil.Values{
		"Chart": c.Metadata, "Capabilities": caps, "Values": values,
		"Release": map[string]any{
			"Name": in.Release.Name, "Namespace": in.Release.Namespace, "Service": "Helm",
			"IsInstall": !in.Release.Upgrade, "IsUpgrade": in.Release.Upgrade, "Revision": in.Release.Revision,
		},
	}
	provider := calls{texts: in.texts, watch: in.watch}
	if in.Generation != nil {
		provider.record = newRecorder(in.Generation)
	}
	if out.Texts, err = engine.RenderWithClientProvider(c, visible, provider); err != nil {
		return nil, nameCalls(err)
	}
	if provider.record != nil {
		out.Recipes = provider.record.recipes
	}
	out.Notes = out.Texts[path.Join(c.Name(), "templates", notesFile)]
	maps.DeleteFunc(out.Texts, func(name, _ string) bool { return strings.HasSuffix(name, notesFile) })
	for _, crd := range c.CRDObjects() {
		out.CRDs = append(out.CRDs, File{crd.Filename, crd.File.Data})
	}
	out.Chart = render.Chart{Name: c.Name(), Version: c.Metadata.Version, AppVersion: c.Metadata.AppVersion}
	out.Chart.Metadata, err = json.Marshal(c.Metadata)
	return out, err
}

// load returns the chart in files, with its subcharts sorted, because Helm loads them in any order.
func load(files []File) (*chart.Chart, error) {
	buffered := make([]*loader.BufferedFile, len(files))
	for i, f := range files {
		buffered[i] = &loader.BufferedFile{Name: f.Name, Data: f.Data}
	}
	c, err := loader.LoadFiles(buffered)
	if err != nil {
		return nil, err
	}
	sortSubcharts(c)
	if c.Metadata.Type != "" && c.Metadata.Type != "application" {
		return nil, fmt.Errorf("Chart.yaml: a chart of type %s cannot be installed: want type application", c.Metadata.Type)
	}
	return c, errors.Join(checkNames(c), checkDependencies(c))
}

func sortSubcharts(c *chart.Chart) {
	subcharts := slices.Clone(c.Dependencies())
	slices.SortFunc(subcharts, func(a, b *chart.Chart) int {
		return strings.Compare(a.Name()+"\x00"+a.Metadata.Version, b.Name()+"\x00"+b.Metadata.Version)
	})
	c.SetDependencies(subcharts...)
	for _, s := range subcharts {
		sortSubcharts(s)
	}
}

// checkNames refuses names that are no names of files, in a chart and its subcharts.
func checkNames(c *chart.Chart) error {
	if name := c.Name(); name == "." || name == ".." || strings.ContainsAny(name, `/\`) {
		return fmt.Errorf("Chart.yaml: name %q: want the name of a folder", name)
	}
	for _, s := range c.Dependencies() {
		if err := checkNames(s); err != nil {
			return err
		}
	}
	return nil
}

// checkDependencies refuses a chart that lacks a dependency of its Chart.yaml.
func checkDependencies(c *chart.Chart) error {
	var missing []string
	for _, d := range c.Metadata.Dependencies {
		found := func(s *chart.Chart) bool { return s.Name() == d.Name }
		if !slices.ContainsFunc(c.Dependencies(), found) {
			missing = append(missing, d.Name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("Chart.yaml: dependencies that charts/ does not have: %s: add them with helm dependency build",
		strings.Join(missing, ", "))
}

// checkKubeVersion refuses a chart that does not allow the version of Kubernetes.
func checkKubeVersion(c *chart.Chart, caps *capabilities, asked *render.Asked) error {
	allowed := c.Metadata.KubeVersion
	if allowed == "" {
		return nil
	}
	asked.KubeVersion = true
	if !chartutil.IsCompatibleRange(allowed, caps.KubeVersion.String()) {
		return fmt.Errorf("Chart.yaml: kubeVersion: the chart wants Kubernetes %s, the cluster has %s", allowed,
			caps.KubeVersion.Version)
	}
	return nil
}

// scanChart notes what the texts of a chart, of its subcharts and of its values may ask for.
func scanChart(c *chart.Chart, values map[string]any, asked *render.Asked) error {
	text, err := json.Marshal(values)
	if err != nil {
		return fmt.Errorf("values: %w", err)
	}
	scan(string(text), asked)
	eachChart(c, func(c *chart.Chart) {
		for _, f := range slices.Concat(c.Templates, c.Files) {
			if !strings.HasSuffix(f.Name, ".md") {
				scan(string(f.Data), asked)
			}
		}
	})
	return nil
}

// defaultKubeVersion is the version of the Kubernetes libraries of this module.
const defaultKubeVersion = "v1.37.2"

// DefaultCapabilities returns the capabilities that helm template assumes without a cluster.
func DefaultCapabilities() api.Capabilities {
	return api.Capabilities{KubeVersion: defaultKubeVersion, APIVersions: slices.Clone(chartutil.DefaultVersionSet)}
}
