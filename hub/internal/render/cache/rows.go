package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// TouchEvery is how often the caller has to mark the rows of renders in use as used (Touch). A sweep deletes rows that
// were unused for much longer. Touch writes a row at most once in half of that time.
const TouchEvery = 12 * time.Hour

// index is the value of the row of a specification.
type index struct {
	Variants []manifest.Digest `json:"variants"` // artifacts, the newest render first
}

// variantKey is the key of the row of a variant.
func variantKey(row string, artifact manifest.Digest) string { return row + "/" + artifact.String() }

// variant is the result of one specification for the trees that match its Reads.
type variant struct {
	Artifact manifest.Digest          `json:"artifact"`
	Reads    render.Reads             `json:"reads"`
	Objects  []bundle.ObjectReference `json:"objects"` // as rendered, in apply order
	Graph    []int                    `json:"graph,omitempty"`
	Flux     []int                    `json:"flux,omitempty"` // components of Flux itself
	// Places are those of objects that a graph may refuse.
	Places map[int]*api.Place  `json:"places,omitempty"`
	Sealed []bundle.SealedFile `json:"sealed,omitempty"`
	// Substitution is the part of the substitution that the spoke does.
	Substitution *bundle.Substitution `json:"substitution,omitempty"`
	Release      *Release             `json:"release,omitempty"`
}

// lookup returns the render from the store; nil if the store does not have it, or has it damaged. lookup reads the
// index of the variants from the store, and the variants from memory if possible.
func (c *Cache) lookup(ctx context.Context, key flightKey, probe *tree.Probe) (found *Rendering, err error) {
	if c.rendersAnew(key.row) {
		return nil, nil
	}
	err = c.store.View(ctx, func(tx *store.Tx) error {
		found = nil
		known, _, err := readIndex(tx, key.row)
		if err != nil {
			return err
		}
		for _, artifact := range known.Variants {
			v, err := c.variant(tx, flightKey{key.row, artifact})
			if err != nil {
				return err
			}
			if v == nil || artifact != key.artifact && !probe.Unchanged(v.Reads) {
				continue
			}
			found = &Rendering{row: key.row, artifact: key.artifact, content: &content{variant: *v}}
			return nil
		}
		return nil
	})
	if err != nil || found == nil {
		return nil, err
	}
	return c.usable(ctx, found)
}

// variant returns a variant that an index names, from memory or from the store. If neither has it, variant returns nil.
func (c *Cache) variant(tx *store.Tx, key flightKey) (*variant, error) {
	if v := c.remembered(key); v != nil {
		return v, nil
	}
	r, ok, err := readRow(tx, variantKey(key.row, key.artifact))
	if err != nil || !ok {
		return nil, err
	}
	v := &variant{}
	if json.Unmarshal(r.Value, v) != nil {
		return nil, nil // of another version, which counts as none
	}
	return v, nil
}

// remembered returns the variant of a finished render in memory. If there is none, remembered returns nil.
func (c *Cache) remembered(key flightKey) *variant {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.flights[key]; ok && f.isDone() && f.result != nil {
		return &f.result.variant
	}
	return nil
}

// readIndex reads the row of a specification. If its value cannot be decoded, it is from another version, and readIndex
// returns zero values.
func readIndex(tx *store.Tx, key string) (known index, usedAt time.Time, err error) {
	r, ok, err := readRow(tx, key)
	if err != nil || !ok || json.Unmarshal(r.Value, &known) != nil {
		return index{}, time.Time{}, err
	}
	return known, r.UsedAt, nil
}

// Touch marks the rows of renders as used, by Rendering.Row. Touch ignores rows that do not exist any more.
func (c *Cache) Touch(ctx context.Context, rows map[string]bool, now time.Time) error {
	return c.store.Update(ctx, func(tx *store.Tx) error {
		for row := range rows {
			if _, err := touch(tx, row, now); err != nil {
				return err
			}
		}
		return nil
	})
}

// touch marks the row of a specification as used, after those of its variants. It reports whether the row exists.
func touch(tx *store.Tx, row string, now time.Time) (bool, error) {
	r, ok, err := readRow(tx, row)
	if err != nil || !ok || now.Sub(r.UsedAt) < TouchEvery/2 {
		return ok, err
	}
	var known index
	if json.Unmarshal(r.Value, &known) == nil {
		for _, artifact := range known.Variants {
			if err := mark(tx, variantKey(row, artifact), now); err != nil {
				return true, err
			}
		}
	}
	return true, mark(tx, row, now)
}

// mark marks one row as used, if it exists.
func mark(tx *store.Tx, key string, now time.Time) error {
	r, ok, err := readRow(tx, key)
	if err != nil || !ok {
		return err
	}
	r.UsedAt = now
	return store.Renders.Put(tx, key, r)
}

// readRow returns a row; false if there is none or it is damaged.
func readRow(tx *store.Tx, key string) (store.Render, bool, error) {
	r, ok, err := store.Renders.Get(tx, key)
	if errors.Is(err, store.ErrDamaged) {
		return store.Render{}, false, nil
	}
	return r, ok, err
}

func putRow(tx *store.Tx, key string, value any, used time.Time) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode render: %w", err)
	}
	return store.Renders.Put(tx, key, store.Render{Value: data, UsedAt: used})
}
