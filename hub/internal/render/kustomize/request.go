package kustomize

import (
	fluxkustomize "github.com/fluxcd/pkg/apis/kustomize"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"github.com/navefleet/nave/hub/internal/render/seal"
	"github.com/navefleet/nave/shared/manifest"
)

// Request is one build. Its JSON is canonical: equal requests have equal bytes.
type Request struct {
	// Root is the artifact's directory. Nothing outside of it is read, nothing in it is written.
	Root string `json:"root"`
	Spec Spec   `json:"spec"`
	// Salt is what the tokens of sealed values are derived with. The hub keeps one for good, so that equal files give
	// equal tokens.
	Salt []byte `json:"salt,omitempty"`
	// Exclude reports files and directories of the tree that are to be treated as absent. It is for trees that no
	// source has filtered; it cannot be sent to a worker.
	Exclude func(path string, dir bool) bool `json:"-"`
}

// Spec is what a Kustomization says about its build.
type Spec struct {
	// Name and Namespace are the Kustomization's own: the values of Flux's owner labels.
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// Path is below the artifact's root; empty is the root.
	Path                    string                      `json:"path,omitempty"`
	TargetNamespace         string                      `json:"targetNamespace,omitempty"`
	NamePrefix              string                      `json:"namePrefix,omitempty"`
	NameSuffix              string                      `json:"nameSuffix,omitempty"`
	Patches                 []fluxkustomize.Patch       `json:"patches,omitempty"`
	Images                  []fluxkustomize.Image       `json:"images,omitempty"`
	Components              []string                    `json:"components,omitempty"`
	IgnoreMissingComponents bool                        `json:"ignoreMissingComponents,omitempty"`
	CommonMetadata          *kustomizev1.CommonMetadata `json:"commonMetadata,omitempty"`
	Substitute              map[string]string           `json:"substitute,omitempty"`
	// SubstituteAlways is Flux's substituteStrategy Always: substitute although no variable is given.
	SubstituteAlways bool `json:"substituteAlways,omitempty"`
	// Strict makes a variable that is not given and has no default an error, as Flux does since 2.9.
	Strict bool `json:"strict,omitempty"`
}

// SpecOf returns what a Kustomization says about its build. Strict is set, as in Flux since 2.9.
func SpecOf(ks *kustomizev1.Kustomization) Spec {
	s := Spec{
		Name: ks.Name, Namespace: ks.Namespace, Path: ks.Spec.Path,
		TargetNamespace: ks.Spec.TargetNamespace, NamePrefix: ks.Spec.NamePrefix, NameSuffix: ks.Spec.NameSuffix,
		Patches: ks.Spec.Patches, Images: ks.Spec.Images,
		Components: ks.Spec.Components, IgnoreMissingComponents: ks.Spec.IgnoreMissingComponents,
		CommonMetadata: ks.Spec.CommonMetadata, Strict: true,
	}
	if p := ks.Spec.PostBuild; p != nil {
		s.Substitute = p.Substitute
		s.SubstituteAlways = p.SubstituteStrategy == kustomizev1.SubstituteStrategyAlways
	}
	return s
}

// Result is what a build gives.
type Result struct {
	// Objects are in the order in which they are applied, with Flux's owner labels; tokens stand for sealed values.
	Objects []*manifest.Object `json:"objects"`
	// Sealed are the SOPS files whose tokens occur in Objects, by path.
	Sealed []seal.File `json:"sealed,omitempty"`
	// Reads is what of the tree the build read.
	Reads Reads `json:"reads"`
}
