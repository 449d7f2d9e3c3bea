package fetch

import (
	"maps"
	"slices"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// selected returns the sources that a source selects, in the order of their keys. A source that is not fetched, because
// an input of it is missing, counts as selected without a revision: its labels are not known here.
func (l *Loop) selected(s *scheduled) (found []source.Selected) {
	if s.view.Selects == nil {
		return nil
	}
	for path, key := range l.keys {
		from := l.sources[key]
		if m := from.members[path]; s.selects(m) {
			one := source.Selected{Key: m.key}
			if from.row.Artifact != nil {
				one.Revision = from.row.Artifact.Revision
			}
			found = append(found, one)
		}
	}
	for path := range l.inputs.lost {
		if key, _ := api.ParseKey(path); key.Kind == s.view.Selects.Kind && s.isBeside(key) {
			found = append(found, source.Selected{Key: key})
		}
	}
	slices.SortFunc(found, func(a, b source.Selected) int { return a.Key.Compare(b.Key) })
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

// wakeSelectors has sources composed again that select a member which has come to a fetched source, or has got other
// labels.
func (l *Loop) wakeSelectors(of *scheduled, before, now *member) {
	if of.row.Artifact == nil || before != nil && maps.Equal(before.labels, now.labels) {
		return
	}
	for _, s := range l.sources {
		if !s.running && (s.selects(now) || before != nil && s.selects(before)) {
			s.wakeLater()
		}
	}
}
