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

// write writes a source's row and the Conditions of its members, in one transaction. The row is written if the artifact
// or the error changed, if a request to reconcile is answered, because package plan may wait for that, or if the status
// shows the time of the fetch.
func (l *Loop) write(ctx context.Context, s *scheduled, now store.Fetched) error {
	news := news{Fetched: now, succeeded: cmp.Or(s.view.Succeeded, condition.Succeeded), at: l.Now().UTC(),
		held: s.brake.notice(s.next)}
	err := l.Store.Update(ctx, func(tx *store.Tx) error {
		changed := !sameRow(s.row, now) || s.view.TimeField != nil && now.SucceededAt != s.row.SucceededAt
		byPath := func(a, b *member) int { return cmp.Compare(a.key.Path(), b.key.Path()) } // the hub's own come first
		for i, m := range slices.SortedFunc(s.active(), byPath) {
			answers, err := news.write(tx, m, i < maxEvents)
			if err != nil {
				return err
			}
			changed = changed || answers
		}
		if !changed {
			return nil
		}
		return store.Sources.Put(tx, s.key, now)
	})
	s.taken = s.taken && err != nil
	return err
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
	held      string // what the message says of a revision that waits; empty: none does
}

// write writes the Condition of one member, and an event if wantEvent. It reports whether the Condition answers a
// request that it did not answer before.
func (n news) write(tx *store.Tx, m *member, wantEvent bool) (answers bool, err error) {
	path := m.key.Path()
	row, exists, err := store.Resources.Get(tx, path)
	if err != nil || !exists || row.Generation != m.generation {
		return false, err // the loop will learn of the change
	}
	old, _, err := store.Conditions.Get(tx, path)
	if err != nil {
		return false, err
	}
	next := n.condition(old, m.generation)
	next.HandledRequest = cmp.Or(m.answered, old.HandledRequest)
	answers = next.HandledRequest != old.HandledRequest
	if err := store.Conditions.Put(tx, path, next); err != nil || !wantEvent {
		return answers, err
	}
	return answers, n.record(tx, m, old, next)
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
		next.Message = n.message(next.Revision)
	}
	return next.After(old, n.at)
}

// message returns the message of a source that is ready.
func (n news) message(revision string) string {
	message := fmt.Sprintf("stored artifact for revision '%s'", revision)
	if n.Artifact == nil {
		return message
	}
	if n.Artifact.Summary != "" {
		message = telemetry.Printable(n.Artifact.Summary, maxNotice)
	}
	if n.Artifact.Notice != "" {
		message += ", " + telemetry.Printable(n.Artifact.Notice, maxNotice)
	}
	if n.held != "" {
		message += ", " + n.held
	}
	return message
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
