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
	if s.view.Selects == nil {
		return found
	}
	found.suspended = map[api.Key]bool{}
	for path, key := range l.keys {
		from := l.sources[key]
		m := from.members[path]
		if !s.selects(m) {
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
		if key, _ := api.ParseKey(path); key.Kind == s.view.Selects.Kind && s.isBeside(key) {
			found.all = append(found.all, source.Selected{Key: key})
		}
	}
	slices.SortFunc(found.all, func(a, b source.Selected) int { return a.Key.Compare(b.Key) })
	return found
}

// unselected returns the sources that a source could select if they had other labels, in the order of their keys.
func (l *Loop) unselected(s *scheduled) (found []api.Key) {
	if s.view.Selects == nil {
		return nil
	}
	for path, key := range l.keys {
		m := l.sources[key].members[path]
		if m.key.Kind == s.view.Selects.Kind && s.mayUse(m) && !s.selects(m) {
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

// selects reports whether a source selects another one, and may use it.
func (s *scheduled) selects(m *member) bool {
	return s.view.Selects != nil && s.mayUse(m) && s.view.Selects.Has(m.key.Kind, m.labels)
}

// mayUse reports whether a source may select another one: somebody of the same standing gave the other one, or an
// operator.
func (s *scheduled) mayUse(m *member) bool {
	return s.isBeside(m.key) && m.confined.Covers(s.given.Confined)
}

// isBeside reports whether a key has the graph and the namespace of the source.
func (s *scheduled) isBeside(key api.Key) bool {
	return key.Cluster == s.given.Key.Cluster && key.Namespace == s.given.Key.Namespace
}

// selectsAny reports whether a source selects a member of another one.
func (s *scheduled) selectsAny(other *scheduled) bool {
	return s.view.Selects != nil && other != nil &&
		slices.ContainsFunc(slices.Collect(maps.Values(other.members)), s.selects)
}

// wakeLater makes a source due when changes of the sources that it selects have waited for others.
func (s *scheduled) wakeLater() {
	s.wakeBy(time.Now().Add(s.view.Selects.Delay))
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

// wakeSelectors has sources composed again that select a member which has come to a fetched source, was resumed, or has
// got other labels.
func (l *Loop) wakeSelectors(of *scheduled, before, now *member) {
	if of.row.Artifact == nil ||
		before != nil && maps.Equal(before.labels, now.labels) && before.suspended == now.suspended {
		return
	}
	for _, s := range l.sources {
		if s.selects(now) || before != nil && s.selects(before) {
			s.wakeLater()
		}
	}
}
