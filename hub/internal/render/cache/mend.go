package cache

import (
	"context"
	"errors"
	"iter"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/manifest"
)

// Mend reports whether a blob of a render that was put is missing from the store or damaged. Then Mend deletes the
// damaged ones, so that they can be put again, and the next Render of the same renders anew.
func (c *Cache) Mend(ctx context.Context, r *Rendering) (lost bool, err error) {
	if !r.IsStored() {
		return false, nil
	}
	lost, err = store.DeleteDamaged(ctx, c.store.Blobs(), r.variant.digests())
	if err != nil || !lost {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, f := range c.flights {
		if key.row == r.row && f.isDone() && f.result != nil && f.result.content == r.content {
			c.drop(key, f)
			c.anew[r.row] = true
		}
	}
	return true, nil
}

// usable returns a render of the store with its objects that extend the graph. If one of these is missing or damaged,
// usable returns nil: a new render restores it.
func (c *Cache) usable(ctx context.Context, found *Rendering) (*Rendering, error) {
	err := found.readKnown(ctx, c.store.Blobs())
	switch {
	case errors.Is(err, store.ErrDamaged):
		_, err = store.DeleteDamaged(ctx, c.store.Blobs(), found.variant.digests())
		return nil, err
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	}
	return found, err
}

// digests returns the digests of the blobs of a variant.
func (v *variant) digests() iter.Seq[manifest.Digest] {
	return func(yield func(manifest.Digest) bool) {
		for _, o := range v.Objects {
			if !yield(o.Digest) {
				return
			}
		}
		for _, f := range v.Sealed {
			if !yield(f.Digest) {
				return
			}
		}
		for _, o := range v.Release.objects() {
			if !yield(o.Digest) {
				return
			}
		}
	}
}

// rendersAnew reports whether the store's renders of a specification do not count.
func (c *Cache) rendersAnew(row string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.anew[row]
}
