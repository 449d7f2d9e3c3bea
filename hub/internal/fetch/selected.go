package fetch

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
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
	for path, key := range l.keys {
		from := l.sources[key]
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
	for path := range l.inputs.lost {
		if key, _ := api.ParseKey(path); key.Kind == s.selects.Kind && s.selects.isBeside(key) {
			found.all = append(found.all, source.Selected{Key: key})
		}
	}
	slices.SortFunc(found.all, func(a, b source.Selected) int { return a.Key.Compare(b.Key) })
	return found
}

// unselected returns the sources that a source could select if they had other labels, in the order of their keys.
func (l *Loop) unselected(s *scheduled) (found []api.Key) {
	if s.selects.Selection == nil {
		return nil
	}
	for path, key := range l.keys {
		m := l.sources[key].members[path]
		if m.key.Kind == s.selects.Kind && s.selects.mayUse(m) && !s.selects.has(m) {
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
	return key.Cluster == s.given.Key.Cluster && key.Namespace == s.given.Key.Namespace
}

// selectsAny reports whether a source selects a member of another one.
func (s *scheduled) selectsAny(other *scheduled) bool {
	return s.selects.Selection != nil && other != nil &&
		slices.ContainsFunc(slices.Collect(maps.Values(other.members)), s.selects.has)
}

// wakeLater makes a source due when changes of the sources that it selects have waited for others.
func (s *scheduled) wakeLater() {
	s.wakeBy(time.Now().Add(s.selects.Delay))
}

// isSameRevision reports whether two artifacts have the same revision, or do not exist.
func isSameRevision(a, b *artifact.Artifact) bool {
	return a == b || a != nil && b != nil && a.Revision == b.Revision
}

// hasPushed fetches the first input of a source, to which the source has pushed. first: the source had no artifact, so
// it has one now whether or not it pushed.
func (l *Loop) hasPushed(s *scheduled, first bool) {
	if !first {
		s.quiet = time.Now().Add(s.interval())
	}
	if in := l.sources[s.inputs[0]]; in != nil {
		in.hurry()
	}
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
	for _, s := range l.sources {
		if s.selects.has(now) || before != nil && s.selects.has(before) {
			s.wakeLater()
		}
	}
}

// reselect notes what a source selects now, and has it composed again if that may be others.
func (s *scheduled) reselect(now selector) {
	changed := !s.selects.given.Confined.Equal(now.given.Confined)
	s.selects = now
	if now.Selection != nil && changed {
		s.wakeLater()
	}
}
