package api

import (
	"errors"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/bundle"
)

// checkIgnore checks spec.ignore.
func checkIgnore(list []kustomizev1.IgnoreRule, at *field.Path) (errs field.ErrorList) {
	rules := ignoreRulesOf(list)
	_, err := bundle.ReadIgnoreRules(rules)
	if err == nil {
		return nil
	}
	if _, ofRule := errors.AsType[*bundle.RuleError](err); !ofRule {
		return field.ErrorList{field.Invalid(at, field.OmitValueType{}, err.Error())}
	}
	for i, rule := range rules {
		_, err := bundle.ReadIgnoreRules([]bundle.IgnoreRule{rule})
		if malformed, ok := errors.AsType[*bundle.RuleError](err); ok {
			errs = append(errs, field.Invalid(at.Index(i).Child(malformed.Field), malformed.Value, malformed.Err.Error()))
		}
	}
	return errs
}

func ignoreRulesOf(list []kustomizev1.IgnoreRule) (rules []bundle.IgnoreRule) {
	for _, r := range list {
		rule := bundle.IgnoreRule{Paths: r.Paths}
		if t := r.Target; t != nil {
			rule.Group, rule.Version, rule.Kind, rule.Namespace, rule.Name = t.Group, t.Version, t.Kind, t.Namespace, t.Name
			rule.LabelSelector, rule.AnnotationSelector = t.LabelSelector, t.AnnotationSelector
		}
		rules = append(rules, rule)
	}
	return rules
}
