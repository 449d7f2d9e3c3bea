package cache

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/confine"
	"github.com/navefleet/nave/hub/internal/lru"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/manifest"
)

// format is part of the key of every render. Raise it if the same tree and specification now give another result. Then
// the old rows are not used any more, and are swept.
const format = 9

// Limits of a cache.
const (
	MaxVariants = 3       // trees remembered for one specification: clusters may follow different branches
	maxWeight   = 200_000 // references to objects in memory, about 200 bytes each
)

// Config configures a Cache.
type Config struct {
	Store     *store.Store
	Artifacts *artifact.Store
	Renderer  render.Renderer
	Metrics   prometheus.Registerer // nil: none
}

// Cache answers renders that were done before. It is safe for concurrent use; equal renders at the same time are one.
type Cache struct {
	store     *store.Store
	artifacts *artifact.Store
	renderer  render.Renderer
	metrics   *metrics
	salt      []byte
	slots     chan struct{} // one for each render that may run at a time
	slow      *slowness
	admitted  *admissions
	asked     *lru.Cache[string, *questions] // of the specifications of charts, by row; mu guards them

	differences *lru.Cache[[2]manifest.Digest, difference]
	comparing   sync.Mutex // held while a difference is found, so that it is found once

	mu      sync.Mutex
	flights map[flightKey]*flight
	newest  map[string]manifest.Digest // the artifact of the last Rendering of each row
	anew    map[string]bool            // rows whose next Render does not look in the store, see Mend
	clock   uint64                     // counts calls of Render, for flight.used
	turns   map[flightKey]*turn        // of RenderFor
	weight  int
}

// flightKey identifies the values that a render depends on.
type flightKey struct {
	row      string // key of store.Renders
	artifact manifest.Digest
}

// flight is one render, done or under way.
type flight struct {
	done   chan struct{}
	used   uint64
	result *Rendering
	err    error
}

// New returns a cache over the renders of the store. The salt of sealed values is derived from the store and never
// changes.
func New(c Config) *Cache {
	return &Cache{
		store: c.Store, artifacts: c.Artifacts, renderer: c.Renderer, metrics: newMetrics(c.Metrics),
		salt:  Salt(c.Store.Epoch()),
		slots: make(chan struct{}, Concurrent()), flights: map[flightKey]*flight{},
		newest: map[string]manifest.Digest{}, anew: map[string]bool{},
		turns:       map[flightKey]*turn{},
		asked:       lru.New[string, *questions](maxSpecifications),
		differences: lru.New[[2]manifest.Digest, difference](maxDifferences),
		admitted:    newAdmissions(),
		slow:        newSlowness(),
	}
}

// Concurrent returns how many renders run at a time, beside slow ones.
func Concurrent() int { return max(2, runtime.GOMAXPROCS(0)) }

// Salt returns the salt of the placeholders of a hub whose store has this epoch. With it another process can render
// the placeholders that the hub renders. The salt is no secret: spokes know the epoch.
func Salt(epoch uint64) []byte {
	salt := sha256.Sum256(fmt.Appendf(nil, "nave: salt of sealed values: %d", epoch))
	return salt[:]
}

// Base is the artifact of a Remote.
type Base struct {
	api.Remote
	Artifact *artifact.Artifact
}

// NeedsError is the error of a render that needs Remotes which it was not given.
type NeedsError struct{ Needs []render.Need }

// Error implements error.
func (e *NeedsError) Error() string { return e.Needs[0].Refusal }

// Render returns the render of a specification in the artifact, with the bases of Remotes beside it. The renderable is
// without a cluster. If the render needs other Remotes, the error is a NeedsError; if it goes on, a *SlowError. If
// IsPassing is true for the error, the next call tries again. Any other error is final for these artifacts.
func (c *Cache) Render(ctx context.Context, renderable api.Key, renderer string, spec json.RawMessage,
	a *artifact.Artifact, bases ...Base) (*Rendering, error) {
	row, err := c.rowKey(renderer, spec, bases)
	if err != nil {
		return nil, err
	}
	p := pending{Cache: c, renderable: renderable, base: row, artifact: a, bases: bases, request: render.Request{
		Renderer: renderer, Spec: spec, Root: c.artifacts.Path(*a), Salt: c.salt,
		Mounts: c.mounts(bases), ReportNeeds: true,
	}}
	return p.attend(ctx)
}

// doubt has the artifacts of a render verified by the next fetch if one of them turned out to be damaged.
func (c *Cache) doubt(err error, a *artifact.Artifact, bases ...Base) {
	if !errors.Is(err, render.ErrDamaged) {
		return
	}
	c.artifacts.Doubt(*a)
	for _, b := range bases {
		c.artifacts.Doubt(*b.Artifact)
	}
}

// mounts returns the directories of bases.
func (c *Cache) mounts(bases []Base) (all []render.Mount) {
	for _, b := range bases {
		all = append(all, render.Mount{Remote: b.Remote, Root: c.artifacts.Path(*b.Artifact)})
	}
	return all
}

// rowKey returns the digest of all that a render depends on, except the tree.
func (c *Cache) rowKey(renderer string, spec json.RawMessage, bases []Base) (string, error) {
	type base struct {
		api.Remote
		Digest manifest.Digest
	}
	var list []base
	for _, b := range bases {
		list = append(list, base{b.Remote, b.Artifact.Digest})
	}
	data, err := json.Marshal(struct {
		Format   int
		Salt     []byte
		Renderer string
		Spec     json.RawMessage
		Bases    []base `json:",omitempty"`
	}{format, c.salt, renderer, spec, list})
	if err != nil {
		return "", fmt.Errorf("name a render: %w", err)
	}
	return manifest.DigestOf(data).String(), nil
}

// enter joins a flight. For the caller that has to do the work, first is true.
func (c *Cache) enter(key flightKey) (f *flight, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	if f, ok := c.flights[key]; ok {
		f.used = c.clock
		return f, false
	}
	f = &flight{done: make(chan struct{}), used: c.clock}
	c.flights[key] = f
	return f, true
}

// leave ends a flight. If the flight had a temporary failure, leave forgets it, so that the next Render tries again.
func (c *Cache) leave(key flightKey, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(f.done)
	if IsPassing(f.err) {
		delete(c.flights, key)
		return
	}
	delete(c.anew, key.row)
	if f.result != nil {
		c.newest[key.row] = key.artifact
	}
	c.weight += f.weight()
	c.shrink()
}

// weight returns the number of references to objects in a flight, plus one.
func (f *flight) weight() int {
	if f.result == nil {
		return 1
	}
	return 1 + len(f.result.variant.Objects)
}

// shrink forgets the least recently used renders. A render that is not in the store yet stays.
func (c *Cache) shrink() {
	for c.weight > maxWeight {
		var oldest flightKey
		var found *flight
		for key, f := range c.flights {
			if f.forgettable() && (found == nil || f.used < found.used) {
				oldest, found = key, f
			}
		}
		if found == nil {
			return
		}
		c.drop(oldest, found)
	}
}

func (f *flight) forgettable() bool { return f.isDone() && (f.result == nil || f.result.IsStored()) }

func (f *flight) isDone() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// Forget removes a render from memory. The next Render of the same looks in the store, or renders again.
func (c *Cache) Forget(r *Rendering) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := flightKey{r.row, r.artifact}
	if f, ok := c.flights[key]; ok && f.result == r {
		c.drop(key, f)
	}
}

// Stored notes that the transaction with these renders was committed. Stored forgets the renders whose variant the
// transaction deleted: the next sweep may take their blobs.
func (c *Cache) Stored(renders map[*Rendering]bool) {
	evicted := map[flightKey]bool{}
	for r := range renders {
		for _, artifact := range r.stored() {
			evicted[flightKey{r.row, artifact}] = true
		}
	}
	if len(evicted) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, f := range c.flights {
		if f.forgettable() && f.result != nil && evicted[flightKey{key.row, f.result.variant.Artifact}] {
			c.drop(key, f)
		}
	}
}

// drop forgets a finished flight.
func (c *Cache) drop(key flightKey, f *flight) {
	delete(c.flights, key)
	if c.newest[key.row] == key.artifact {
		delete(c.newest, key.row)
	}
	c.weight -= f.weight()
}

// render renders a request, and counts it.
func (c *Cache) render(ctx context.Context, req render.Request) (*render.Result, error) {
	start := time.Now()
	result, err := c.renderer.Render(ctx, req)
	c.metrics.renders.Observe(time.Since(start).Seconds())
	if err != nil {
		c.metrics.answers.WithLabelValues("failed").Inc()
		return nil, err
	}
	if len(result.Needs) > 0 {
		return nil, &NeedsError{result.Needs}
	}
	c.metrics.answers.WithLabelValues("render").Inc()
	return result, nil
}

// passingError is a failure that does not depend on the tree.
type passingError struct{ error }

func (e passingError) Unwrap() error { return e.error }

// IsPassing reports whether a render may succeed if it is tried again with the same input: the machine was too busy,
// the worker died, or an artifact is damaged.
func IsPassing(err error) bool {
	_, passes := errors.AsType[passingError](err)
	_, died := errors.AsType[*confine.DiedError](err)
	return passes || died || errors.Is(err, render.ErrDamaged) || errors.Is(err, confine.ErrTimeout) ||
		errors.Is(err, confine.ErrClosed) || errors.Is(err, context.Canceled) ||
		errors.Is(err, context.DeadlineExceeded)
}
