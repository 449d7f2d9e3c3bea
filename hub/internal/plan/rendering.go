package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/render/kustomize"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// rendering is one render in memory: what the store keeps of it, and what walks need of it.
type rendering struct {
	row      string
	artifact manifest.Digest
	variant  variant
	graph    []*manifest.Object // the objects of variant.Graph

	once     [2]sync.Once // by api.Scope
	rendered [2]*graph.Rendered

	mu    sync.Mutex
	fresh bool     // not in the store yet
	blobs [][]byte // what the store has to keep then
}

// newRendering takes over the result of a render. What a spoke would not take is refused, whatever the renderer let
// pass: written to the store it would fail the round of all clusters.
func newRendering(key flightKey, result *kustomize.Result) (*rendering, error) {
	r := &rendering{row: key.row, artifact: key.artifact, fresh: true}
	r.variant = variant{Artifact: key.artifact, Reads: result.Reads}
	for i, o := range result.Objects {
		data, err := manifest.Canonical(o)
		if err != nil {
			return nil, err
		}
		if err := bundle.FitsObject(manifest.IDOf(o).String(), data); err != nil {
			return nil, err
		}
		r.blobs = append(r.blobs, data)
		r.variant.Objects = append(r.variant.Objects, bundle.ObjectReference{
			ObjectIdentity: identityOf(o), Digest: manifest.DigestOf(data),
		})
		if api.Known(o) {
			r.variant.Graph = append(r.variant.Graph, i)
			r.graph = append(r.graph, o)
		}
	}
	for _, f := range result.Sealed {
		if err := bundle.FitsSealedFile(f.Path, f.Data); err != nil {
			return nil, err
		}
		r.blobs = append(r.blobs, f.Data)
		r.variant.Sealed = append(r.variant.Sealed, f.SealedFile)
	}
	return r, nil
}

func identityOf(o *manifest.Object) bundle.ObjectIdentity {
	gvk := o.GroupVersionKind()
	return bundle.ObjectIdentity{
		Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: o.GetNamespace(), Name: o.GetName(),
	}
}

// storedRendering takes a render from the store, with the objects that walks need.
func storedRendering(tx *store.Tx, key flightKey, v variant) (*rendering, error) {
	r := &rendering{row: key.row, artifact: key.artifact, variant: v}
	for _, i := range v.Graph {
		data, err := store.Blob(tx, v.Objects[i].Digest)
		if err != nil {
			return nil, fmt.Errorf("read %s of an earlier render: %w", v.Objects[i].ID(), err)
		}
		o := &manifest.Object{}
		if err := json.Unmarshal(data, &o.Object); err != nil {
			return nil, fmt.Errorf("parse %s of an earlier render: %w", v.Objects[i].ID(), err)
		}
		r.graph = append(r.graph, o)
	}
	return r, nil
}

// in returns what the render gives in one scope.
func (r *rendering) in(scope api.Scope) *graph.Rendered {
	r.once[scope].Do(func() {
		g := &graph.Rendered{Sealed: r.variant.Sealed}
		for i, o := range r.variant.Objects {
			if !slices.Contains(r.variant.Graph, i) {
				g.Payload = append(g.Payload, o)
			}
		}
		for _, o := range r.graph {
			g.Children = append(g.Children, child(o, scope))
		}
		r.rendered[scope] = g
	})
	return r.rendered[scope]
}

// child admits one object to a graph.
func child(o *manifest.Object, scope api.Scope) graph.Child {
	admitted, err := api.Admit(o, scope)
	if err != nil {
		return graph.Child{Key: keyOf(o), Err: err}
	}
	return graph.Child{Key: admitted.Key, Object: graph.ParsedObject(admitted.JSON)}
}

// keyOf names an object; objects of kinds without namespaces have none, whatever they say.
func keyOf(o *manifest.Object) api.Key {
	key := api.Key{Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()}
	if kind, ok := api.KindByName(key.Kind); ok && !kind.Namespaced {
		key.Namespace = ""
	}
	return key
}

func (r *rendering) isStored() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.fresh
}

// stored says that a transaction with the render was committed.
func (r *rendering) stored() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fresh, r.blobs = false, nil
}

// put writes the render to the store, or checks that it is still there.
func (r *rendering) put(tx *store.Tx, now usedAt) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.fresh {
		return r.check(tx, now)
	}
	for _, data := range r.blobs {
		if _, err := store.PutBlob(tx, data); err != nil {
			return err
		}
	}
	return r.putRow(tx, now)
}

// putRow writes the variant, and names it first in the index. The last one too many goes.
func (r *rendering) putRow(tx *store.Tx, now usedAt) error {
	if _, err := touchRender(tx, r.row, now); err != nil { // before the index gets a new time
		return err
	}
	known, used, err := readIndex(tx, r.row)
	if err != nil {
		return err
	}
	if used.IsZero() {
		used = now.Time
	}
	variants := slices.DeleteFunc(known.Variants, func(artifact manifest.Digest) bool { return artifact == r.artifact })
	variants = slices.Insert(variants, 0, r.artifact)
	for _, old := range variants[min(len(variants), maxVariants):] {
		if err := store.Renders.Delete(tx, variantKey(r.row, old)); err != nil {
			return err
		}
	}
	known.Variants = variants[:min(len(variants), maxVariants)]
	if err := putRender(tx, variantKey(r.row, r.artifact), r.variant, now.Time); err != nil {
		return err
	}
	return putRender(tx, r.row, known, used)
}

func putRender(tx *store.Tx, key string, value any, used time.Time) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode render: %w", err)
	}
	return store.Renders.Put(tx, key, store.Render{Value: data, UsedAt: used})
}

// check marks the row as used. errSwept when it is gone: its blobs may be gone with it.
func (r *rendering) check(tx *store.Tx, now usedAt) error {
	ok, err := touchRender(tx, r.row, now)
	if err == nil && !ok {
		err = fmt.Errorf("%w: render %s", errSwept, r.row)
	}
	return err
}
