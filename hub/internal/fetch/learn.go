package fetch

import (
	"cmp"
	"context"
	"log/slog"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/telemetry"
)

// load reads the first state: every source, which is due at once, and rows that belong to no source any more.
func (l *Loop) load(ctx context.Context) error {
	if err := l.relearn(ctx, map[string]bool{}); err != nil {
		return err
	}
	err := l.Store.View(ctx, func(tx *store.Tx) (err error) {
		for _, s := range l.sources {
			if s.row, _, err = store.Sources.Get(tx, s.key); err != nil {
				return err
			}
		}
		return l.findGone(tx)
	})
	if err != nil {
		return err
	}
	for _, s := range l.sources {
		l.metrics.sources.note(s)
	}
	if err := l.report(ctx); err != nil {
		return err
	}
	return l.forget(ctx)
}

// readAll returns the rows of all objects that are sources.
func (l *Loop) readAll(ctx context.Context) (map[string]store.Resource, error) {
	rows := map[string]store.Resource{}
	err := l.Store.View(ctx, func(tx *store.Tx) error {
		clear(rows)
		for _, kind := range api.Kinds() {
			if kind.Role != api.SourceRole {
				continue
			}
			err := store.ResourcesByKind.ScanApart(tx, kind.Name+"/", func(path string, row store.Resource) error {
				rows[path] = row
				return nil
			}, func(path string, err error) error {
				l.Log.Error("a source cannot be read and is not fetched: apply it again", slog.String("key", path),
					telemetry.Err(err))
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return rows, err
}

// leftovers are rows that belong to no object any more, until they are deleted.
type leftovers struct {
	sources    map[string]bool // by api.Source.FetchKey
	conditions map[string]bool // by the path of the object
}

// findGone finds the rows of sources that no object names, and the Conditions of sources that do not exist.
func (l *Loop) findGone(tx *store.Tx) error {
	err := store.Sources.Sizes(tx, "", func(key string, _ int) error {
		l.gone.sources[key] = true
		return nil
	})
	if err != nil {
		return err
	}
	return store.Conditions.Sizes(tx, "", func(path string, _ int) error {
		if isSource(path) {
			l.gone.conditions[path] = true
		}
		return nil
	})
}

// isSource reports whether a path is that of a source.
func isSource(path string) bool {
	key, ok := api.ParseKey(path)
	return ok && key.Role() == api.SourceRole
}

// forget deletes the leftovers that are still not needed.
func (l *Loop) forget(ctx context.Context) error {
	if len(l.gone.sources)+len(l.gone.conditions) == 0 {
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
		for path := range l.gone.conditions {
			if l.keys[path] == "" && !l.inputs.lost[path] {
				if err := store.Conditions.Delete(tx, path); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err == nil {
		clear(l.gone.sources)
		clear(l.gone.conditions)
	}
	return err
}

// learn updates the schedule after changes of rows, writes the Conditions of objects that joined a source, and deletes
// leftovers.
func (l *Loop) learn(ctx context.Context, changes []store.Change) error {
	touched := map[string]bool{} // by api.Source.FetchKey
	for _, c := range changes {
		var err error
		switch {
		case c.Key == "":
			err = l.relearn(ctx, touched)
		case c.Table == store.Secrets.Name():
			l.secretChanged(c.Key)
		case isSource(c.Key):
			err = l.resourceChanged(ctx, c.Key, touched)
		}
		if err != nil {
			return err
		}
	}
	for key := range touched {
		var err error
		switch s := l.sources[key]; {
		case s == nil:
		case s.taken:
			err = l.keepTaken(ctx, s)
		case s.known():
			err = l.write(ctx, s, s.row)
		}
		if err != nil {
			return err
		}
	}
	if err := l.report(ctx); err != nil {
		return err
	}
	return l.forget(ctx)
}

// keepTaken writes what a source took over, before the row that it is from goes. The Conditions are written when the
// source has something of its own: one that is suspended may have nothing for long.
func (l *Loop) keepTaken(ctx context.Context, s *scheduled) error {
	return l.Store.Update(ctx, func(tx *store.Tx) error { return store.Sources.Put(tx, s.key, s.row) })
}

// relearn reads everything again, after more changes than a watcher keeps.
func (l *Loop) relearn(ctx context.Context, touched map[string]bool) error {
	rows, err := l.readAll(ctx)
	if err != nil {
		return err
	}
	for path := range l.keys {
		if _, exists := rows[path]; !exists {
			l.remove(path)
		}
	}
	for path, row := range rows {
		p, err := place(row, func(key api.Key) (store.Resource, bool, error) {
			found, exists := rows[key.Path()]
			return found, exists, nil
		})
		if err != nil {
			return err
		}
		touched[l.assign(path, p)] = true
	}
	for _, s := range l.sources {
		s.hurry()
	}
	return nil
}

// secretChanged fetches every source that uses the Secret.
func (l *Loop) secretChanged(row string) {
	for _, s := range l.sources {
		if s.uses(row) {
			s.hurry()
		}
	}
}

// resourceChanged assigns an object, and those that read it, to the sources that they name now.
func (l *Loop) resourceChanged(ctx context.Context, path string, touched map[string]bool) error {
	for _, path := range append([]string{path}, l.inputs.readersOf(path)...) {
		var p placed
		var exists bool
		err := l.Store.View(ctx, func(tx *store.Tx) (err error) {
			p, exists, err = placeIn(tx, path)
			return err
		})
		switch {
		case err != nil:
			return err
		case !exists:
			l.remove(path)
		default:
			touched[l.assign(path, p)] = true
		}
	}
	return nil
}

// assign makes an object a member of the source that it names or stands for, and asks for a fetch if the source needs
// one: when it is new or has nothing to give, when a reconciliation was requested, or when it was resumed. It returns
// the key of the source; empty if there is none. An object whose input does not exist has a source only if it keeps
// what it chose.
func (l *Loop) assign(path string, p placed) string {
	view, err := p.of.Object.Source()
	var asked server
	var servers []server
	if err == nil {
		asked, err = serverOf(p.fetch, view, &p.of)
	}
	if err == nil {
		servers, err = serversOf(p.fetch)
	}
	if err != nil { // admission let it through
		l.Log.Error("source cannot be read and is not fetched", telemetry.Object(p.of.Key), telemetry.Err(err))
		return ""
	}
	l.inputs.look(path, p.looked)
	l.beside.add(path, p.row.Key)
	delete(l.inputs.lost, path)
	if err := l.crossing(view, p.of.Key); err != nil {
		p.err, p.fetch.Key = cmp.Or(p.err, err), ""
	}
	key, from := p.fetch.Key, l.sources[l.keys[path]]
	if l.keys[path] != key {
		l.leave(path)
	}
	if p.err != nil {
		l.inputs.lose(path, p)
	}
	if key == "" {
		return ""
	}
	s := l.sources[key]
	if s == nil {
		s = newScheduled(p.fetch, asked, view, &p.of)
		s.lost = p.err != nil
		s.servers = servers
		s.takeOver(from)
		l.sources[key] = s
		s.hurry()
	}
	s.reselect(selector{view.Selects, p.of.Given()})
	before, now := s.members[path], newMember(&p.row, view)
	if asked.upstream != nil {
		now.timeout = asked.view.Timeout
	}
	if before != nil {
		now.answered = before.answered
	}
	l.keys[path], s.members[path] = key, now
	l.metrics.sources.joined(s, path)
	l.wakeSelectors(s, before, now)
	if s.needsFetch(before, now) {
		s.hurry()
		l.hurryInputs(s, before, now)
	}
	return key
}

// hurryInputs fetches the inputs of a source, and theirs, if a reconciliation of the source was requested.
func (l *Loop) hurryInputs(s *scheduled, before, now *member) {
	if before == nil || before.requested == now.requested {
		return
	}
	for _, key := range s.inputs {
		if in := l.sources[key]; in != nil {
			in.hurry()
			l.hurryInputs(in, before, now)
		}
	}
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

// remove forgets an object that was deleted.
func (l *Loop) remove(path string) {
	if s := l.sources[l.keys[path]]; s != nil {
		l.wakeSelectorsOf(s.members[path])
	}
	l.leave(path)
	l.inputs.look(path, nil)
	l.beside.remove(path)
	delete(l.inputs.lost, path)
	l.gone.conditions[path] = true
}

// leave removes an object from its source, and a source without members from the schedule.
func (l *Loop) leave(path string) {
	key, ok := l.keys[path]
	if !ok {
		return
	}
	delete(l.keys, path)
	s := l.sources[key]
	delete(s.members, path)
	l.metrics.sources.place(s)
	if len(s.members) == 0 {
		delete(l.sources, key)
		l.gone.sources[key] = true
	}
}
