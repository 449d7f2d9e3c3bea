package api

import (
	"cmp"
	"fmt"
	"slices"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// The annotations that ask for one more install or upgrade of a release, and to forget its failures. As in Flux, they
// count if their value is that of the request to reconcile.
const (
	ForceAnnotation = "reconcile.fluxcd.io/forceAt"
	ResetAnnotation = "reconcile.fluxcd.io/resetAt"
)

// helmReleaseRefused are the fields that are not implemented, each with the alternative.
var helmReleaseRefused = map[string]string{
	"kubeConfig": kustomizationRefused["kubeConfig"],
	"chart.kind": "only HelmCharts are made of spec.chart: write the OCIRepository itself, and name it in spec.chartRef",
	"upgrade.preserveValues": "the values of a release are those in Git: remove it, and put the values that are to stay " +
		"(helm get values) into spec.values",
}

// defaultHelmRelease takes away spec.chart.kind if it is the default.
func defaultHelmRelease(o *manifest.Object) {
	chart, _, _ := unstructured.NestedMap(o.Object, "spec", "chart")
	if chart["kind"] == HelmChartKind {
		unstructured.RemoveNestedField(o.Object, "spec", "chart", "kind")
	}
}

// helmReleaseDurations are the fields that hold durations.
var helmReleaseDurations = []string{
	"interval", "timeout", "chart.spec.interval", "install.timeout", "install.strategy.retryInterval", "upgrade.timeout",
	"upgrade.strategy.retryInterval", "test.timeout", "rollback.timeout", "uninstall.timeout",
}

// checkHelmRelease checks all fields.
func checkHelmRelease(hr *helmv2.HelmRelease) field.ErrorList {
	spec := specPath()
	return slices.Concat(
		checkChartBuild(hr),
		checkChartSource(hr, spec),
		checkActions(hr, spec),
		checkDependencies(hr.Spec.DependsOn, Key{Kind: helmReleaseKind, Namespace: hr.Namespace, Name: hr.Name},
			spec.Child("dependsOn")),
		checkHealthExpressions(hr.Spec.HealthCheckExprs, spec.Child("healthCheckExprs")),
		checkDriftDetection(hr.Spec.DriftDetection, spec.Child("driftDetection")),
		checkAllowed(hr.Annotations, hr.Spec.ServiceAccountName),
		checkDriftAnnotation(hr.Annotations),
		checkDependsOnAnnotation(hr.Annotations, Key{Kind: helmReleaseKind, Namespace: hr.Namespace, Name: hr.Name}),
		optional(hr.Spec.ServiceAccountName, spec.Child("serviceAccountName"), validation.IsDNS1123Subdomain),
	)
}

// releaseSources are the kinds that spec.chart may name, and releaseCharts those of spec.chartRef.
var (
	releaseSources = []string{HelmRepositoryKind, GitRepositoryKind, BucketKind}
	releaseCharts  = []string{OCIRepositoryKind, HelmChartKind, ExternalArtifactKind}
)

// checkChartSource checks where the chart comes from.
func checkChartSource(hr *helmv2.HelmRelease, spec *field.Path) field.ErrorList {
	if ref := hr.Spec.ChartRef; ref != nil {
		return checkChartReference(ref.Kind, ref.Namespace, ref.Name, spec.Child("chartRef"), releaseCharts)
	}
	if hr.Spec.Chart == nil {
		return nil // found already
	}
	s := hr.Spec.Chart.Spec
	at := spec.Child("chart", "spec")
	errs := checkChartReference(s.SourceRef.Kind, s.SourceRef.Namespace, s.SourceRef.Name, at.Child("sourceRef"),
		releaseSources)
	if len(errs) > 0 || s.Chart == "" {
		return append(errs, required(s.Chart, at.Child("chart"), badPath)...)
	}
	if _, err := chartOf(hr); err != nil {
		errs = append(errs, field.Invalid(at, field.OmitValueType{}, err.Error()))
	}
	return errs
}

// checkChartReference checks a reference to an object of one of some kinds.
func checkChartReference(kind, namespace, name string, at *field.Path, kinds []string) field.ErrorList {
	var errs field.ErrorList
	switch {
	case !slices.Contains(kinds, kind):
		errs = append(errs, field.NotSupported(at.Child("kind"), kind, kinds))
	case !byName[kind].Supported():
		errs = append(errs, field.Forbidden(at.Child("kind"), kind+" is not supported yet"))
	}
	errs = append(errs, required(name, at.Child("name"), validation.IsDNS1123Subdomain)...)
	return append(errs, optional(namespace, at.Child("namespace"), validation.IsDNS1123Label)...)
}

// checkActions checks the options of install, upgrade and the other actions.
func checkActions(hr *helmv2.HelmRelease, spec *field.Path) (errs field.ErrorList) {
	install, upgrade := hr.GetInstall(), hr.GetUpgrade()
	enum := func(value string, path []string, values ...string) {
		errs = append(errs, oneOf(value, spec.Child(path[0], path[1:]...), values...)...)
	}
	policies := []string{string(helmv2.Skip), string(helmv2.Create), string(helmv2.CreateReplace)}
	strategies := []string{string(helmv2.ActionStrategyRemediateOnFailure), string(helmv2.ActionStrategyRetryOnFailure)}
	modes := []string{string(helmv2.ServerSideApplyEnabled), string(helmv2.ServerSideApplyDisabled),
		string(helmv2.ServerSideApplyAuto)}
	enum(string(install.CRDs), []string{"install", "crds"}, policies...)
	enum(string(upgrade.CRDs), []string{"upgrade", "crds"}, policies...)
	if s := install.Strategy; s != nil {
		enum(s.Name, []string{"install", "strategy", "name"}, strategies...)
	}
	if s := upgrade.Strategy; s != nil {
		enum(s.Name, []string{"upgrade", "strategy", "name"}, strategies...)
	}
	if r := upgrade.Remediation; r != nil && r.Strategy != nil {
		enum(string(*r.Strategy), []string{"upgrade", "remediation", "strategy"},
			string(helmv2.RollbackRemediationStrategy), string(helmv2.UninstallRemediationStrategy))
	}
	enum(string(upgrade.ServerSideApply), []string{"upgrade", "serverSideApply"}, modes...)
	enum(string(hr.GetRollback().ServerSideApply), []string{"rollback", "serverSideApply"}, modes...)
	enum(string(upgrade.ChartNameChangeStrategy), []string{"upgrade", "chartNameChangeStrategy"},
		string(helmv2.ChartNameChangeStrategyReinstall), string(helmv2.ChartNameChangeStrategyInPlaceUpdate))
	enum(string(hr.GetWaitStrategy()), []string{"waitStrategy", "name"}, string(helmv2.WaitStrategyPoller),
		string(helmv2.WaitStrategyLegacy))
	if p := hr.GetUninstall().DeletionPropagation; p != nil {
		enum(*p, []string{"uninstall", "deletionPropagation"}, "background", "foreground", "orphan")
	}
	if n := hr.GetMaxHistory(); n < 0 {
		errs = append(errs, field.Invalid(spec.Child("maxHistory"), n, "want 0 (all) or more"))
	}
	return append(errs, checkFilters(hr.GetTest(), spec.Child("test", "filters"))...)
}

func checkFilters(test helmv2.Test, at *field.Path) (errs field.ErrorList) {
	if test.Filters == nil {
		return nil
	}
	for i, f := range *test.Filters {
		errs = append(errs, required(f.Name, at.Index(i).Child("name"), validation.IsDNS1123Subdomain)...)
	}
	return errs
}

func checkDriftDetection(d *helmv2.DriftDetection, at *field.Path) field.ErrorList {
	if d == nil {
		return nil
	}
	errs := oneOf(string(d.Mode), at.Child("mode"), string(helmv2.DriftDetectionDisabled),
		string(helmv2.DriftDetectionWarn), string(helmv2.DriftDetectionEnabled))
	return append(errs, checkIgnore(ignoreOf(d), at.Child("ignore"))...)
}

// ignoreOf returns the rules of spec.driftDetection in the type of Kustomizations, which has the same fields.
func ignoreOf(d *helmv2.DriftDetection) (rules []kustomizev1.IgnoreRule) {
	if d == nil {
		return nil
	}
	for _, r := range d.Ignore {
		rules = append(rules, kustomizev1.IgnoreRule{Paths: r.Paths, Target: r.Target})
	}
	return rules
}

// driftModesOfFlux are the drift modes by the modes of spec.driftDetection.
var driftModesOfFlux = map[helmv2.DriftDetectionMode]string{
	helmv2.DriftDetectionDisabled: "off", helmv2.DriftDetectionWarn: "warn", helmv2.DriftDetectionEnabled: "correct",
}

// releaseOf returns the Release of a HelmRelease without what its chart renders.
func releaseOf(hr *helmv2.HelmRelease) *bundle.Release {
	install, upgrade, rollback, uninstall, test := hr.GetInstall(), hr.GetUpgrade(), hr.GetRollback(),
		hr.GetUninstall(), hr.GetTest()
	all := hr.GetTimeout()
	r := &bundle.Release{
		Name: shortReleaseName(hr.GetReleaseName()), Namespace: hr.GetReleaseNamespace(),
		StorageNamespace: hr.GetStorageNamespace(), MaxHistory: hr.GetMaxHistory(), CreateNamespace: install.CreateNamespace,
		KeepOtherChart: upgrade.ChartNameChangeStrategy == helmv2.ChartNameChangeStrategyInPlaceUpdate,
		Install: bundle.ReleaseAction{
			Timeout: install.GetTimeout(all).Duration, DisableHooks: install.DisableHooks, DisableWait: install.DisableWait,
			DisableWaitForJobs: install.DisableWaitForJobs, CRDs: definitionsOf(install.CRDs, helmv2.Create),
			KeepOwners:  install.DisableTakeOwnership,
			Remediation: remediationOf(install.GetRemediation(), install.GetRetry(false), test.IgnoreFailures),
		},
		Upgrade: bundle.ReleaseAction{
			Timeout: upgrade.GetTimeout(all).Duration, DisableHooks: upgrade.DisableHooks, DisableWait: upgrade.DisableWait,
			DisableWaitForJobs: upgrade.DisableWaitForJobs, CRDs: definitionsOf(upgrade.CRDs, helmv2.Skip),
			KeepOwners: upgrade.DisableTakeOwnership, Force: upgrade.Force, CleanupOnFail: upgrade.CleanupOnFail,
			Remediation: remediationOf(upgrade.GetRemediation(), upgrade.GetRetry(false), test.IgnoreFailures),
		},
		Rollback: bundle.ReleaseAction{
			Timeout: rollback.GetTimeout(all).Duration, DisableHooks: rollback.DisableHooks, DisableWait: rollback.DisableWait,
			DisableWaitForJobs: rollback.DisableWaitForJobs, Force: rollback.Force, CleanupOnFail: rollback.CleanupOnFail,
		},
		Uninstall: bundle.ReleaseAction{
			Timeout: uninstall.GetTimeout(all).Duration, DisableHooks: uninstall.DisableHooks,
			DisableWait: uninstall.DisableWait, KeepHistory: uninstall.KeepHistory,
			Propagation: propagations[uninstall.GetDeletionPropagation()],
		},
		Test: bundle.ReleaseTest{Enable: test.Enable, Timeout: test.GetTimeout(all).Duration},
	}
	if install.SkipCRDs {
		r.Install.CRDs = bundle.SkipCRDs
	}
	if test.Filters != nil {
		for _, f := range *test.Filters {
			if f.Exclude {
				r.Test.Except = append(r.Test.Except, f.Name)
			} else {
				r.Test.Only = append(r.Test.Only, f.Name)
			}
		}
	}
	return r
}

// propagations are the propagations by the words of spec.uninstall.deletionPropagation.
var propagations = map[string]bundle.Propagation{
	"background": bundle.Background, "foreground": bundle.Foreground, "orphan": bundle.OrphanOwned,
}

// definitionsOf returns the policy for the definitions of a chart.
func definitionsOf(policy, fallback helmv2.CRDsPolicy) bundle.CRDPolicy {
	switch cmp.Or(policy, fallback) {
	case helmv2.Create:
		return bundle.CreateCRDs
	case helmv2.CreateReplace:
		return bundle.ReplaceCRDs
	}
	return bundle.SkipCRDs
}

// remediationOf returns what follows when an action fails.
func remediationOf(r helmv2.Remediation, retry helmv2.Retry, ignoreTests bool) bundle.Remediation {
	ignore := r.MustIgnoreTestFailures(ignoreTests)
	if retry != nil {
		return bundle.Remediation{Strategy: bundle.RetryInPlace, RetryInterval: retry.GetRetryInterval(),
			IgnoreTestFailures: ignore}
	}
	strategy := bundle.RollbackOnFailure
	if r.GetStrategy() == helmv2.UninstallRemediationStrategy {
		strategy = bundle.UninstallOnFailure
	}
	return bundle.Remediation{Strategy: strategy, Retries: r.GetRetries(), IgnoreTestFailures: ignore,
		RemediateLastFailure: r.MustRemediateLastFailure()}
}

// namespacesOfRelease returns the namespaces that a HelmRelease names. Other references are into its own namespace.
func namespacesOfRelease(hr *helmv2.HelmRelease) []NamespaceReference {
	all := []NamespaceReference{
		{"spec.targetNamespace", hr.Spec.TargetNamespace}, {"spec.storageNamespace", hr.Spec.StorageNamespace},
	}
	if c := hr.Spec.Chart; c != nil {
		all = append(all, NamespaceReference{"spec.chart.spec.sourceRef.namespace", c.Spec.SourceRef.Namespace})
	}
	if ref := hr.Spec.ChartRef; ref != nil {
		all = append(all, NamespaceReference{"spec.chartRef.namespace", ref.Namespace})
	}
	for i, d := range hr.Spec.DependsOn {
		all = append(all, NamespaceReference{fmt.Sprintf("spec.dependsOn[%d].namespace", i), d.Namespace})
	}
	return slices.DeleteFunc(all, func(r NamespaceReference) bool { return r.Namespace == "" })
}
