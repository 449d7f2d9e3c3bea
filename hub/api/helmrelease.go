package api

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	fluxkustomize "github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/apis/meta"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// helmReleaseKind is the kind of HelmReleases.
const helmReleaseKind = "HelmRelease"

func init() {
	Register(Kind{
		Name: helmReleaseKind, Plural: "helmreleases", Short: "hr", Group: groupHelm, Version: "v2",
		Older: helmReleaseOlder, Namespaced: true, Role: RenderableRole, Convert: convertHelmRelease,
		Default:  defaultHelmRelease,
		Required: map[string]string{"interval": ""}, Refused: helmReleaseRefused, Durations: helmReleaseDurations,
		Check: checked(checkHelmRelease), View: viewed(renderableOfRelease), Columns: releaseColumns(),
	})
}

// releaseColumns have the newest revision of the release: the chart and its version, and Helm's number of the revision.
func releaseColumns() []Column {
	newest := func(name string) func(map[string]any) string {
		return func(object map[string]any) string {
			history, _, _ := unstructured.NestedSlice(object, "status", "history")
			if len(history) == 0 {
				return "-"
			}
			revision, _ := history[0].(map[string]any)
			return fieldOf(name)(revision)
		}
	}
	return []Column{nameColumn, {Name: "CHART", Value: newest("chartName")},
		{Name: "VERSION", Value: newest("chartVersion")}, {Name: "REVISION", Value: newest("version")}, suspendedColumn,
		readyColumn, messageColumn,
		{Name: "STATUS", Wide: true, Value: newest("status")}}
}

// Capabilities are what the templates of a chart can know of a cluster.
type Capabilities struct {
	// KubeVersion is the version that the API server reports, such as v1.37.2.
	KubeVersion string `json:"kubeVersion"`
	// APIVersions are group/version and group/version/Kind of all served APIs.
	APIVersions []string `json:"apiVersions,omitempty"`
}

// ChartFacts are what the templates of a chart can know of a cluster and of the release there.
type ChartFacts struct {
	Capabilities Capabilities `json:"capabilities"`
	// Upgrade is set if an earlier revision of the release is installed.
	Upgrade bool `json:"upgrade,omitempty"`
	// Last is the newest revision of the release; 0: there is none, or it is not known.
	Last int `json:"last,omitempty"`
	// Cluster is the name of the cluster. No template sees it: it keeps renders with generated values apart.
	Cluster string `json:"cluster,omitempty"`
}

// ReleaseState is what a chart that asks was told about its release. The zero ReleaseState is that of the first
// install.
type ReleaseState struct {
	Upgrade bool `json:"upgrade,omitempty"`
	Last    int  `json:"last,omitempty"`
}

// Revision returns the revision that templates see: the one after the last.
func (f ChartFacts) Revision() int {
	if f.Upgrade {
		return max(f.Last, 1) + 1
	}
	return f.Last + 1
}

// With returns the facts with another state of the release.
func (f ChartFacts) With(s ReleaseState) ChartFacts {
	f.Upgrade, f.Last = s.Upgrade, s.Last
	return f
}

// ChartBuild has all that the render of a chart depends on, beside the files of the chart: fields of a HelmRelease, the
// data that it names, and facts about the cluster and the release.
type ChartBuild struct {
	// Name and Namespace are those of the HelmRelease.
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// ReleaseName and ReleaseNamespace are those of Helm's release.
	ReleaseName      string `json:"releaseName"`
	ReleaseNamespace string `json:"releaseNamespace"`
	// Chart is the folder of the chart in the artifact; empty: the artifact is a chart. If Unpacked is set, it was an
	// archive, whose .helmignore has been obeyed.
	Chart    string `json:"chart"`
	Unpacked bool   `json:"unpacked,omitempty"`
	// ValuesFiles take the place of the chart's values.yaml; later ones override earlier ones. Paths begin at the root of
	// the artifact.
	ValuesFiles              []string        `json:"valuesFiles,omitempty"`
	ValuesInChart            bool            `json:"valuesInChart,omitempty"` // the paths begin at the chart's folder
	IgnoreMissingValuesFiles bool            `json:"ignoreMissingValuesFiles,omitempty"`
	Values                   json.RawMessage `json:"values,omitempty"`
	ValuesFrom               []ChartValues   `json:"valuesFrom,omitempty"`
	SkipSchema               bool            `json:"skipSchema,omitempty"`
	// SkipSchemaOnUpgrade takes the place of SkipSchema if the facts of a request say that the release is installed.
	SkipSchemaOnUpgrade bool `json:"skipSchemaOnUpgrade,omitempty"`
	// PostRenderers are applied in their order; PostRenderStrategy says what happens to hooks.
	PostRenderers      []ChartPatches            `json:"postRenderers,omitempty"`
	PostRenderStrategy helmv2.PostRenderStrategy `json:"postRenderStrategy,omitempty"`
	CommonLabels       map[string]string         `json:"commonLabels,omitempty"`
	CommonAnnotations  map[string]string         `json:"commonAnnotations,omitempty"`

	Capabilities Capabilities `json:"capabilities"`
	// Upgrade is set if an earlier revision of the release is installed. Revision is the one that is rendered, from 1.
	Upgrade  bool `json:"upgrade,omitempty"`
	Revision int  `json:"revision"`
}

// ChartValues are values of one key of a ConfigMap or Secret.
type ChartValues struct {
	Input
	Key string `json:"key"`
	// TargetPath is the path of the one value that the data is, as helm --set writes it. If it is empty, the data is YAML
	// with values. Literal takes the data as it is, as helm --set-literal does.
	TargetPath string `json:"targetPath,omitempty"`
	Literal    bool   `json:"literal,omitempty"`
	// Live: no Application of the cluster has the object. Only the cluster knows whether the object exists.
	Live bool `json:"live,omitempty"`
	// If Asked is set, a spoke told the keys of the data. Tree then is the JSON of the values, with placeholders; nil: the
	// cluster has no such object or key.
	Asked bool            `json:"asked,omitempty"`
	Tree  json.RawMessage `json:"tree,omitempty"`
	// Types are the types of placeholders that stand for booleans and numbers: bool, int, float.
	Types map[string]string `json:"types,omitempty"`
	// Texts are further placeholders for these values, which stand for them as texts.
	Texts map[string]string `json:"texts,omitempty"`
	// Data is nil if there is no such object or key.
	Data *string `json:"data,omitempty"`
	// Keys are those that the object has instead of a missing key, the first few.
	Keys []string `json:"keys,omitempty"`
}

// maxKeys limits ChartValues.Keys.
const maxKeys = 10

// set sets the data of the key, of all data of the object.
func (v *ChartValues) set(data map[string]string) {
	if text, ok := data[v.Key]; ok {
		v.Data = &text
	} else if !v.Optional && v.Tree == nil {
		keys := slices.Sorted(maps.Keys(data))
		v.Keys = keys[:min(len(keys), maxKeys)]
	}
}

// Missing returns the error of values without data that are not optional.
func (v *ChartValues) Missing() error {
	if len(v.Keys) == 0 {
		return errors.New("no such object, or no such key")
	}
	return fmt.Errorf("no such key; the object has %s", strings.Join(v.Keys, ", "))
}

// ChartPatches are patches and images of a post-renderer.
type ChartPatches struct {
	Patches []fluxkustomize.Patch `json:"patches,omitempty"`
	Images  []fluxkustomize.Image `json:"images,omitempty"`
}

// ChartRelease is the part of a HelmRelease that says how its chart is rendered.
type ChartRelease struct {
	// Build lacks the chart's folder, the data of ValuesFrom and the facts.
	Build ChartBuild
	// InRepository is set if the chart comes from a repository of charts. Its values files are then in the chart.
	InRepository bool
	// SkipCRDs is set if the release does not install what the chart has in crds/.
	SkipCRDs bool
	// SkipSchema and SkipSchemaOnUpgrade turn off the check of values by the schemas of the chart.
	SkipSchema, SkipSchemaOnUpgrade bool
}

// RendersChart reports whether an object is a HelmRelease.
func RendersChart(o *manifest.Object) bool {
	kind, known := KindOf(o)
	return known && kind.Name == helmReleaseKind
}

// NewChartRelease returns the ChartRelease of a HelmRelease. The error names the object and each field that must
// change.
func NewChartRelease(o *manifest.Object) (*ChartRelease, error) {
	key, kind := KeyOf(o), byName[helmReleaseKind]
	if !RendersChart(o) {
		return nil, fmt.Errorf("%s: want a HelmRelease", key)
	}
	if v := o.GroupVersionKind().Version; v != kind.Version {
		if !slices.Contains(helmReleaseOlder, v) {
			return nil, fmt.Errorf("%s: apiVersion %s/%s: want %s/%s", key, kind.Group, v, kind.Group, kind.Version)
		}
		o = &manifest.Object{Object: o.DeepCopy().Object}
		convertHelmRelease(o)
	}
	hr, errs := decode[helmv2.HelmRelease](o.Object, nil)
	if len(errs) == 0 {
		errs = checkChartBuild(hr)
	}
	if err := together(errs); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return chartReleaseOf(hr), nil
}

// maxReleaseName is the longest name of a release in bytes, as in Helm.
const maxReleaseName = 53

// checkChartBuild checks the fields that a render depends on.
func checkChartBuild(hr *helmv2.HelmRelease) field.ErrorList {
	spec := specPath()
	errs := optional(hr.Spec.ReleaseName, spec.Child("releaseName"), badReleaseName)
	errs = append(errs, optional(hr.Spec.TargetNamespace, spec.Child("targetNamespace"), validation.IsDNS1123Label)...)
	errs = append(errs, optional(hr.Spec.StorageNamespace, spec.Child("storageNamespace"), validation.IsDNS1123Label)...)
	if (hr.Spec.Chart == nil) == (hr.Spec.ChartRef == nil) {
		errs = append(errs, field.Invalid(spec, "", "want one of chart and chartRef"))
	}
	if c := hr.Spec.Chart; c != nil {
		for i, f := range c.Spec.ValuesFiles {
			errs = append(errs, required(f, spec.Child("chart", "spec", "valuesFiles").Index(i), badPath)...)
		}
	}
	if hr.Spec.Values != nil && len(sealed.Find(string(hr.Spec.Values.Raw))) > 0 {
		errs = append(errs, field.Invalid(spec.Child("values"), "", "an encrypted value: put it into a Secret, encrypted "+
			"with SOPS, and name the Secret in spec.valuesFrom"))
	}
	for i, ref := range hr.Spec.ValuesFrom {
		errs = append(errs, checkValuesFrom(ref, spec.Child("valuesFrom").Index(i))...)
	}
	for i, p := range hr.Spec.PostRenderers {
		if p.Kustomize != nil {
			errs = append(errs, checkPatches(p.Kustomize.Patches, p.Kustomize.Images,
				spec.Child("postRenderers").Index(i).Child("kustomize"))...)
		}
	}
	errs = append(errs, oneOf(string(hr.Spec.PostRenderStrategy), spec.Child("postRenderStrategy"),
		string(helmv2.PostRenderStrategyNoHooks), string(helmv2.PostRenderStrategyCombined),
		string(helmv2.PostRenderStrategySeparate))...)
	if m := hr.Spec.CommonMetadata; m != nil {
		at := spec.Child("commonMetadata")
		errs = append(errs, metavalidation.ValidateLabels(m.Labels, at.Child("labels"))...)
		errs = append(errs, apivalidation.ValidateAnnotations(m.Annotations, at.Child("annotations"))...)
	}
	return errs
}

func badReleaseName(name string) []string {
	if len(name) > maxReleaseName {
		return []string{fmt.Sprintf("at most %d characters", maxReleaseName)}
	}
	return validation.IsDNS1123Subdomain(name)
}

func checkValuesFrom(ref meta.ValuesReference, at *field.Path) field.ErrorList {
	errs := required(ref.Kind, at.Child("kind"), anything)
	errs = append(errs, oneOf(ref.Kind, at.Child("kind"), "ConfigMap", "Secret")...)
	errs = append(errs, required(ref.Name, at.Child("name"), validation.IsDNS1123Subdomain)...)
	if ref.Literal && ref.TargetPath == "" {
		errs = append(errs, field.Invalid(at.Child("literal"), true, "needs a targetPath"))
	}
	return errs
}

func chartReleaseOf(hr *helmv2.HelmRelease) *ChartRelease {
	r := &ChartRelease{Build: ChartBuild{
		Name: hr.Name, Namespace: hr.Namespace, ReleaseName: shortReleaseName(hr.GetReleaseName()),
		ReleaseNamespace: hr.GetReleaseNamespace(), PostRenderStrategy: hr.Spec.PostRenderStrategy, Revision: 1,
	}}
	b := &r.Build
	if hr.Spec.Values != nil {
		b.Values = hr.Spec.Values.Raw
	}
	for i, ref := range hr.Spec.ValuesFrom {
		at := specPath().Child("valuesFrom").Index(i).String()
		b.ValuesFrom = append(b.ValuesFrom, ChartValues{
			Input: Input{Field: at, Kind: ref.Kind, Namespace: hr.Namespace, Name: ref.Name, Optional: ref.Optional,
				Entry: ref.GetValuesKey(), Form: formOf(ref)},
			Key: ref.GetValuesKey(), TargetPath: ref.TargetPath, Literal: ref.Literal,
		})
	}
	for _, p := range hr.Spec.PostRenderers {
		if k := p.Kustomize; k != nil {
			b.PostRenderers = append(b.PostRenderers, ChartPatches{k.Patches, k.Images})
		}
	}
	if m := hr.Spec.CommonMetadata; m != nil {
		b.CommonLabels, b.CommonAnnotations = m.Labels, m.Annotations
	}
	if c := hr.Spec.Chart; c != nil {
		b.ValuesFiles, b.IgnoreMissingValuesFiles = c.Spec.ValuesFiles, c.Spec.IgnoreMissingValuesFiles
		r.InRepository = c.Spec.SourceRef.Kind == HelmRepositoryKind
	}
	if in := hr.Spec.Install; in != nil {
		r.SkipCRDs, r.SkipSchema = in.SkipCRDs || in.CRDs == helmv2.Skip, in.DisableSchemaValidation
	}
	if up := hr.Spec.Upgrade; up != nil {
		r.SkipSchemaOnUpgrade = up.DisableSchemaValidation
	}
	return r
}

// formOf returns how the data of a reference is read.
func formOf(ref meta.ValuesReference) bundle.ShapeForm {
	switch {
	case ref.TargetPath == "":
		return bundle.ShapeYAML
	case ref.Literal:
		return bundle.ShapeText
	}
	return bundle.ShapeSet
}

// shortReleaseName returns the name of a release, shortened as Flux shortens it.
func shortReleaseName(name string) string {
	if len(name) <= maxReleaseName {
		return name
	}
	const kept, digits = 40, 12
	sum := sha256.Sum256([]byte(name))
	return name[:kept] + "-" + hex.EncodeToString(sum[:])[:digits]
}

// ChartAt returns the build of the chart in a folder of the artifact, for a first install or an upgrade.
func (r *ChartRelease) ChartAt(folder string, upgrade bool, facts Capabilities) ChartBuild {
	b := r.Build
	b.Chart, b.Upgrade, b.Capabilities, b.SkipSchema = folder, upgrade, facts, r.SkipSchema
	if upgrade {
		b.SkipSchema = r.SkipSchemaOnUpgrade
	}
	b.ValuesFiles = slices.Clone(b.ValuesFiles)
	for i, f := range b.ValuesFiles {
		if r.InRepository {
			b.ValuesFiles[i] = path.Join(folder, f)
		}
	}
	return b
}

// SetData sets the data of ValuesFrom. The objects are all that there are.
func (b *ChartBuild) SetData(objects []*manifest.Object) error {
	b.ValuesFrom = slices.Clone(b.ValuesFrom)
	for i := range b.ValuesFrom {
		v := &b.ValuesFrom[i]
		data, err := v.dataIn(objects)
		if err != nil {
			return err
		}
		v.set(data)
	}
	return nil
}

// KeysIn returns the keys of the object with the values, sorted. If it is not among the objects, KeysIn returns nil.
func (v *ChartValues) KeysIn(objects []*manifest.Object) ([]string, error) {
	data, err := v.dataIn(objects)
	if data == nil {
		return nil, err
	}
	return append([]string{}, slices.Sorted(maps.Keys(data))...), nil
}

// dataIn returns the data of the object with the values; nil if it is not among the objects.
func (v *ChartValues) dataIn(objects []*manifest.Object) (map[string]string, error) {
	at := slices.IndexFunc(objects, func(o *manifest.Object) bool {
		id := manifest.IDOf(o)
		id.Namespace = cmp.Or(id.Namespace, v.Namespace)
		return id == v.ID()
	})
	if at < 0 {
		return nil, nil
	}
	return DataOf(objects[at])
}

// ErrLiveValues is the error of a ChartValues whose object only the cluster may have, if the cluster was not asked.
var ErrLiveValues = errors.New("no object of Git that is applied to the cluster, and the cluster was not asked for " +
	"its own. Commit the object, a Secret encrypted with SOPS, or set optional: true")
