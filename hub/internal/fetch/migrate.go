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
	moves := map[string]string{} // the key of today by the former one
	for _, row := range objects {
		view, err := row.Object.Source()
		if err != nil {
			continue // load says so
		}
		former, err := api.FormerFetchKey(row.Object, row.Bound())
		if err != nil {
			return err
		}
		moves[former] = view.FetchKey(row.Bound())
	}
	rows := map[string]store.Fetched{} // by the former key
	err = l.Store.View(ctx, func(tx *store.Tx) error {
		clear(rows)
		return store.Sources.Scan(tx, "", func(key string, row store.Fetched) error {
			if moves[key] != "" {
				rows[key] = row
			}
			return nil
		})
	})
	if err != nil || len(rows) == 0 {
		return err
	}
	return l.Store.Update(ctx, func(tx *store.Tx) error { return move(tx, rows, moves) })
}

// move moves rows to other keys. A row that is there already stays: it is newer.
func move(tx *store.Tx, rows map[string]store.Fetched, moves map[string]string) error {
	for former, row := range rows {
		_, exists, err := store.Sources.Get(tx, moves[former])
		if err == nil && !exists {
			err = store.Sources.Put(tx, moves[former], row)
		}
		if err != nil {
			return err
		}
		if err := store.Sources.Delete(tx, former); err != nil {
			return err
		}
	}
	return nil
}
