// Package render defines the types of rendering. A Renderer turns a Request into a Result. The Request has an object,
// such as a Kustomization, and the tree of its source. The Result has the rendered objects, and the Reads that they
// were made from.
//
// The packages below it implement rendering:
//
//   - tree reads files within the artifact and records the reads
//   - seal keeps encrypted values from the hub
//   - kustomize renders Kustomizations
//   - helm renders charts
//   - worker renders in confined processes
//   - cache remembers renders
package render

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// Renderer renders. Implementations are safe for concurrent use.
type Renderer interface {
	// Render returns the objects that the request's object renders. Equal requests give equal results from equal trees,
	// wherever the trees are. Errors name the file and the line, or the object and the field. Reasons has the errors that
	// callers distinguish; an api.Failure gives the object a reason of its kind.
	Render(ctx context.Context, req Request) (*Result, error)
}

// Renderers are renderers by name. Render calls the one that the request names.
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
	// Renderer is the name of the Renderer. Spec has all fields of the object that the result depends on, in the form of
	// that Renderer.
	Renderer string          `json:"renderer"`
	Spec     json.RawMessage `json:"spec"`
	// Root is the path of an artifact (artifact.Store.Path) or of a directory. A render reads no file outside of it, and
	// writes no file in it.
	Root string `json:"root"`
	// Mounts are the Remotes that the render may read. If ReportNeeds is set and the render needs others, its Result has
	// nothing but Needs. If ReportNeeds is not set, the render fails.
	Mounts      []Mount `json:"mounts,omitempty"`
	ReportNeeds bool    `json:"reportNeeds,omitempty"`
	// Facts are the facts for the render of a chart, in place of those in Spec. The objects of the result are then for
	// that cluster: they name their namespaces.
	Facts *api.ChartFacts `json:"facts,omitempty"`
	// Salt is the salt of the placeholders of sealed values. The hub never changes it, so that equal files give equal
	// placeholders.
	Salt []byte `json:"salt,omitempty"`
	// Exclude reports files and directories of the tree that are to be treated as absent. It is for trees that no
	// source has filtered; it cannot be sent to a worker.
	Exclude func(path string, dir bool) bool `json:"-"`
}

// Result is the result of a render.
type Result struct {
	// Objects are in the order in which they are applied, with placeholders in place of sealed values.
	Objects []*manifest.Object
	// Canonical has the canonical JSON of some of the Objects, if they were not changed since.
	Canonical map[*manifest.Object][]byte
	// Encoded has the canonical JSON of the objects, in place of Objects, if another process has rendered them. They are
	// not checked.
	Encoded [][]byte
	// Places are those of objects that a graph may refuse, by the number of the object.
	Places map[int]*api.Place
	// Sealed are the encrypted files whose placeholders occur in Objects, by path.
	Sealed []SealedFile
	// Substitution is the part of the substitution that the spoke does; nil: there is none.
	Substitution *bundle.Substitution
	// Reads are the facts that the render read from the tree. Facts of Mounts are not among them.
	Reads Reads
	// Release is what a chart renders beside Objects; nil: the render is not of a chart.
	Release *Release
	// Needs are Remotes that are not among the Mounts of the Request. If there are any, there is no other result.
	Needs []Need
}

// Encode returns the canonical JSON of the objects.
func (r *Result) Encode() ([][]byte, error) {
	if r.Encoded != nil {
		return r.Encoded, nil
	}
	encoded := make([][]byte, len(r.Objects))
	for i, o := range r.Objects {
		var err error
		if encoded[i] = r.Canonical[o]; encoded[i] != nil {
			continue
		}
		if encoded[i], err = manifest.Canonical(o); err != nil {
			return nil, err
		}
	}
	return encoded, nil
}

// SealedFile is a file as it was committed, still encrypted, and the placeholders of its values.
type SealedFile struct {
	bundle.SealedFile
	// Data is the file; its digest is SealedFile.Digest.
	Data []byte
}
