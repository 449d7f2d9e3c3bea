package plan

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/confine"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/kustomize"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// renderFormat is part of the key of every memoized render. Raise it when the same tree and specification would now
// render to something else; then the old rows answer nothing any more and are swept.
const renderFormat = 3

// Limits of what the memo holds.
const (
	maxVariants = 3       // trees remembered for one specification: clusters may follow different branches
	maxWeight   = 200_000 // objects referred to in memory, about 200 bytes each
)

// memo answers renders that were done before. It is safe for concurrent use; equal renders at the same time are one.
type memo struct {
	store    *store.Store
	renderer render.Renderer
	metrics  *metrics
	salt     []byte
	slots    chan struct{} // one for each render that may run at a time

	mu      sync.Mutex
	flights map[flightKey]*flight
	clock   uint64 // counts asks, to tell what was used last
	weight  int
}

// flightKey is all that a render depends on.
type flightKey struct {
	row      string // key of store.Renders
	artifact manifest.Digest
}

// flight is one render, done or under way.
type flight struct {
	done   chan struct{}
	used   uint64
	result *rendering
	err    error
}

// The rows of store.Renders are of two kinds: under the digest of a specification (rowKey) the index of its variants,
// which is small and read often, and under variantKey each variant, which is large. No variant is marked as used for
// the last time before its index is, so that no sweep leaves an index without what it names.

// index is the value of the row of a specification.
type index struct {
	Variants []manifest.Digest `json:"variants"` // artifacts, the newest render first
}

// variantKey is the key of the row of a variant.
func variantKey(row string, artifact manifest.Digest) string { return row + "/" + artifact.String() }

// variant is what one specification rendered to in the trees that look like this.
type variant struct {
	Artifact manifest.Digest          `json:"artifact"`
	Reads    kustomize.Reads          `json:"reads"`
	Objects  []bundle.ObjectReference `json:"objects"` // as rendered, in apply order
	Graph    []int                    `json:"graph,omitempty"`
	Sealed   []bundle.SealedFile      `json:"sealed,omitempty"`
}

func newMemo(s *store.Store, r render.Renderer, m *metrics) *memo {
	salt := sha256.Sum256(fmt.Appendf(nil, "nave: salt of sealed values: %d", s.Epoch()))
	return &memo{
		store: s, renderer: r, metrics: m, salt: salt[:],
		slots: make(chan struct{}, max(2, runtime.GOMAXPROCS(0))), flights: map[flightKey]*flight{},
	}
}

// render returns what the Kustomization renders to in the artifact, or why it does not.
func (m *memo) render(ctx context.Context, ks *kustomizev1.Kustomization, a *artifact.Artifact) (*rendering, error) {
	spec := kustomize.SpecOf(ks)
	name, err := m.rowKey(spec)
	if err != nil {
		return nil, err
	}
	key := flightKey{name, a.Digest}
	f, first := m.enter(key)
	if !first {
		select {
		case <-f.done:
			m.metrics.memo.WithLabelValues("memory").Inc()
			return f.result, f.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	f.result, f.err = m.answer(ctx, key, spec, a)
	m.leave(key, f)
	return f.result, f.err
}

// rowKey is the digest of all that the render depends on, but for the tree.
func (m *memo) rowKey(spec kustomize.Spec) (string, error) {
	data, err := json.Marshal(struct {
		Format int
		Salt   []byte
		Spec   kustomize.Spec
	}{renderFormat, m.salt, spec})
	if err != nil {
		return "", fmt.Errorf("name the render of %s/%s: %w", spec.Namespace, spec.Name, err)
	}
	return manifest.DigestOf(data).String(), nil
}

// enter joins a flight; first is true for the one that has to do the work.
func (m *memo) enter(key flightKey) (f *flight, first bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock++
	if f, ok := m.flights[key]; ok {
		f.used = m.clock
		return f, false
	}
	f = &flight{done: make(chan struct{}), used: m.clock}
	m.flights[key] = f
	return f, true
}

// leave ends a flight. What failed for a passing reason is forgotten, so that it is tried again.
func (m *memo) leave(key flightKey, f *flight) {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(f.done)
	if passing(f.err) {
		delete(m.flights, key)
		return
	}
	m.weight += f.weight()
	m.shrink()
}

// weight is the number of objects that a flight keeps.
func (f *flight) weight() int {
	if f.result == nil {
		return 1
	}
	return 1 + len(f.result.variant.Objects)
}

// shrink forgets what was not used for the longest time. What is not in the store yet stays.
func (m *memo) shrink() {
	for m.weight > maxWeight {
		var oldest flightKey
		var found *flight
		for key, f := range m.flights {
			if f.forgettable() && (found == nil || f.used < found.used) {
				oldest, found = key, f
			}
		}
		if found == nil {
			return
		}
		delete(m.flights, oldest)
		m.weight -= found.weight()
	}
}

func (f *flight) forgettable() bool {
	select {
	case <-f.done:
		return f.result == nil || f.result.isStored()
	default:
		return false
	}
}

// forget makes the memo ask the store, or render, again.
func (m *memo) forget(r *rendering) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := flightKey{r.row, r.artifact}
	if f, ok := m.flights[key]; ok && f.result == r {
		delete(m.flights, key)
		m.weight -= f.weight()
	}
}

// answer finds the render in the store, or does it.
func (m *memo) answer(ctx context.Context, key flightKey, spec kustomize.Spec, a *artifact.Artifact) (*rendering, error) {
	select {
	case m.slots <- struct{}{}:
		defer func() { <-m.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	stored, err := m.lookup(ctx, key, a)
	if err != nil {
		return nil, passingError{err}
	}
	if stored != nil {
		m.metrics.memo.WithLabelValues("store").Inc()
		return stored, nil
	}
	start := time.Now()
	result, err := m.renderer.Kustomize(ctx, kustomize.Request{Root: a.Dir, Spec: spec, Salt: m.salt})
	m.metrics.renders.Observe(time.Since(start).Seconds())
	if err != nil {
		m.metrics.memo.WithLabelValues("failed").Inc()
		return nil, err
	}
	m.metrics.memo.WithLabelValues("render").Inc()
	return newRendering(key, result)
}

// lookup finds the render in the store; nil when it is not there. The index in the store says which variants there are;
// what they hold is taken from memory where it can be.
func (m *memo) lookup(ctx context.Context, key flightKey, a *artifact.Artifact) (found *rendering, err error) {
	probe := kustomize.NewProbe(a.Dir)
	defer probe.Close()
	err = m.store.View(ctx, func(tx *store.Tx) error {
		known, _, err := readIndex(tx, key.row)
		if err != nil {
			return err
		}
		for _, artifact := range known.Variants {
			v, err := m.variant(tx, flightKey{key.row, artifact})
			if err != nil {
				return err
			}
			if v == nil || artifact != a.Digest && !probe.Unchanged(v.Reads) {
				continue
			}
			found, err = storedRendering(tx, key, *v)
			if errors.Is(err, store.ErrNotFound) {
				continue // a blob of it is gone: rendering brings it back
			}
			return err
		}
		return nil
	})
	return found, err
}

// variant returns a variant that an index names, from memory or from the store; nil when it is in neither.
func (m *memo) variant(tx *store.Tx, key flightKey) (*variant, error) {
	if v := m.remembered(key); v != nil {
		return v, nil
	}
	r, ok, err := store.Renders.Get(tx, variantKey(key.row, key.artifact))
	if err != nil || !ok {
		return nil, err
	}
	v := &variant{}
	if json.Unmarshal(r.Value, v) != nil {
		return nil, nil // of another version, and as good as none
	}
	return v, nil
}

// remembered returns what is in memory of a render that is done.
func (m *memo) remembered(key flightKey) *variant {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, ok := m.flights[key]
	if !ok {
		return nil
	}
	select {
	case <-f.done:
		if f.result != nil {
			return &f.result.variant
		}
	default:
	}
	return nil
}

// readIndex reads the row of a specification. A value that does not parse is from another version and as good as none.
func readIndex(tx *store.Tx, key string) (known index, usedAt time.Time, err error) {
	r, ok, err := store.Renders.Get(tx, key)
	if err != nil || !ok || json.Unmarshal(r.Value, &known) != nil {
		return index{}, time.Time{}, err
	}
	return known, r.UsedAt, nil
}

// touchRender marks the row of a specification, and those of its variants, as used. It reports whether the row is
// there.
func touchRender(tx *store.Tx, key string, now usedAt) (bool, error) {
	r, ok, err := store.Renders.Get(tx, key)
	if err != nil || !ok || !now.due(r.UsedAt) {
		return ok, err
	}
	var known index
	if json.Unmarshal(r.Value, &known) != nil {
		return true, now.touch(tx, key, r)
	}
	for _, artifact := range known.Variants {
		if err := touchVariant(tx, variantKey(key, artifact), now); err != nil {
			return true, err
		}
	}
	return true, now.touch(tx, key, r)
}

// touchVariant marks the row of a variant as used, if it is there.
func touchVariant(tx *store.Tx, key string, now usedAt) error {
	r, ok, err := store.Renders.Get(tx, key)
	if err != nil || !ok {
		return err
	}
	r.UsedAt = now.Time
	return store.Renders.Put(tx, key, r)
}

// due reports whether a row that was used last at that time is to be marked again.
func (now usedAt) due(last time.Time) bool { return now.Sub(last) >= touchEvery/2 }

// passingError is a failure that says nothing about the tree.
type passingError struct{ error }

func (e passingError) Unwrap() error { return e.error }

// passing reports whether a render may succeed when it is tried again with the same input: the machine was too busy, or
// the worker died.
func passing(err error) bool {
	var p passingError
	var died *confine.DiedError
	return errors.As(err, &p) || errors.As(err, &died) || errors.Is(err, confine.ErrTimeout) ||
		errors.Is(err, confine.ErrClosed) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
