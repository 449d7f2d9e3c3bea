package fetch

import (
	"context"
	"fmt"
	"time"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
)

// write puts a source's row and its members' outcomes into the store, in one transaction. The row is left alone unless
// the artifact or the error changed: that a source was looked at is no news.
func (l *Loop) write(ctx context.Context, s *scheduled, now store.Fetched, requests map[string]string) error {
	at := time.Now().UTC()
	return l.Store.Update(ctx, func(tx *store.Tx) error {
		if !sameArtifact(s.row.Artifact, now.Artifact) || s.row.Error != now.Error || s.row.Reason != now.Reason {
			if err := store.Sources.Put(tx, s.key, now); err != nil {
				return err
			}
		}
		for i, m := range s.active() {
			handled, asked := requests[m.key.Path()]
			if err := outcome(tx, m, now, at, handled, asked, i < maxTold); err != nil {
				return err
			}
		}
		return nil
	})
}

// settle writes the outcomes of a source's members from what is known, without a fetch: somebody joined.
func (l *Loop) settle(ctx context.Context, s *scheduled) error {
	if s.row.Artifact == nil && s.row.Error == "" {
		return nil // a first fetch is on its way
	}
	return l.write(ctx, s, s.row, nil)
}

// outcome writes one member's outcome, and an event where it is news. With asked, the request handled was answered.
func outcome(tx *store.Tx, m *member, now store.Fetched, at time.Time, handled string, asked, tell bool) error {
	path := m.key.Path()
	row, there, err := store.Resources.Get(tx, path)
	if err != nil || !there || row.Generation != m.generation {
		return err // a change that the loop will learn of
	}
	old, _, err := store.Conditions.Get(tx, path)
	if err != nil {
		return err
	}
	next := fold(now, old, m.generation)
	if next.Since = at; next.Ready == old.Ready && next.Reason == old.Reason {
		next.Since = old.Since
	}
	if asked {
		next.HandledRequest = handled
	}
	if err := store.Conditions.Put(tx, path, next); err != nil || !tell {
		return err
	}
	return event(tx, m, old, next, at)
}

// fold says what a row of a source means for a resource that names it.
func fold(now store.Fetched, old store.Condition, generation int64) store.Condition {
	next := old
	next.ObservedGeneration = generation
	if now.Artifact != nil {
		next.Revision, next.Attempted = now.Artifact.Revision, now.Artifact.Revision
	}
	if now.Error != "" {
		next.Ready, next.Reason, next.Message = condition.False, now.Reason, now.Error
		return next
	}
	next.Ready, next.Reason = condition.True, condition.GitOperationSucceeded
	next.Message = fmt.Sprintf("stored artifact for revision '%s'", next.Revision)
	return next
}

// event tells people of a new revision, of a failure and of its end.
func event(tx *store.Tx, m *member, old, now store.Condition, at time.Time) error {
	e := store.Event{Time: at, Object: m.key, Type: condition.Normal, Reason: condition.NewArtifact, Message: now.Message}
	switch {
	case now.Ready == condition.False && now.Message != old.Message:
		e.Type, e.Reason = condition.Warning, now.Reason
	case now.Ready == condition.True && now.Revision != old.Revision:
	case now.Ready == condition.True && old.Ready == condition.False:
		e.Reason = condition.GitOperationSucceeded
	default:
		return nil
	}
	return store.Record(tx, e)
}
