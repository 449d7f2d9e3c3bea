package fetch

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
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
		held: s.brake.notice(s.next), before: s.row.Artifact, writes: s.view.Writes}
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
	before    *artifact.Artifact
	writes    bool // see api.Source.Writes
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
	if n.writes && next.Ready == condition.True && next.Revision != old.Revision {
		err := store.Audit(tx, store.AuditChange, store.AuditEntry{Time: n.at, Verb: "pushed",
			Objects: []store.AuditedObject{{Key: m.key, Change: next.Revision}}})
		if err != nil {
			return answers, err
		}
	}
	for _, e := range n.events(m.key, old, next) {
		if err := store.Record(tx, e); err != nil {
			return answers, err
		}
	}
	return answers, nil
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
	if notice := noticeOf(n.Artifact); notice != "" {
		message += ", " + notice
	}
	if n.held != "" {
		message += ", " + n.held
	}
	return message
}

// events returns an event if there is a new revision, another failure, or the end of one, or if a source that writes
// has done something else than to push, and a Warning if a source that is ready has another notice.
func (n news) events(key api.Key, old, now store.Condition) (all []store.Event) {
	said := store.Event{Time: n.at, Object: key, Type: condition.Normal, Reason: n.succeeded, Message: now.Message}
	changed, isChange := now.EventAfter(old, key, n.at)
	isReady := now.Ready == condition.True
	notice, noticed := noticeOf(n.Artifact), noticeOf(n.before)
	switch {
	case isReady && now.Revision != old.Revision:
		said.Reason = condition.NewArtifact
		all = append(all, said)
	case isChange:
		all = append(all, changed)
	case isReady && (n.hasActed() || notice == "" && noticed != ""):
		all = append(all, said)
	}
	if isReady && n.before != nil && notice != "" && notice != noticed {
		said.Type, said.Reason, said.Message = condition.Warning, condition.Notice, notice
		all = append(all, said)
	}
	return all
}

// hasActed reports whether a source that writes has an artifact of another run than before: one of a run that did
// something.
func (n news) hasActed() bool {
	return n.writes && n.before != nil && n.Artifact != nil && !n.Artifact.FetchedAt.Equal(n.before.FetchedAt)
}

// noticeOf returns the notice of an artifact, as messages have it.
func noticeOf(a *artifact.Artifact) string {
	if a == nil {
		return ""
	}
	return telemetry.Printable(a.Notice, maxNotice)
}
