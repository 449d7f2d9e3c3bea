package kustomize

import (
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"github.com/navefleet/nave/hub/api"
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
type Spec = api.Build

// SpecOf returns what a Kustomization says about its build.
func SpecOf(ks *kustomizev1.Kustomization) Spec { return api.BuildOf(ks) }

// Result is what a build gives.
type Result struct {
	// Objects are in the order in which they are applied, with Flux's owner labels; tokens stand for sealed values.
	Objects []*manifest.Object `json:"objects"`
	// Sealed are the SOPS files whose tokens occur in Objects, by path.
	Sealed []seal.File `json:"sealed,omitempty"`
	// Reads is what of the tree the build read.
	Reads Reads `json:"reads"`
}
