package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// ErrSwept: the sweep took a render from the store between its use and the commit.
var ErrSwept = errors.New("swept meanwhile")

// Rendering is one render in memory. It is shared, and safe for concurrent use.
type Rendering struct {
	row      string
	base     string // the row of the specification of a chart, which says what renders asked for; else empty
	artifact manifest.Digest
	made     Made
	*content

	mu      sync.Mutex
	fresh   bool              // not in the store yet
	blobs   [][]byte          // to be stored, while fresh
	evicted []manifest.Digest // artifacts of the variants that the last putRows deleted
}

// Made tells of which renderable, without a cluster, and when a Rendering was rendered.
type Made struct {
	Renderable api.Key
	Start, End time.Time // zero: it comes from the store, or from the render of an earlier tree
}

// Made returns how the render was made.
func (r *Rendering) Made() Made { return r.made }

// content is the result of a render: its variant, as the store keeps it, and its objects that extend the graph. The
// Renderings of all trees that match the variant's Reads share it.
type content struct {
	variant variant
	known   []*manifest.Object // the objects of variant.Graph
	views   sync.Map           // *view by the key of View
}

type view struct {
	once  sync.Once
	value any
}

// NewRendering returns the Rendering of a result for a caller without a store. See newRendering for the errors.
func NewRendering(result *render.Result) (*Rendering, error) {
	return newRendering(flightKey{}, result, newAdmissions())
}

// newRendering returns the Rendering of a result. If no spoke would accept an object or a file of the result,
// newRendering returns an error, even if the renderer accepted it: in the store such a result would fail the round of
// all clusters.
func newRendering(key flightKey, result *render.Result, known *admissions) (*Rendering, error) {
	r := &Rendering{row: key.row, artifact: key.artifact, content: &content{}, fresh: true}
	r.variant = variant{Artifact: key.artifact, Reads: result.Reads, Substitution: result.Substitution,
		Places: result.Places}
	encoded, err := result.Encode()
	if err != nil {
		return nil, err
	}
	for i, data := range encoded {
		o, canonical, err := admit(data, known)
		if err != nil {
			return nil, err
		}
		r.blobs = append(r.blobs, canonical)
		r.variant.Objects = append(r.variant.Objects, o.reference)
		if o.known != nil {
			r.variant.Graph = append(r.variant.Graph, i)
			r.known = append(r.known, o.known)
		}
		if o.flux {
			r.variant.Flux = append(r.variant.Flux, i)
		}
	}
	for _, f := range result.Sealed {
		if err := bundle.FitsSealedFile(f.Path, f.Data); err != nil {
			return nil, err
		}
		r.blobs = append(r.blobs, f.Data)
		r.variant.Sealed = append(r.variant.Sealed, f.SealedFile)
	}
	return r, r.addRelease(result.Release, known)
}

func identityOf(o *manifest.Object) bundle.ObjectIdentity {
	gvk := o.GroupVersionKind()
	return bundle.ObjectIdentity{
		Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: o.GetNamespace(), Name: o.GetName(),
	}
}

// readKnown reads the objects that extend the graph. If one is missing, the error is store.ErrNotFound.
func (r *Rendering) readKnown(ctx context.Context, blobs store.Blobs) error {
	for _, i := range r.variant.Graph {
		reference := r.variant.Objects[i]
		data, err := blobs.Get(ctx, reference.Digest)
		if err != nil {
			return fmt.Errorf("read %s of an earlier render: %w", reference.ID(), err)
		}
		o := &manifest.Object{}
		if err := json.Unmarshal(data, &o.Object); err != nil {
			return fmt.Errorf("parse %s of an earlier render: %w", reference.ID(), err)
		}
		r.known = append(r.known, o)
	}
	return nil
}

// Rows returns the keys of the render in store.Renders.
func (r *Rendering) Rows() []string {
	if r.base != "" {
		return []string{r.row, r.base}
	}
	return []string{r.row}
}

// Object is one rendered object.
type Object struct {
	Reference bundle.ObjectReference
	Known     *manifest.Object // an object that extends the graph (api.Known), which must not be changed; else nil
	Flux      bool             // a component of Flux itself (api.IsFluxComponent)
	Place     *api.Place       // if a graph may refuse the object; nil: not known
}

// Objects returns the rendered objects in the order in which they are applied.
func (r *Rendering) Objects() iter.Seq[Object] {
	return func(yield func(Object) bool) {
		known, flux := 0, 0 // next of variant.Graph and variant.Flux, which are in ascending order
		for i, reference := range r.variant.Objects {
			o := Object{Reference: reference, Place: r.variant.Places[i]}
			if known < len(r.variant.Graph) && r.variant.Graph[known] == i {
				o.Known = r.known[known]
				known++
			}
			if flux < len(r.variant.Flux) && r.variant.Flux[flux] == i {
				o.Flux = true
				flux++
			}
			if !yield(o) {
				return
			}
		}
	}
}

// Sealed returns the encrypted files whose placeholders occur in the objects.
func (r *Rendering) Sealed() []bundle.SealedFile { return r.variant.Sealed }

// Substitution returns the part of the substitution that the spoke does. If there is none, Substitution returns nil.
func (r *Rendering) Substitution() *bundle.Substitution { return r.variant.Substitution }

// View returns the value that make returned when View was first called with the key.
func View[K comparable, T any](r *Rendering, key K, make func() T) T {
	found, ok := r.views.Load(key)
	if !ok {
		found, _ = r.views.LoadOrStore(key, new(view))
	}
	v := found.(*view)
	v.once.Do(func() { v.value = make() })
	return v.value.(T)
}

// IsStored reports whether a transaction with the render was committed.
func (r *Rendering) IsStored() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.fresh
}

// stored notes that a transaction with the render was committed, and returns the artifacts of the variants that the
// transaction deleted.
func (r *Rendering) stored() (evicted []manifest.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	evicted = r.evicted
	r.fresh, r.blobs, r.evicted = false, nil, nil
	return evicted
}

// Fresh returns the JSON of an object, or the bytes of an encrypted file, of a render that is not in the store yet. If
// the render is stored or does not have the digest, Fresh returns false.
func (r *Rendering) Fresh(object manifest.Digest) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.fresh {
		return nil, false
	}
	for i, o := range r.variant.Objects {
		if o.Digest == object {
			return r.blobs[i], true
		}
	}
	for i, f := range r.variant.Sealed {
		if f.Digest == object {
			return r.blobs[len(r.variant.Objects)+i], true
		}
	}
	for i, o := range r.variant.Release.objects() {
		if o.Digest == object {
			return r.blobs[len(r.variant.Objects)+len(r.variant.Sealed)+i], true
		}
	}
	return nil, false
}

// PutBlobs puts the blobs that the rows of the render name. Call PutBlobs before Put.
func (r *Rendering) PutBlobs(ctx context.Context, blobs store.Blobs) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, data := range r.blobs {
		if _, err := blobs.Put(ctx, data); err != nil {
			return err
		}
	}
	return nil
}

// Put writes the rows of the render, or marks them as used. If the render was stored and its row does not exist any
// more, Put returns ErrSwept: its blobs may be deleted, too.
func (r *Rendering) Put(tx *store.Tx, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.putAsked(tx, now); err != nil {
		return err
	}
	if !r.fresh {
		ok, err := touch(tx, r.row, now)
		if err == nil && !ok {
			err = fmt.Errorf("%w: render %s", ErrSwept, r.row)
		}
		return err
	}
	return r.putRows(tx, now)
}

// putRows writes the variant, and names it first in the index. The oldest variant over MaxVariants is deleted.
func (r *Rendering) putRows(tx *store.Tx, now time.Time) error {
	if _, err := touch(tx, r.row, now); err != nil { // before the index gets a new time
		return err
	}
	known, used, err := readIndex(tx, r.row)
	if err != nil {
		return err
	}
	if used.IsZero() {
		used = now
	}
	variants := slices.DeleteFunc(known.Variants, func(artifact manifest.Digest) bool { return artifact == r.artifact })
	variants = slices.Insert(variants, 0, r.artifact)
	r.evicted = slices.Clone(variants[min(len(variants), MaxVariants):])
	for _, old := range r.evicted {
		if err := store.Renders.Delete(tx, variantKey(r.row, old)); err != nil {
			return err
		}
	}
	known.Variants = variants[:min(len(variants), MaxVariants)]
	if err := putRow(tx, variantKey(r.row, r.artifact), r.variant, now); err != nil {
		return err
	}
	return putRow(tx, r.row, known, used)
}
