package fetch

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/telemetry"
)

const maxNotice = 1 << 10 // bytes of an artifact's notice that a message has

// write writes a source's row and the Conditions of its members, in one transaction. requests are the requests to
// reconcile that are answered, by path. The row is written only if the artifact or the error changed.
func (l *Loop) write(ctx context.Context, s *scheduled, now store.Fetched, requests map[string]string) error {
	news := news{Fetched: now, succeeded: cmp.Or(s.view.Succeeded, condition.Succeeded), at: l.Now().UTC()}
	return l.Store.Update(ctx, func(tx *store.Tx) error {
		if !sameRow(s.row, now) {
			if err := store.Sources.Put(tx, s.key, now); err != nil {
				return err
			}
		}
		byPath := func(a, b *member) int { return cmp.Compare(a.key.Path(), b.key.Path()) } // the hub's own come first
		for i, m := range slices.SortedFunc(s.active(), byPath) {
			handled, asked := requests[m.key.Path()]
			if err := news.write(tx, m, handled, asked, i < maxEvents); err != nil {
				return err
			}
		}
		return nil
	})
}

// sameRow reports whether two rows differ in the time of the last fetch at most.
func sameRow(a, b store.Fetched) bool {
	return a.Artifact.Equal(b.Artifact) && a.Own.Equal(b.Own) && a.Error == b.Error && a.Reason == b.Reason
}

// news is a source's row with what its Conditions and events need beside it.
type news struct {
	store.Fetched
	succeeded string // the reason of a source that is ready
	at        time.Time
}

// write writes the Condition of one member, and an event if wantEvent. If asked, the request handled was answered.
func (n news) write(tx *store.Tx, m *member, handled string, asked, wantEvent bool) error {
	path := m.key.Path()
	row, exists, err := store.Resources.Get(tx, path)
	if err != nil || !exists || row.Generation != m.generation {
		return err // the loop will learn of the change
	}
	old, _, err := store.Conditions.Get(tx, path)
	if err != nil {
		return err
	}
	next := n.condition(old, m.generation)
	if asked {
		next.HandledRequest = handled
	}
	if err := store.Conditions.Put(tx, path, next); err != nil || !wantEvent {
		return err
	}
	return n.record(tx, m, old, next)
}

// condition returns the Condition that replaces an old one.
func (n news) condition(old store.Condition, generation int64) store.Condition {
	next := old
	next.ObservedGeneration = generation
	if n.Artifact != nil {
		next.Revision, next.Attempted = n.Artifact.Revision, n.Artifact.Revision
	}
	if n.Error != "" {
		next.Ready, next.Reason, next.Message = condition.False, n.Reason, n.Error
	} else {
		next.Ready, next.Reason = condition.True, n.succeeded
		next.Message = fmt.Sprintf("stored artifact for revision '%s'", next.Revision)
		if n.Artifact != nil && n.Artifact.Notice != "" {
			next.Message += ", " + telemetry.Printable(n.Artifact.Notice, maxNotice)
		}
	}
	return next.After(old, n.at)
}

// record records an event if there is a new revision, another failure, or the end of one.
func (n news) record(tx *store.Tx, m *member, old, now store.Condition) error {
	e, ok := now.EventAfter(old, m.key, n.at)
	if now.Ready == condition.True && now.Revision != old.Revision {
		e = store.Event{
			Time: n.at, Object: m.key, Type: condition.Normal, Reason: condition.NewArtifact, Message: now.Message,
		}
	} else if !ok {
		return nil
	}
	return store.Record(tx, e)
}
