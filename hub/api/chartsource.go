package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// renderableOfRelease returns the view of a HelmRelease.
func renderableOfRelease(hr *helmv2.HelmRelease) *Renderable {
	release := chartReleaseOf(hr)
	build := release.Build
	build.SkipSchema, build.SkipSchemaOnUpgrade = release.SkipSchema, release.SkipSchemaOnUpgrade
	r := &Renderable{
		Renderer: "helm", Release: releaseOf(hr), Path: ".",
		Interval: hr.Spec.Interval.Duration, RetryInterval: hr.Spec.Interval.Duration, Timeout: hr.GetTimeout().Duration,
		Prune: true, DeletionPolicy: bundle.MirrorPrune, ServiceAccount: hr.Spec.ServiceAccountName,
		Namespaces:        namespacesOfRelease(hr),
		HealthExpressions: healthExpressionsOf(hr.Spec.HealthCheckExprs),
		Drift:             "off",
	}
	if d := hr.Spec.DriftDetection; d != nil {
		r.Drift, r.DriftNamed = driftModesOfFlux[d.GetMode()], d.Mode != ""
		r.Ignore = ignoreRulesOf(ignoreOf(d))
	}
	r.DependsOn, r.ReadyExpressions = dependenciesIn(hr.Spec.DependsOn, helmReleaseKind, hr.Namespace)
	for _, from := range build.ValuesFrom {
		r.Inputs = append(r.Inputs, from.Input)
	}
	r.Source = chartKeyOf(hr)
	if chart, err := chartOf(hr); err == nil && chart != nil {
		r.Makes, r.Source = chart, chart.Key
	} else if chart == nil && hr.Spec.Chart != nil {
		build.Chart = path.Clean("./" + strings.TrimLeft(hr.Spec.Chart.Spec.Chart, "/"))
		r.Path = build.Chart
	}
	r.Spec, _ = json.Marshal(build) // decoded from JSON, so encoding cannot fail
	r.SpecWith = func(in SpecInputs) any { return build.with(in) }
	r.SpecNeedsSource = true
	return r
}

// chartKeyOf returns the source that a HelmRelease names.
func chartKeyOf(hr *helmv2.HelmRelease) Key {
	if ref := hr.Spec.ChartRef; ref != nil {
		return Key{Kind: ref.Kind, Namespace: cmp.Or(ref.Namespace, hr.Namespace), Name: ref.Name}
	}
	if hr.Spec.Chart == nil {
		return Key{}
	}
	ref := hr.Spec.Chart.Spec.SourceRef
	return Key{Kind: ref.Kind, Namespace: cmp.Or(ref.Namespace, hr.Namespace), Name: ref.Name}
}

// chartOf returns the HelmChart of the template in spec.chart, as Flux names it. A HelmRelease with a chartRef has
// none. Neither has one whose values files are outside of the chart's folder: its source is the artifact with both.
func chartOf(hr *helmv2.HelmRelease) (*Object, error) {
	template := hr.Spec.Chart
	if template == nil || template.Spec.SourceRef.Kind != HelmRepositoryKind && hasFilesOutside(template.Spec) {
		return nil, nil
	}
	s := template.Spec
	spec := map[string]any{
		"chart": s.Chart, "interval": template.GetInterval(hr.Spec.Interval).Duration.String(), "sourceRef": map[string]any{
			"kind": s.SourceRef.Kind, "name": s.SourceRef.Name},
	}
	for name, value := range map[string]string{"version": s.Version, "reconcileStrategy": s.ReconcileStrategy} {
		if value != "" {
			spec[name] = value
		}
	}
	if len(s.ValuesFiles) > 0 {
		spec["valuesFiles"] = s.ValuesFiles
	}
	if s.IgnoreMissingValuesFiles {
		spec["ignoreMissingValuesFiles"] = true
	}
	if s.Verify != nil {
		spec["verify"] = s.Verify
	}
	o := &manifest.Object{Object: map[string]any{"apiVersion": GroupSource + "/v1", "kind": HelmChartKind, "spec": spec}}
	o.SetNamespace(cmp.Or(s.SourceRef.Namespace, hr.Namespace))
	o.SetName(hr.Namespace + "-" + hr.Name)
	if m := template.ObjectMeta; m != nil {
		o.SetLabels(m.Labels)
		o.SetAnnotations(m.Annotations)
	}
	if at := hr.Annotations[manifest.RequestedAtAnnotation]; at != "" {
		annotations := maps.Clone(o.GetAnnotations())
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[manifest.RequestedAtAnnotation] = at
		o.SetAnnotations(annotations)
	}
	return Admit(o, ClusterGraph)
}

// hasFilesOutside reports whether a values file is outside of the folder of the chart.
func hasFilesOutside(s helmv2.HelmChartTemplateSpec) bool {
	return slices.ContainsFunc(s.ValuesFiles, func(file string) bool { return below(s.Chart, file) == "" })
}

// below returns the path of a file below a folder; empty if the file is outside. Both paths begin at the same root.
func below(folder, file string) string {
	folder, file = path.Join("/", folder), path.Join("/", file)
	if folder == "/" {
		return file[1:]
	}
	if name, ok := strings.CutPrefix(file, folder+"/"); ok {
		return name
	}
	return ""
}

// with returns the build with the data of its inputs, and with what its source says about the chart.
func (b ChartBuild) with(in SpecInputs) ChartBuild {
	b.ValuesFrom = slices.Clone(b.ValuesFrom)
	for i, data := range in.Data {
		v := &b.ValuesFrom[i]
		if v.Live = data.Live; v.Live {
			continue
		}
		v.Asked, v.Tree, v.Types, v.Texts = data.Source != nil, data.Values, data.Types, data.Texts
		v.set(data.Data)
	}
	if in.Source == nil || in.Source.Key.Kind != HelmChartKind {
		b.Unpacked = b.Chart == ""
		return b
	}
	chart, err := Decode[sourcev1.HelmChart](in.Source)
	if err != nil {
		return b // it was admitted: this cannot happen
	}
	b.Chart, b.ValuesInChart, b.ValuesFiles = "", true, slices.Clone(chart.Spec.ValuesFiles)
	b.IgnoreMissingValuesFiles = chart.Spec.IgnoreMissingValuesFiles
	if b.Unpacked = chart.Spec.SourceRef.Kind == HelmRepositoryKind; b.Unpacked {
		return b
	}
	for i, file := range b.ValuesFiles {
		b.ValuesFiles[i] = cmp.Or(below(chart.Spec.Chart, file), fmt.Sprintf("../%s", file)) // outside: not found
	}
	return b
}

// IsRelease reports whether objects of the kind are releases of Helm.
func (k Kind) IsRelease() bool { return k.Name == helmReleaseKind }
