package fetch

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/store"
)

// selection is the sources that a source selects, in the order of their keys.
type selection struct {
	all       []source.Selected
	suspended map[api.Key]bool // of them, those whose revisions readSuspended reads
}

// selected returns the sources that a source selects. A source that is not fetched, because an input of it is missing,
// counts as selected without a revision: its labels are not known here.
func (l *Loop) selected(s *scheduled) (found selection) {
	if s.selects.Selection == nil {
		return found
	}
	found.suspended = map[api.Key]bool{}
	for path := range l.beside.of(s.selects.given.Key) {
		from := l.sources[l.keys[path]]
		if from == nil {
			if key, _ := api.ParseKey(path); l.inputs.lost[path] && key.Kind == s.selects.Kind {
				found.all = append(found.all, source.Selected{Key: key})
			}
			continue
		}
		m := from.members[path]
		if !s.selects.has(m) {
			continue
		}
		one := source.Selected{Key: m.key}
		if m.suspended {
			found.suspended[m.key] = true
		} else if from.row.Artifact != nil {
			one.Revision = from.row.Artifact.Revision
		}
		found.all = append(found.all, one)
	}
	slices.SortFunc(found.all, func(a, b source.Selected) int { return a.Key.Compare(b.Key) })
	return found
}

// unselected returns the sources that a source could select if they had other labels, in the order of their keys.
func (l *Loop) unselected(s *scheduled) (found []api.Key) {
	if s.selects.Selection == nil {
		return nil
	}
	for path := range l.beside.of(s.selects.given.Key) {
		from := l.sources[l.keys[path]]
		if from == nil {
			continue
		}
		if m := from.members[path]; m.key.Kind == s.selects.Kind && s.selects.mayUse(m) && !s.selects.has(m) {
			found = append(found, m.key)
		}
	}
	slices.SortFunc(found, api.Key.Compare)
	return found
}

// readSuspended gives suspended sources the revisions that they had when they were suspended: what is fetched for equal
// sources of other clusters is not for them.
func (l *Loop) readSuspended(ctx context.Context, found selection) error {
	if len(found.suspended) == 0 {
		return nil
	}
	return l.Store.View(ctx, func(tx *store.Tx) error {
		for i, one := range found.all {
			if !found.suspended[one.Key] {
				continue
			}
			c, _, err := store.Conditions.Get(tx, one.Key.Path())
			if err != nil {
				return err
			}
			if c.Reason != source.Reason(source.ErrAccess, "") { // else it lost what it had
				found.all[i].Revision = c.Revision
			}
		}
		return nil
	})
}

// selector is what a source selects, and who gave the source. Both may change while its fetch stays the same.
type selector struct {
	*api.Selection // nil: nothing
	given          api.Given
}

// has reports whether a source selects another one, and may use it.
func (s selector) has(m *member) bool {
	return s.Selection != nil && s.mayUse(m) && s.Has(m.key.Kind, m.labels)
}

// mayUse reports whether a source may select another one: somebody of the same standing gave the other one, or an
// operator.
func (s selector) mayUse(m *member) bool {
	return s.isBeside(m.key) && m.confined.Covers(s.given.Confined)
}

// isBeside reports whether a key has the graph and the namespace of the source.
func (s selector) isBeside(key api.Key) bool {
	return home(key) == home(s.given.Key)
}

// wakeLater makes a source due when changes of the sources that it selects have waited for others.
func (s *scheduled) wakeLater() {
	s.wakeBy(time.Now().Add(s.selects.Delay))
}

// isSelectedAs reports whether the same sources select two states of a member, and get the same of it.
func (m *member) isSelectedAs(before *member) bool {
	return before != nil && maps.Equal(before.labels, m.labels) && before.suspended == m.suspended &&
		before.confined.Equal(m.confined)
}

// wakeSelectors has sources composed again that select a member which has come to a fetched source, or is selected
// otherwise than before.
func (l *Loop) wakeSelectors(of *scheduled, before, now *member) {
	if of.row.Artifact == nil || now.isSelectedAs(before) {
		return
	}
	l.wakeSelectorsOf(now)
	if before != nil {
		l.wakeSelectorsOf(before)
	}
}

// wakeSelectorsOf has sources composed again that select a member.
func (l *Loop) wakeSelectorsOf(m *member) {
	for path := range l.beside.of(m.key) {
		if s := l.sources[l.keys[path]]; s != nil && s.selects.has(m) {
			s.wakeLater()
		}
	}
}

// neighbours are the paths of the objects in each graph and namespace, fetched or not: a source selects none elsewhere.
type neighbours map[api.Key]map[string]bool

// home returns the graph and the namespace of a key.
func home(key api.Key) api.Key { return api.Key{Cluster: key.Cluster, Namespace: key.Namespace} }

// of returns the objects beside a key, and that of the key itself.
func (n neighbours) of(key api.Key) map[string]bool { return n[home(key)] }

func (n neighbours) add(path string, key api.Key) {
	if n.of(key) == nil {
		n[home(key)] = map[string]bool{}
	}
	n.of(key)[path] = true
}

func (n neighbours) remove(path string) {
	key, _ := api.ParseKey(path)
	if delete(n.of(key), path); len(n.of(key)) == 0 {
		delete(n, home(key))
	}
}

// reselect notes what a source selects now, and has it composed again if that may be others, or if changes are to wait
// less.
func (s *scheduled) reselect(now selector) {
	before := s.selects
	s.selects = now
	if now.Selection != nil && (!before.given.Confined.Equal(now.given.Confined) || now.Delay < before.Delay) {
		s.wakeLater()
	}
}
