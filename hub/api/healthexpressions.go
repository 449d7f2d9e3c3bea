package api

import (
	fluxkustomize "github.com/fluxcd/pkg/apis/kustomize"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/expression"
	"github.com/navefleet/nave/shared/health"
)

// checkHealthExpressions checks spec.healthCheckExprs. It cannot check whether an object has the fields that an
// expression names.
func checkHealthExpressions(list []fluxkustomize.CustomHealthCheck, at *field.Path) (errs field.ErrorList) {
	seen := map[schema.GroupKind]bool{}
	for i, e := range list {
		at := at.Index(i)
		gk := schema.FromAPIVersionAndKind(e.APIVersion, e.Kind).GroupKind()
		if err := checkKindOf(e.APIVersion, gk, at); err != nil {
			errs = append(errs, err)
		} else if seen[gk] {
			errs = append(errs, field.Duplicate(at, gk.String()))
		}
		seen[gk] = true
		if e.Current == "" {
			errs = append(errs, field.Required(at.Child("current"), "say when an object is healthy"))
		}
		errs = append(errs, checkExpression(e.Current, at.Child("current"))...)
		errs = append(errs, checkExpression(e.InProgress, at.Child("inProgress"))...)
		errs = append(errs, checkExpression(e.Failed, at.Child("failed"))...)
	}
	return errs
}

func checkKindOf(apiVersion string, gk schema.GroupKind, at *field.Path) *field.Error {
	if _, err := schema.ParseGroupVersion(apiVersion); err != nil || apiVersion == "" {
		return field.Invalid(at.Child("apiVersion"), apiVersion, "want group/version, such as example.com/v1")
	}
	if health.MetadataOnly(gk) {
		return field.Forbidden(at.Child("kind"), "only the metadata of a "+gk.Kind+
			" is read, and it is healthy if it exists: remove this entry")
	}
	return nil
}

// checkExpression checks a CEL expression, which may be empty. If variables are given, the expression may use only
// those.
func checkExpression(text string, at *field.Path, variables ...string) field.ErrorList {
	if text == "" {
		return nil
	}
	if _, err := expression.Parse(text, variables...); err != nil {
		return field.ErrorList{field.Invalid(at, text, err.Error())}
	}
	return nil
}

func healthExpressionsOf(list []fluxkustomize.CustomHealthCheck) (all []bundle.HealthExpressions) {
	for _, e := range list {
		gk := schema.FromAPIVersionAndKind(e.APIVersion, e.Kind).GroupKind()
		all = append(all, bundle.HealthExpressions{Group: gk.Group, Kind: gk.Kind, Current: e.Current,
			InProgress: e.InProgress, Failed: e.Failed})
	}
	return all
}
