package fetch

import (
	"context"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/telemetry"
)

// load reads the whole state at the start: every source, due at once, and what is left of sources that are gone.
func (l *Loop) load(ctx context.Context) error {
	rows, err := l.readAll(ctx)
	if err != nil {
		return err
	}
	for path, row := range rows {
		l.place(path, &row)
	}
	err = l.Store.View(ctx, func(tx *store.Tx) error {
		if err := l.findGone(tx); err != nil {
			return err
		}
		for _, s := range l.sources {
			if s.row, _, err = store.Sources.Get(tx, s.key); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return l.forget(ctx)
}

func (l *Loop) readAll(ctx context.Context) (map[string]store.Resource, error) {
	rows := map[string]store.Resource{}
	err := l.Store.View(ctx, func(tx *store.Tx) error {
		clear(rows)
		return store.Resources.Scan(tx, "", func(path string, row store.Resource) error {
			if row.Key.Kind == api.GitRepositoryKind {
				rows[path] = row
			}
			return nil
		})
	})
	return rows, err
}

// leftovers are rows that belong to nobody any more, until they are deleted.
type leftovers struct {
	sources  map[string]bool // by api.SourceKey
	outcomes map[string]bool // by the path of a GitRepository
}

// findGone finds the rows of sources that nobody names, and the outcomes of GitRepositories that are not there.
func (l *Loop) findGone(tx *store.Tx) error {
	err := store.Sources.Scan(tx, "", func(key string, _ store.Fetched) error {
		l.gone.sources[key] = true
		return nil
	})
	if err != nil {
		return err
	}
	return store.Conditions.Scan(tx, "", func(path string, _ store.Condition) error {
		l.gone.outcomes[path] = isRepository(path)
		return nil
	})
}

// forget deletes what is gone, and is not back. What cannot be deleted now is tried again with the next change.
func (l *Loop) forget(ctx context.Context) error {
	if len(l.gone.sources)+len(l.gone.outcomes) == 0 {
		return nil
	}
	err := l.Store.Update(ctx, func(tx *store.Tx) error {
		for key := range l.gone.sources {
			if l.sources[key] == nil {
				if err := store.Sources.Delete(tx, key); err != nil {
					return err
				}
			}
		}
		for path, is := range l.gone.outcomes {
			if is && l.keys[path] == "" {
				if err := store.Conditions.Delete(tx, path); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err == nil {
		clear(l.gone.sources)
		clear(l.gone.outcomes)
	}
	return l.tolerate(err, "rows of sources that are gone could not be deleted")
}

// tolerate logs an error of the store that may pass, and returns one that will not.
func (l *Loop) tolerate(err error, what string) error {
	if err == nil || broken(err) {
		return err
	}
	l.Log.Warn(what, telemetry.Err(err))
	return nil
}

// isRepository reports whether a path (cluster/Kind/namespace/name) is that of a GitRepository.
func isRepository(path string) bool {
	_, rest, _ := strings.Cut(path, "/")
	return strings.HasPrefix(rest, api.GitRepositoryKind+"/")
}

// learn takes in what changed in the store.
func (l *Loop) learn(ctx context.Context, changes []store.Change) error {
	touched := map[string]bool{} // sources whose members need their outcomes
	for _, c := range changes {
		var err error
		switch {
		case c.Key == "":
			return l.relearn(ctx)
		case c.Table == store.Secrets.Name():
			l.secretChanged(c.Key)
		case isRepository(c.Key):
			err = l.resourceChanged(ctx, c.Key, touched)
		}
		if err != nil {
			return err
		}
	}
	return l.settleAll(ctx, touched)
}

// settleAll writes the outcomes of sources whose members changed, and deletes what is gone.
func (l *Loop) settleAll(ctx context.Context, touched map[string]bool) error {
	for key := range touched {
		if s := l.sources[key]; s != nil {
			if err := l.tolerate(l.settle(ctx, s), "outcomes could not be written"); err != nil {
				return err
			}
		}
	}
	return l.forget(ctx)
}

// relearn reads everything anew, after more changes than a watcher keeps.
func (l *Loop) relearn(ctx context.Context) error {
	rows, err := l.readAll(ctx)
	if err != nil {
		return err
	}
	touched := map[string]bool{}
	for path := range l.keys {
		if _, there := rows[path]; !there {
			if err := l.resourceChanged(ctx, path, touched); err != nil {
				return err
			}
		}
	}
	for path := range rows {
		if err := l.resourceChanged(ctx, path, touched); err != nil {
			return err
		}
	}
	for _, s := range l.sources {
		s.hurry()
	}
	return l.settleAll(ctx, touched)
}

// secretChanged fetches every source that uses the Secret.
func (l *Loop) secretChanged(name string) {
	for _, s := range l.sources {
		if slices.Contains(s.secret.rows(), name) {
			s.hurry()
		}
	}
}

// resourceChanged moves a GitRepository to where it belongs now.
func (l *Loop) resourceChanged(ctx context.Context, path string, touched map[string]bool) error {
	var row store.Resource
	var there bool
	err := l.Store.View(ctx, func(tx *store.Tx) (err error) {
		row, there, err = store.Resources.Get(tx, path)
		return err
	})
	if err != nil {
		return err
	}
	if !there {
		l.leave(path)
		l.gone.outcomes[path] = true
		return nil
	}
	if key := l.place(path, &row); key != "" {
		touched[key] = true
	}
	return nil
}

// place puts a GitRepository under its source, and asks for a fetch where it needs one: when the source is new or has
// nothing to give, when a reconciliation was requested, or when it is no longer suspended. It returns the source's key.
func (l *Loop) place(path string, row *store.Resource) string {
	g, err := store.Decode(*row, api.AsGitRepository)
	if err != nil { // admission let it through; say so rather than to go on without a word
		l.Log.Error("GitRepository cannot be read", telemetry.Object(row.Key), telemetry.Err(err))
		return ""
	}
	key := api.SourceKey(g, row.Bound())
	if old := l.keys[path]; old != key {
		l.leave(path)
	}
	s := l.sources[key]
	if s == nil {
		s = newScheduled(key, g, row)
		l.sources[key] = s
		s.hurry()
	}
	before, now := s.members[path], newMember(*row, g)
	l.keys[path], s.members[path] = key, now
	if s.needsFetch(before, now) {
		s.hurry()
	}
	return key
}

// needsFetch reports whether a change of one member is a reason to fetch.
func (s *scheduled) needsFetch(before, now *member) bool {
	switch {
	case now.suspended:
		return false
	case before == nil:
		return s.row.Artifact == nil || s.row.Error != "" || now.requested != ""
	default:
		return before.requested != now.requested || before.suspended || now.interval < before.interval
	}
}

// leave takes a GitRepository away from its source, and the source from the schedule when it was the last.
func (l *Loop) leave(path string) {
	key, ok := l.keys[path]
	if !ok {
		return
	}
	delete(l.keys, path)
	s := l.sources[key]
	delete(s.members, path)
	if len(s.members) == 0 {
		delete(l.sources, key)
		l.gone.sources[key] = true
	}
}
