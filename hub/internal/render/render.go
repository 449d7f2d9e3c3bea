// Package render owns the nouns of rendering: a Renderer turns a Request, which is an object such as a Kustomization
// and the tree of its source, into a Result: the objects that it stands for, and the Reads that they were made from.
//
// The packages below it implement that: tree is the confined tree that records what is read, seal keeps encrypted
// values from the hub, kustomize renders Kustomizations, worker renders in confined processes, cache remembers renders.
package render

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// Renderer renders. Implementations are safe for concurrent use.
type Renderer interface {
	// Render returns what the request's object stands for. Equal requests give equal results from equal trees, wherever
	// the trees are. Errors name the file and the line, or the object and the field; those that callers tell apart are in
	// Reasons.
	Render(ctx context.Context, req Request) (*Result, error)
}

// Renderers are renderers by name. As a Renderer it calls the one that the request names.
type Renderers map[string]Renderer

// Render implements Renderer. If there is no renderer of the request's name, Render returns an error.
func (r Renderers) Render(ctx context.Context, req Request) (*Result, error) {
	renderer, ok := r[req.Renderer]
	if !ok {
		return nil, fmt.Errorf("no renderer is named %q", req.Renderer)
	}
	return renderer.Render(ctx, req)
}

// Request is one render. Its JSON is canonical: equal requests have equal bytes.
type Request struct {
	// Renderer names the Renderer, and Spec is all of the object that the result depends on, in the form of that Renderer.
	Renderer string          `json:"renderer"`
	Spec     json.RawMessage `json:"spec"`
	// Root is the artifact's directory. Nothing outside of it is read, nothing in it is written.
	Root string `json:"root"`
	// Salt is what the placeholders of sealed values are derived with. The hub keeps one for good, so that equal files
	// give equal placeholders.
	Salt []byte `json:"salt,omitempty"`
	// Exclude reports files and directories of the tree that are to be treated as absent. It is for trees that no
	// source has filtered; it cannot be sent to a worker.
	Exclude func(path string, dir bool) bool `json:"-"`
}

// Result is the result of a render.
type Result struct {
	// Objects are in the order in which they are applied; placeholders stand for sealed values.
	Objects []*manifest.Object
	// Sealed are the encrypted files whose placeholders occur in Objects, by path.
	Sealed []SealedFile
	// Substitution is what of the substitution is left to the spoke; nil: nothing.
	Substitution *bundle.Substitution
	// Reads is what of the tree the render read.
	Reads Reads
}

// SealedFile is a file as it was committed, still encrypted, and the placeholders that stand for its values.
type SealedFile struct {
	bundle.SealedFile
	// Data is the file; its digest is SealedFile.Digest.
	Data []byte
}
