package api

import (
	"cmp"
	"slices"

	"github.com/Masterminds/semver/v3"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/manifest"
)

// HelmChartKind is the kind of HelmCharts.
const HelmChartKind = "HelmChart"

// IsMadeByReleases reports whether HelmReleases make objects of the kind.
func (k Key) IsMadeByReleases() bool { return k.Kind == HelmChartKind }

// HelmChart is Flux's kind. Its verification is that of an OCIRepository, so that it can name a trusted root.
type HelmChart struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec HelmChartSpec `json:"spec"`
}

// HelmChartSpec is the spec of a HelmChart.
type HelmChartSpec struct {
	sourcev1.HelmChartSpec `json:",inline"`

	Verify *sourcev1.OCIRepositoryVerification `json:"verify,omitempty"`
}

// Reasons of HelmCharts, as Flux has them.
const (
	InvalidChartReference = "InvalidChartReference"
	ChartPackageError     = "ChartPackageError"
	DependencyBuildError  = "DependencyBuildError"

	chartPulled     = "ChartPullSucceeded"
	chartPackaged   = "ChartPackageSucceeded"
	chartPullFailed = "ChartPullError"
)

func init() {
	Register(Kind{
		Name: HelmChartKind, Plural: "helmcharts", Short: "hc", Group: GroupSource, Version: "v1",
		Older: []string{"v1alpha1", "v1beta1", "v1beta2"}, Namespaced: true, Words: []string{"source chart"},
		Role: SourceRole, NoManifests: true,
		Convert: convertHelmChart, Default: defaultHelmChart,
		Required:  map[string]string{"chart": "", "interval": "", "sourceRef": ""},
		Refused:   map[string]string{"accessFrom": "Flux never carried it out, and neither does Nave: remove it"},
		Durations: []string{"interval"}, Check: checked(checkHelmChart), View: viewed(sourceOfHelmChart),
		Credentials: "public keys (*.pub) for spec.verify.secretRef", Reasons: chartReasons,
		Columns: chartColumns(),
	})
}

// chartReasons are the reasons that need advice.
var chartReasons = []Reason{
	{
		Name:  InvalidChartReference,
		Means: "the repository has no such chart or version, or the source has no chart in this folder",
		Advice: "Correct spec.chart or spec.version of the HelmRelease or HelmChart, as the message says. Until then the " +
			"last chart stays in use",
	},
	{
		Name:  chartPullFailed,
		Means: "the server of the chart cannot be reached, or the archive is over a limit, damaged or is no chart",
		Advice: "Check the HelmRepository and the network; nave reconcile source chart NAME tries at once. Until then the " +
			"last chart stays in use",
	},
	{
		Name:   ChartPackageError,
		Means:  "the folder or archive in the source is no chart, or over a limit",
		Advice: "The message names the file: correct it in the source. Until then the last chart stays in use",
	},
	{
		Name:  DependencyBuildError,
		Means: "a dependency of the chart is not in its folder charts/ and cannot be fetched",
		Advice: "The message names the dependency: correct Chart.yaml and Chart.lock, or commit what helm dependency build " +
			"makes. Until then the last chart stays in use",
	},
}

// chartColumns are those of sources, with the source in the place of a URL.
func chartColumns() []Column {
	columns := columnsOfRole(SourceRole)
	columns[len(columns)-1].Value = sourceOf
	return slices.Insert(columns, len(columns)-1,
		Column{Name: "CHART", Wide: true, Value: fieldOf("spec", "chart")},
		Column{Name: "VERSION", Wide: true, Value: fieldOf("spec", "version")})
}

// convertHelmChart converts older versions into v1: valuesFile becomes the first of valuesFiles, and accessFrom, which
// Flux never carried out, is removed.
func convertHelmChart(o *manifest.Object) {
	if spec, ok := o.Object["spec"].(map[string]any); ok {
		delete(spec, "accessFrom")
		joinValuesFiles(spec)
	}
}

// defaultHelmChart sets the defaults of Flux's schema.
func defaultHelmChart(o *manifest.Object) {
	spec, ok := o.Object["spec"].(map[string]any)
	if !ok {
		return
	}
	for name, value := range map[string]string{
		"version": "*", "reconcileStrategy": sourcev1.ReconcileStrategyChartVersion,
	} {
		if spec[name] == nil {
			spec[name] = value
		}
	}
	if verify, ok, _ := unstructured.NestedMap(spec, "verify"); ok && verify["provider"] == nil {
		verify["provider"] = cosign
		spec["verify"] = verify
	}
}

// chartSources are the kinds of sources that have charts.
var chartSources = []string{
	HelmRepositoryKind, GitRepositoryKind, BucketKind, OCIRepositoryKind, ExternalArtifactKind,
}

func checkHelmChart(c *HelmChart) field.ErrorList {
	spec := specPath()
	ref, at := c.Spec.SourceRef, spec.Child("sourceRef")
	errs := required(ref.Name, at.Child("name"), validation.IsDNS1123Subdomain)
	errs = append(errs, required(ref.Kind, at.Child("kind"), anything)...)
	errs = append(errs, oneOf(ref.Kind, at.Child("kind"), chartSources...)...)
	errs = append(errs, required(c.Spec.Chart, spec.Child("chart"), badPath)...)
	errs = append(errs, oneOf(c.Spec.ReconcileStrategy, spec.Child("reconcileStrategy"),
		sourcev1.ReconcileStrategyChartVersion, sourcev1.ReconcileStrategyRevision)...)
	for i, f := range c.Spec.ValuesFiles {
		errs = append(errs, required(f, spec.Child("valuesFiles").Index(i), badPath)...)
	}
	if ref.Kind == HelmRepositoryKind {
		errs = append(errs, checkChartVersion(c.Spec.Version, spec.Child("version"))...)
	}
	for _, secret := range helmChartSecrets(c) {
		errs = append(errs, required(secret.Name, field.NewPath(secret.Field, "name"), validation.IsDNS1123Subdomain)...)
	}
	errs = append(errs, checkDependencyRepositories(c)...)
	switch v, at := c.Spec.Verify, spec.Child("verify"); {
	case v == nil:
	case ref.Kind != HelmRepositoryKind:
		errs = append(errs, field.Forbidden(at, "only charts of a HelmRepository with type: oci have signatures: remove it"))
	default:
		errs = append(errs, checkOCIVerification(v, at)...)
	}
	return errs
}

// helmChartSecrets returns the Secrets that a HelmChart names. Those to log in with are its HelmRepository's.
func helmChartSecrets(c *HelmChart) (found []SecretReference) {
	if v := c.Spec.Verify; v != nil {
		found = addSecret(found, "spec.verify.secretRef", v.SecretRef)
		found = addSecret(found, "spec.verify.trustedRootSecretRef", v.TrustedRootSecretRef)
	}
	return found
}

// checkChartVersion checks a version or a range of versions.
func checkChartVersion(version string, at *field.Path) field.ErrorList {
	if _, err := semver.NewConstraint(cmp.Or(version, "*")); err != nil {
		return field.ErrorList{field.Invalid(at, version, "want a version or a range such as >=1.0.0 <2.0.0: "+err.Error())}
	}
	return nil
}

// sourceOfHelmChart returns the view of a HelmChart. Which values files it names does not change what is fetched.
func sourceOfHelmChart(c *HelmChart) *Source {
	ref := c.Spec.SourceRef
	s := &Source{
		Interval: c.Spec.Interval.Duration,
		Inputs: []SourceInput{
			{Field: "spec.sourceRef", Key: Key{Kind: ref.Kind, Namespace: c.Namespace, Name: ref.Name}},
		},
		Succeeded: chartPackaged, Failed: ChartPackageError,
	}
	identity := struct {
		Chart    string `json:"chart"`
		Version  string `json:"version,omitempty"`
		Strategy string `json:"strategy,omitempty"`
		Verify   string `json:"verify,omitempty"`

		Match  []sourcev1.OIDCIdentityMatch `json:"match,omitempty"`
		Fields []string                     `json:"fields,omitempty"` // those that name the Secrets
	}{Chart: c.Spec.Chart, Strategy: c.Spec.ReconcileStrategy}
	if ref.Kind == HelmRepositoryKind {
		s.Upstream, s.Succeeded, s.Failed = true, chartPulled, chartPullFailed
		identity.Version, identity.Strategy = cmp.Or(c.Spec.Version, "*"), ""
	} else {
		s.Inputs = append(s.Inputs, dependencyRepositories(c)...)
	}
	if v := c.Spec.Verify; v != nil {
		identity.Verify, identity.Match = v.Provider, v.MatchOIDCIdentity
		s.Secrets = helmChartSecrets(c)
		identity.Fields = fieldsOf(s.Secrets)
	}
	s.Identity = identity
	return s
}
