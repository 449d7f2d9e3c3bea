package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	fluxkustomize "github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/apis/meta"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// KustomizationKind is the kind of Kustomizations.
const KustomizationKind = "Kustomization"

func init() {
	Register(Kind{
		Name: KustomizationKind, Plural: "kustomizations", Short: "ks", Group: GroupKustomize, Version: "v1",
		Older: []string{"v1alpha1", "v1beta1", "v1beta2"}, Namespaced: true, Role: RenderableRole,
		Convert: convertKustomization, Required: map[string]string{"interval": "", "prune": "", "sourceRef": ""},
		Refused: kustomizationRefused, Durations: []string{"interval", "retryInterval", "timeout"},
		Check: checked(checkKustomization), View: viewed(renderableOfKustomization),
	})
}

// kustomizationRefused are the fields that are not implemented, each with the alternative.
var kustomizationRefused = map[string]string{
	"kubeConfig": "the hub holds no credentials of clusters: remove it, register the cluster (nave cluster add) and " +
		"select it with a Fleet",
}

// maxAffix is the longest namePrefix or nameSuffix in bytes.
const maxAffix = 200

func checkKustomization(k *kustomizev1.Kustomization) field.ErrorList {
	spec := specPath()
	return slices.Concat(
		checkSourceRef(k.Spec.SourceRef, spec.Child("sourceRef")),
		checkBuild(&k.Spec, spec),
		checkPostBuild(k.Spec.PostBuild, spec.Child("postBuild")),
		checkDecryption(k.Spec.Decryption, spec.Child("decryption")),
		checkDependencies(k.Spec.DependsOn, Key{Kind: KustomizationKind, Namespace: k.Namespace, Name: k.Name},
			spec.Child("dependsOn")),
		checkHealthChecks(k.Spec.HealthChecks, spec.Child("healthChecks")),
		checkHealthExpressions(k.Spec.HealthCheckExprs, spec.Child("healthCheckExprs")),
		oneOf(k.Spec.DeletionPolicy, spec.Child("deletionPolicy"), kustomizev1.DeletionPolicyMirrorPrune,
			kustomizev1.DeletionPolicyDelete, kustomizev1.DeletionPolicyWaitForTermination, kustomizev1.DeletionPolicyOrphan),
		checkAllowed(k.Annotations, k.Spec.ServiceAccountName),
		checkIgnore(k.Spec.Ignore, spec.Child("ignore")),
		checkDriftAnnotation(k.Annotations),
		checkDependsOnAnnotation(k.Annotations, Key{Kind: KustomizationKind, Namespace: k.Namespace, Name: k.Name}),
		optional(k.Spec.ServiceAccountName, spec.Child("serviceAccountName"), validation.IsDNS1123Subdomain),
	)
}

// checkSourceRef checks the reference to a source of manifests, or of another kind.
func checkSourceRef(ref kustomizev1.CrossNamespaceSourceReference, at *field.Path, others ...string) field.ErrorList {
	var errs field.ErrorList
	supported := append(manifestSources(), others...)
	switch kind := byName[ref.Kind]; {
	case !slices.Contains(supported, ref.Kind):
		errs = append(errs, field.NotSupported(at.Child("kind"), ref.Kind, supported))
	case ref.APIVersion != "" && schema.FromAPIVersionAndKind(ref.APIVersion, "").Group != kind.Group:
		errs = append(errs, field.Invalid(at.Child("apiVersion"), ref.APIVersion,
			"want "+kind.Group+"/"+kind.Version+", or nothing"))
	}
	errs = append(errs, required(ref.Name, at.Child("name"), validation.IsDNS1123Subdomain)...)
	return append(errs, optional(ref.Namespace, at.Child("namespace"), validation.IsDNS1123Label)...)
}

// checkBuild checks the fields for kustomize. The build itself checks that paths exist and that patches fit.
func checkBuild(s *kustomizev1.KustomizationSpec, spec *field.Path) field.ErrorList {
	errs := optional(s.Path, spec.Child("path"), badPath)
	errs = append(errs, optional(s.TargetNamespace, spec.Child("targetNamespace"), validation.IsDNS1123Label)...)
	errs = append(errs, optional(s.NamePrefix, spec.Child("namePrefix"), badAffix)...)
	errs = append(errs, optional(s.NameSuffix, spec.Child("nameSuffix"), badAffix)...)
	for i, c := range s.Components {
		errs = append(errs, required(c, spec.Child("components").Index(i), badComponent)...)
	}
	errs = append(errs, checkPatches(s.Patches, s.Images, spec)...)
	for i, m := range s.BuildMetadata {
		errs = append(errs, oneOf(string(m), spec.Child("buildMetadata").Index(i),
			string(kustomizev1.BuildMetadataOriginAnnotations), string(kustomizev1.BuildMetadataTransformerAnnotations))...)
	}
	if m := s.CommonMetadata; m != nil {
		at := spec.Child("commonMetadata")
		errs = append(errs, metavalidation.ValidateLabels(m.Labels, at.Child("labels"))...)
		errs = append(errs, apivalidation.ValidateAnnotations(m.Annotations, at.Child("annotations"))...)
	}
	return errs
}

// checkPatches checks patches and images.
func checkPatches(patches []fluxkustomize.Patch, images []fluxkustomize.Image, at *field.Path) (errs field.ErrorList) {
	for i, p := range patches {
		errs = append(errs, required(p.Patch, at.Child("patches").Index(i).Child("patch"), anything)...)
	}
	for i, image := range images {
		errs = append(errs, required(image.Name, at.Child("images").Index(i).Child("name"), anything)...)
	}
	return errs
}

func anything(string) []string { return nil }

// badPath returns an error text for a path that leaves the source. Flux reads a leading / as the source's root.
func badPath(p string) []string {
	clean := path.Clean(strings.TrimLeft(p, "/"))
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return []string{"leaves the source: paths begin at its root"}
	}
	if strings.ContainsFunc(p, func(r rune) bool { return r < ' ' }) || strings.Contains(p, `\`) {
		return []string{`want a path with / between folders`}
	}
	return nil
}

// badComponent returns an error text for a component that is not a folder of the same source.
func badComponent(c string) []string {
	if strings.Contains(c, "://") || strings.HasPrefix(c, "/") || strings.ContainsAny(c, "?\\\x00") {
		return []string{"want a path relative to spec.path; components of other repositories are not loaded"}
	}
	return nil
}

func badAffix(s string) []string {
	if len(s) > maxAffix {
		return []string{fmt.Sprintf("at most %d characters", maxAffix)}
	}
	return nil
}

func checkPostBuild(p *kustomizev1.PostBuild, at *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	errs := checkVariables(p.Substitute, at.Child("substitute"))
	for i, ref := range p.SubstituteFrom {
		at := at.Child("substituteFrom").Index(i)
		errs = append(errs, required(ref.Kind, at.Child("kind"), anything)...)
		errs = append(errs, oneOf(ref.Kind, at.Child("kind"), "ConfigMap", "Secret")...)
		errs = append(errs, required(ref.Name, at.Child("name"), validation.IsDNS1123Subdomain)...)
	}
	return append(errs, oneOf(string(p.SubstituteStrategy), at.Child("substituteStrategy"),
		string(kustomizev1.SubstituteStrategyWithVariables), string(kustomizev1.SubstituteStrategyAlways))...)
}

func checkDecryption(d *kustomizev1.Decryption, at *field.Path) field.ErrorList {
	if d == nil {
		return nil
	}
	var errs field.ErrorList
	if d.Provider != "sops" {
		errs = append(errs, field.NotSupported(at.Child("provider"), d.Provider, []string{"sops"}))
	}
	if d.ServiceAccountName != "" {
		errs = append(errs, field.Forbidden(at.Child("serviceAccountName"),
			"the spoke's key service has one identity for all: give that one the right to use the key, and take the field "+
				"away (docs/secrets.md)"))
	}
	if d.SecretRef != nil {
		errs = append(errs, required(d.SecretRef.Name, at.Child("secretRef", "name"), validation.IsDNS1123Subdomain)...)
	}
	return errs
}

// checkDependencies checks spec.dependsOn of an object.
func checkDependencies(list []meta.DependencyReference, of Key, at *field.Path) (errs field.ErrorList) {
	for i, d := range list {
		errs = append(errs, required(d.Name, at.Index(i).Child("name"), validation.IsDNS1123Subdomain)...)
		errs = append(errs, optional(d.Namespace, at.Index(i).Child("namespace"), validation.IsDNS1123Label)...)
		errs = append(errs, checkExpression(d.ReadyExpr, at.Index(i).Child("readyExpr"), "dep", "self")...)
		if d.Name == of.Name && (d.Namespace == "" || d.Namespace == of.Namespace) {
			errs = append(errs, field.Invalid(at.Index(i), d.Name, "it would wait for itself: remove it"))
		}
	}
	return errs
}

func checkHealthChecks(list []meta.NamespacedObjectKindReference, at *field.Path) (errs field.ErrorList) {
	for i, h := range list {
		errs = append(errs, required(h.Kind, at.Index(i).Child("kind"), anything)...)
		errs = append(errs, required(h.Name, at.Index(i).Child("name"), anything)...)
		errs = append(errs, optional(h.Namespace, at.Index(i).Child("namespace"), validation.IsDNS1123Label)...)
		if _, err := schema.ParseGroupVersion(h.APIVersion); err != nil {
			errs = append(errs, field.Invalid(at.Index(i).Child("apiVersion"), h.APIVersion,
				"want group/version, such as apps/v1"))
		}
	}
	return errs
}

// renderableOfKustomization returns the view of a Kustomization.
func renderableOfKustomization(k *kustomizev1.Kustomization) *Renderable {
	build := buildOf(k)
	spec, _ := json.Marshal(build) // decoded from JSON, so encoding cannot fail
	ref := k.Spec.SourceRef
	r := &Renderable{
		Source:   Key{Kind: ref.Kind, Namespace: cmp.Or(ref.Namespace, k.Namespace), Name: ref.Name},
		Path:     path.Clean("./" + strings.TrimLeft(k.Spec.Path, "/")),
		Renderer: "kustomize", Spec: spec,
		Interval: k.Spec.Interval.Duration, RetryInterval: k.GetRetryInterval(), Timeout: k.GetTimeout(),
		Prune: k.Spec.Prune, Wait: k.Spec.Wait, Force: k.Spec.Force,
		DeletionPolicy: bundle.DeletionPolicy(k.GetDeletionPolicy()), ServiceAccount: k.Spec.ServiceAccountName,
		Namespaces: namespacesOf(k), Inputs: inputsOf(k),
		SpecWith:          func(in SpecInputs) any { return build.with(in.Data, in.Lenient) },
		HealthExpressions: healthExpressionsOf(k.Spec.HealthCheckExprs), Ignore: ignoreRulesOf(k.Spec.Ignore),
	}
	if d := k.Spec.Decryption; d != nil {
		r.Decryption.Namespace = k.Namespace
		if d.SecretRef != nil {
			r.Decryption.Name = d.SecretRef.Name
		}
	}
	r.DependsOn, r.ReadyExpressions = dependenciesIn(k.Spec.DependsOn, KustomizationKind, k.Namespace)
	for _, h := range k.Spec.HealthChecks {
		gvk := schema.FromAPIVersionAndKind(h.APIVersion, h.Kind)
		r.HealthChecks = append(r.HealthChecks, bundle.ObjectIdentity{
			Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: h.Namespace, Name: h.Name,
		})
	}
	return r
}

// dependenciesIn returns the objects of spec.dependsOn, which are of the object's own kind, each once, and their
// readyExprs.
func dependenciesIn(list []meta.DependencyReference, kind, namespace string) (keys []Key,
	expressions []ReadyExpression) {
	for _, d := range list {
		key := Key{Kind: kind, Namespace: cmp.Or(d.Namespace, namespace), Name: d.Name}
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
		if d.ReadyExpr != "" {
			expressions = append(expressions, ReadyExpression{key, d.ReadyExpr})
		}
	}
	return keys, expressions
}

// inputsOf returns the objects that variables come from. They are always in the Kustomization's own namespace.
func inputsOf(k *kustomizev1.Kustomization) (inputs []Input) {
	if k.Spec.PostBuild == nil {
		return nil
	}
	for i, ref := range k.Spec.PostBuild.SubstituteFrom {
		inputs = append(inputs, Input{
			Field: fmt.Sprintf("spec.postBuild.substituteFrom[%d]", i),
			Kind:  ref.Kind, Namespace: k.Namespace, Name: ref.Name, Optional: ref.Optional,
		})
	}
	return inputs
}

// namespacesOf returns the namespaces that a Kustomization names. Other references, such as decryption.secretRef, are
// always into its own namespace.
func namespacesOf(k *kustomizev1.Kustomization) []NamespaceReference {
	all := []NamespaceReference{
		{"spec.sourceRef.namespace", k.Spec.SourceRef.Namespace}, {"spec.targetNamespace", k.Spec.TargetNamespace},
	}
	for i, d := range k.Spec.DependsOn {
		all = append(all, NamespaceReference{fmt.Sprintf("spec.dependsOn[%d].namespace", i), d.Namespace})
	}
	for i, h := range k.Spec.HealthChecks {
		all = append(all, NamespaceReference{fmt.Sprintf("spec.healthChecks[%d].namespace", i), h.Namespace})
	}
	return slices.DeleteFunc(all, func(r NamespaceReference) bool { return r.Namespace == "" })
}

// Build has the fields of a Kustomization for its build. It is the Spec for the renderer kustomize.
type Build struct {
	// Name and Namespace are the Kustomization's own: the values of Flux's owner labels.
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// Path is relative to the artifact's root; empty: the root.
	Path                    string                      `json:"path,omitempty"`
	TargetNamespace         string                      `json:"targetNamespace,omitempty"`
	NamePrefix              string                      `json:"namePrefix,omitempty"`
	NameSuffix              string                      `json:"nameSuffix,omitempty"`
	Patches                 []fluxkustomize.Patch       `json:"patches,omitempty"`
	Images                  []fluxkustomize.Image       `json:"images,omitempty"`
	Components              []string                    `json:"components,omitempty"`
	IgnoreMissingComponents bool                        `json:"ignoreMissingComponents,omitempty"`
	CommonMetadata          *kustomizev1.CommonMetadata `json:"commonMetadata,omitempty"`
	// BuildMetadata lists the annotations with the origin of an object that kustomize adds.
	BuildMetadata []kustomizev1.BuildMetadataOption `json:"buildMetadata,omitempty"`
	Substitute    map[string]string                 `json:"substitute,omitempty"`
	// Variables are the objects of postBuild.substituteFrom with their data. A later one overrides an earlier one, and
	// Substitute overrides all.
	Variables []InputData `json:"variables,omitempty"`
	// SubstituteAlways is Flux's substituteStrategy Always: substitute although no variable is given.
	SubstituteAlways bool `json:"substituteAlways,omitempty"`
	// Strict makes a variable that is not given and has no default an error, as Flux does since 2.9.
	Strict bool `json:"strict,omitempty"`
}

// buildOf returns the Build of a Kustomization. It is strict, as in Flux since 2.9.
func buildOf(k *kustomizev1.Kustomization) Build {
	b := Build{
		Name: k.Name, Namespace: k.Namespace, Path: k.Spec.Path,
		TargetNamespace: k.Spec.TargetNamespace, NamePrefix: k.Spec.NamePrefix, NameSuffix: k.Spec.NameSuffix,
		Patches: k.Spec.Patches, Images: k.Spec.Images,
		Components: k.Spec.Components, IgnoreMissingComponents: k.Spec.IgnoreMissingComponents,
		CommonMetadata: k.Spec.CommonMetadata, BuildMetadata: k.Spec.BuildMetadata, Strict: true,
	}
	if p := k.Spec.PostBuild; p != nil {
		b.Substitute = p.Substitute
		b.SubstituteAlways = p.SubstituteStrategy == kustomizev1.SubstituteStrategyAlways
	}
	return b
}

// with returns the build with the data of the objects that its variables come from.
func (b Build) with(inputs []InputData, lenient bool) Build {
	b.Variables, b.Strict = inputs, !lenient
	return b
}

// convertKustomization converts older versions into v1. The three kinds of patches become one, in the order in which
// kustomize applies them. The field validation is removed, because the API server always validates objects.
func convertKustomization(o *manifest.Object) {
	spec, ok := o.Object["spec"].(map[string]any)
	if !ok {
		return
	}
	delete(spec, "validation")
	modernize(spec)
	joinPatches(spec)
}

// joinPatches makes one kind of patches of the three kinds of old versions.
func joinPatches(spec map[string]any) {
	merges, mergesFit := asPatches(spec["patchesStrategicMerge"], func(item any) any {
		return map[string]any{"patch": item}
	})
	patches, patchesFit := list(spec["patches"])
	operations, operationsFit := asPatches(spec["patchesJson6902"], func(item any) any {
		if entry, _ := item.(map[string]any); entry["target"] == nil {
			return nil
		}
		return item
	})
	if !mergesFit || !patchesFit || !operationsFit {
		return // fields that do not fit stay as they are, and are refused as unknown fields or wrong types
	}
	delete(spec, "patchesStrategicMerge")
	delete(spec, "patchesJson6902")
	if all := slices.Concat(merges, patches, operations); len(all) > 0 {
		spec["patches"] = all
	}
}

// list returns the items of a list. If v is nil, the list is empty. If v is not a list, ok is false.
func list(v any) (items []any, ok bool) {
	if v == nil {
		return nil, true
	}
	items, ok = v.([]any)
	return items, ok
}

// asPatches turns the items of an old field into patches, whose text is JSON, which is YAML, too. patchOf returns the
// patch of an item, whose text is still a map or a list. ok is false if an item does not fit.
func asPatches(v any, patchOf func(item any) any) (patches []any, ok bool) {
	items, ok := list(v)
	for _, item := range items {
		patch, _ := patchOf(item).(map[string]any)
		switch patch["patch"].(type) {
		case map[string]any, []any:
			text, err := json.Marshal(patch["patch"])
			ok = ok && err == nil
			patch = maps.Clone(patch)
			patch["patch"] = string(text)
		default:
			ok = false
		}
		patches = append(patches, patch)
	}
	return patches, ok
}
