package api

import (
	"cmp"
	"errors"
	"strings"
	"time"

	imagev1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/hub/internal/image"
	"github.com/navefleet/nave/shared/manifest"
)

// ImagePolicyKind is the kind of ImagePolicies.
const ImagePolicyKind = "ImagePolicy"

// PolicyFailed is the reason of an ImagePolicy that chooses no image, as Flux has it.
const PolicyFailed = "Failure"

// policyRetry is how often the hub looks at a policy again whose digest is not asked for regularly.
const policyRetry = time.Hour

func init() {
	Register(Kind{
		Name: ImagePolicyKind, Plural: "imagepolicies", Short: "imgpol", Group: groupImage, Version: "v1",
		Older: []string{"v1alpha1", "v1alpha2", "v1beta1", "v1beta2"}, Namespaced: true, Words: []string{"image policy"},
		Role: SourceRole, NoManifests: true,
		Default:   defaultImagePolicy,
		Required:  map[string]string{"imageRepositoryRef": "", "policy": ""},
		Durations: []string{"interval"}, Check: checked(checkImagePolicy), View: viewed(sourceOfImagePolicy),
		Columns: imagePolicyColumns,
		Reasons: []Reason{{
			Name:  PolicyFailed,
			Means: "the policy can choose none of the tags of its repository, or the registry does not give the digest",
			Advice: "Correct spec.filterTags or spec.policy if no tag fits, or check the registry if it does not give the " +
				"digest; nave reconcile image repository INPUT reads the tags again. Until then the last image stays chosen",
		}},
	})
}

// imagePolicyColumns are those of flux get image policy.
var imagePolicyColumns = []Column{
	nameColumn, {Name: "IMAGE", Value: fieldOf("status", "latestRef", "name")},
	{Name: "TAG", Value: fieldOf("status", "latestRef", "tag")}, suspendedColumn, readyColumn,
	messageColumn,
	{Name: "PREVIOUS", Wide: true, Value: fieldOf("status", "observedPreviousRef", "tag")},
	{Name: "DIGEST", Wide: true, Value: fieldOf("status", "latestRef", "digest")},
}

// defaultImagePolicy sets the defaults of Flux's schema.
func defaultImagePolicy(o *manifest.Object) {
	spec, ok := o.Object["spec"].(map[string]any)
	if !ok {
		return
	}
	if spec["digestReflectionPolicy"] == nil {
		spec["digestReflectionPolicy"] = string(imagev1.ReflectNever)
	}
	for _, name := range []image.Order{image.Alphabetical, image.Numerical} {
		order, ok, _ := unstructured.NestedMap(spec, "policy", string(name))
		if ok && order["order"] == nil {
			order["order"] = ascending
			_ = unstructured.SetNestedField(spec, order, "policy", string(name)) // which is a map
		}
	}
}

// The orders of the alphabetical and the numerical policy.
const ascending, descending = "asc", "desc"

func checkImagePolicy(p *imagev1.ImagePolicy) field.ErrorList {
	spec := specPath()
	ref, at := p.Spec.ImageRepositoryRef, spec.Child("imageRepositoryRef")
	errs := required(ref.Name, at.Child("name"), validation.IsDNS1123Subdomain)
	errs = append(errs, optional(ref.Namespace, at.Child("namespace"), validation.IsDNS1123Label)...)
	errs = append(errs, oneOf(string(p.Spec.DigestReflectionPolicy), spec.Child("digestReflectionPolicy"),
		string(imagev1.ReflectNever), string(imagev1.ReflectIfNotPresent), string(imagev1.ReflectAlways))...)
	switch always := p.GetDigestReflectionPolicy() == imagev1.ReflectAlways; {
	case always && p.Spec.Interval == nil:
		errs = append(errs, field.Required(spec.Child("interval"), "with spec.digestReflectionPolicy: Always the hub must "+
			"know how often to ask for the digest, such as 10m"))
	case !always && p.Spec.Interval != nil:
		errs = append(errs, field.Forbidden(spec.Child("interval"), "only a policy with spec.digestReflectionPolicy: Always "+
			"has an interval; others follow spec.interval of the ImageRepository: remove it"))
	}
	if choice := checkPolicyChoice(p.Spec.Policy, spec.Child("policy")); len(choice) > 0 {
		return append(errs, choice...)
	}
	var wrong *image.FieldError
	if err := PolicyRule(p).Check(); errors.As(err, &wrong) {
		at := spec.Child(wrong.Field[:strings.IndexByte(wrong.Field+".", '.')], strings.Split(wrong.Field, ".")[1:]...)
		errs = append(errs, field.Invalid(at, beginOf(wrong.Value), wrong.Cause.Error()))
	}
	return errs
}

// checkPolicyChoice checks that there is one policy. Flux takes the first of several.
func checkPolicyChoice(c imagev1.ImagePolicyChoice, at *field.Path) (errs field.ErrorList) {
	named := 0
	if c.SemVer != nil {
		named++
	}
	if c.Alphabetical != nil {
		named++
		errs = append(errs, oneOf(c.Alphabetical.Order, at.Child("alphabetical", "order"), ascending, descending)...)
	}
	if c.Numerical != nil {
		named++
		errs = append(errs, oneOf(c.Numerical.Order, at.Child("numerical", "order"), ascending, descending)...)
	}
	if named != 1 {
		errs = append(errs, field.Invalid(at, field.OmitValueType{}, "want exactly one of semver, alphabetical and "+
			"numerical, such as semver: {range: '>=1.0.0'}"))
	}
	return errs
}

// PolicyRule returns the rule by which an ImagePolicy chooses a tag, as long as operators decide nothing else.
func PolicyRule(p *imagev1.ImagePolicy) (r image.Rule) {
	if f := p.Spec.FilterTags; f != nil {
		r.Pattern, r.Extract = f.Pattern, f.Extract
	}
	switch c := p.Spec.Policy; {
	case c.SemVer != nil:
		r.Order, r.Range = image.Semver, c.SemVer.Range
	case c.Alphabetical != nil:
		r.Order, r.Descending = image.Alphabetical, c.Alphabetical.Order == descending
	case c.Numerical != nil:
		r.Order, r.Descending = image.Numerical, c.Numerical.Order == descending
	}
	return r
}

// TagControl is what operators decided about the tags that a source may choose, whatever its spec says.
type TagControl struct {
	Pinned   string   `json:"pinned,omitempty"`   // the only tag that it may choose; empty: it is not pinned
	Excluded []string `json:"excluded,omitempty"` // tags that it may not choose unless it is pinned to one; sorted
}

// sourceOfImagePolicy returns the view of an ImagePolicy.
func sourceOfImagePolicy(p *imagev1.ImagePolicy) *Source {
	ref := p.Spec.ImageRepositoryRef
	repository := Key{Kind: ImageRepositoryKind, Namespace: cmp.Or(ref.Namespace, p.Namespace), Name: ref.Name}
	return &Source{
		Interval: cmp.Or(p.GetInterval(), policyRetry), Failed: PolicyFailed,
		Upstream: true, ChoosesTag: true, Offline: p.GetDigestReflectionPolicy() == imagev1.ReflectNever,
		Inputs: []SourceInput{{Field: "spec.imageRepositoryRef", Key: repository}},
		Identity: struct {
			Rule   image.Rule               `json:"rule"`
			Digest imagev1.ReflectionPolicy `json:"digest"`
		}{PolicyRule(p), p.GetDigestReflectionPolicy()},
	}
}
