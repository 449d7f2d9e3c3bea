package fetch

import (
	"context"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
)

// migrate moves the rows of sources from the keys that hubs used until November 2026 to those of today, so that
// artifacts outlive the upgrade whether or not their servers answer. Remove it, with api.FormerFetchKey, when no hub is
// upgraded from a commit before that.
func (l *Loop) migrate(ctx context.Context) error {
	objects, err := l.readAll(ctx)
	if err != nil {
		return err
	}
	return l.Store.Update(ctx, func(tx *store.Tx) error {
		for _, row := range objects {
			view, err := row.Object.Source()
			if err != nil {
				continue // load reports the error
			}
			former, err := api.FormerFetchKey(row.Object, row.Bound())
			if err == nil {
				err = move(tx, former, view.FetchKey(row.Bound()))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// move moves a row, if it is there, to another key. A row that has that key stays: it is newer.
func move(tx *store.Tx, former, key string) error {
	row, exists, err := store.Sources.Get(tx, former)
	if err != nil || !exists {
		return err
	}
	_, newer, err := store.Sources.Get(tx, key)
	if err == nil && !newer {
		err = store.Sources.Put(tx, key, row)
	}
	if err != nil {
		return err
	}
	return store.Sources.Delete(tx, former)
}
