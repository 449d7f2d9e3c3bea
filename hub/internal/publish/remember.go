package publish

import (
	"errors"
	"slices"
	"time"

	"github.com/navefleet/nave/hub/internal/store"
)

// sameApplications reports whether two releases have the same Applications with the same digests.
func sameApplications(a, b store.Release) bool {
	return slices.EqualFunc(a.Applications, b.Applications, func(x, y store.Entry) bool {
		return x.Name == y.Name && x.Digest == y.Digest
	})
}

// remember writes the release of a candidate to the history of its cluster, and deletes the oldest over the limit. The
// release of a pin leaves the one before.
func remember(tx *store.Tx, c *candidate, now time.Time) error {
	past := store.Past{Bundle: c.signed.Bundle, ReleasedAt: now}
	for _, e := range c.release.Applications {
		past.Applications = append(past.Applications, e.Content)
	}
	if err := store.History.Put(tx, store.PastKey(c.name, past.Bundle), past); err != nil {
		return err
	}
	var keys []string
	err := store.History.Sizes(tx, store.OfCluster(c.name), func(key string, _ int) error {
		keys = append(keys, key)
		return nil
	})
	if err == nil && c.pin != nil && len(keys) > 1 {
		err = leave(tx, keys[len(keys)-2])
	}
	for i := 0; err == nil && i < len(keys)-store.HistoryLimit; i++ {
		err = store.History.Delete(tx, keys[i])
	}
	return err
}

// leave notes that a rollback left a past release.
func leave(tx *store.Tx, key string) error {
	past, found, err := store.History.Get(tx, key)
	if errors.Is(err, store.ErrDamaged) || err == nil && !found {
		return nil
	}
	if err != nil {
		return err
	}
	past.Left = true
	return store.History.Put(tx, key, past)
}
