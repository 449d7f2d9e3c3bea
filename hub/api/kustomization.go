package api

import (
	"fmt"
	"path"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// kustomizationRefused are the fields that are not carried out.
var kustomizationRefused = []refused{
	{"kubeConfig", "the hub holds no credentials of clusters: remove it, register the cluster (nave cluster add) and " +
		"select it with a Fleet"},
	{"healthCheckExprs", "health expressions are not supported yet: remove it; objects are judged by their conditions, " +
		"as kstatus does"},
	{"buildMetadata", "build metadata is not supported yet: set buildMetadata in the kustomization file instead"},
	{"ignore", "ignoring fields is not supported yet: leave them out of the manifest, then whoever sets them owns them"},
}

// maxAffix is the longest namePrefix or nameSuffix in bytes.
const maxAffix = 200

func checkKustomization(o *manifest.Object, own metadata) field.ErrorList {
	errs := checkRequired(o, "interval", "prune", "sourceRef")
	errs = append(errs, checkRefused(o, kustomizationRefused)...)
	errs = append(errs, checkDurations(o, "interval", "retryInterval", "timeout")...)
	if len(errs) > 0 {
		return errs
	}
	k, errs := decode[kustomizev1.Kustomization](o.Object, nil)
	if len(errs) > 0 {
		return errs
	}
	spec := specPath()
	errs = append(errs, checkSourceRef(k.Spec.SourceRef, spec.Child("sourceRef"))...)
	errs = append(errs, checkBuild(&k.Spec, spec)...)
	errs = append(errs, checkPostBuild(k.Spec.PostBuild, spec.Child("postBuild"))...)
	errs = append(errs, checkDecryption(k.Spec.Decryption, spec.Child("decryption"))...)
	errs = append(errs, checkDependsOn(k.Spec.DependsOn, own, spec.Child("dependsOn"))...)
	errs = append(errs, checkHealthChecks(k.Spec.HealthChecks, spec.Child("healthChecks"))...)
	errs = append(errs, oneOf(k.Spec.DeletionPolicy, spec.Child("deletionPolicy"), kustomizev1.DeletionPolicyMirrorPrune,
		kustomizev1.DeletionPolicyDelete, kustomizev1.DeletionPolicyWaitForTermination, kustomizev1.DeletionPolicyOrphan)...)
	errs = append(errs, checkAllowed(own, k.Spec.ServiceAccountName)...)
	return append(errs, optional(k.Spec.ServiceAccountName, spec.Child("serviceAccountName"),
		validation.IsDNS1123Subdomain)...)
}

func checkSourceRef(ref kustomizev1.CrossNamespaceSourceReference, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch ref.Kind {
	case GitRepositoryKind:
	case "OCIRepository", "Bucket", "ExternalArtifact":
		errs = append(errs, field.Forbidden(at.Child("kind"), ref.Kind+" is not supported yet: use a GitRepository"))
	default:
		errs = append(errs, field.NotSupported(at.Child("kind"), ref.Kind, []string{GitRepositoryKind}))
	}
	if ref.APIVersion != "" && schema.FromAPIVersionAndKind(ref.APIVersion, "").Group != GroupSource {
		errs = append(errs, field.Invalid(at.Child("apiVersion"), ref.APIVersion, "want "+GroupSource+"/v1, or nothing"))
	}
	errs = append(errs, required(ref.Name, at.Child("name"), validation.IsDNS1123Subdomain)...)
	return append(errs, optional(ref.Namespace, at.Child("namespace"), validation.IsDNS1123Label)...)
}

// checkBuild checks what kustomize is given. Whether paths exist and patches fit is the build's to say.
func checkBuild(s *kustomizev1.KustomizationSpec, spec *field.Path) field.ErrorList {
	errs := optional(s.Path, spec.Child("path"), badPath)
	errs = append(errs, optional(s.TargetNamespace, spec.Child("targetNamespace"), validation.IsDNS1123Label)...)
	errs = append(errs, optional(s.NamePrefix, spec.Child("namePrefix"), badAffix)...)
	errs = append(errs, optional(s.NameSuffix, spec.Child("nameSuffix"), badAffix)...)
	for i, c := range s.Components {
		errs = append(errs, required(c, spec.Child("components").Index(i), badComponent)...)
	}
	for i, p := range s.Patches {
		errs = append(errs, required(p.Patch, spec.Child("patches").Index(i).Child("patch"), anything)...)
	}
	for i, image := range s.Images {
		errs = append(errs, required(image.Name, spec.Child("images").Index(i).Child("name"), anything)...)
	}
	if m := s.CommonMetadata; m != nil {
		at := spec.Child("commonMetadata")
		errs = append(errs, metavalidation.ValidateLabels(m.Labels, at.Child("labels"))...)
		errs = append(errs, apivalidation.ValidateAnnotations(m.Annotations, at.Child("annotations"))...)
	}
	return errs
}

func anything(string) []string { return nil }

// badPath refuses a path that leaves the source. Flux reads a leading / as the source's root.
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

// badComponent refuses what is not a folder of the same source.
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
	if len(p.SubstituteFrom) > 0 {
		errs = append(errs, field.Forbidden(at.Child("substituteFrom"),
			"variables from ConfigMaps and Secrets are not supported yet: give them in postBuild.substitute, per cluster with "+
				"spec.vars of the Cluster and a Fleet's template"))
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
			"keys in a cloud's KMS are not supported yet: encrypt for an age or OpenPGP key and name the Secret with it in "+
				"decryption.secretRef"))
	}
	if d.SecretRef != nil {
		errs = append(errs, required(d.SecretRef.Name, at.Child("secretRef", "name"), validation.IsDNS1123Subdomain)...)
	}
	return errs
}

func checkDependsOn(list []meta.DependencyReference, own metadata, at *field.Path) (errs field.ErrorList) {
	for i, d := range list {
		errs = append(errs, required(d.Name, at.Index(i).Child("name"), validation.IsDNS1123Subdomain)...)
		errs = append(errs, optional(d.Namespace, at.Index(i).Child("namespace"), validation.IsDNS1123Label)...)
		if d.ReadyExpr != "" {
			errs = append(errs, field.Forbidden(at.Index(i).Child("readyExpr"),
				"expressions are not supported yet: remove it, then the dependency counts as ready when its Ready condition is "+
					condition.True))
		}
		if d.Name == own.Name && (d.Namespace == "" || d.Namespace == own.Namespace) {
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

// AsKustomization returns an admitted Kustomization as Flux's type.
func AsKustomization(o *manifest.Object) (*kustomizev1.Kustomization, error) {
	return as[kustomizev1.Kustomization](o, KustomizationKind)
}
