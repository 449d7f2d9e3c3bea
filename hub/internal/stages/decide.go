package stages

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/rollout"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/telemetry"
)

// decideAll decides about the rollouts of all Fleets, and writes what changed.
func (l *Loop) decideAll(ctx context.Context) error {
	if err := l.forget(ctx); err != nil {
		return fmt.Errorf("delete rows of rollouts: %w", err)
	}
	if len(l.fleets) == 0 {
		l.dirty, l.wake = false, time.Time{}
		clear(l.facts)
		clear(l.stale)
		return nil
	}
	if err := l.readStale(ctx); err != nil {
		return fmt.Errorf("read the rollouts: %w", err)
	}
	l.wake = time.Time{}
	again := false
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(l.fleets)) {
		moved, err := l.decide(ctx, name, l.fleets[name])
		again = again || moved
		errs = append(errs, err)
	}
	l.dirty = again
	return errors.Join(errs...)
}

// decide decides about the rollout of a Fleet, and writes what changed. If an operator decided about it meanwhile,
// nothing is written, and decide returns true.
func (l *Loop) decide(ctx context.Context, name string, f *fleet) (moved bool, err error) {
	now := l.Now().UTC().Round(0)
	in := rollout.Input{Spec: f.spec, Was: f.latest.Rollout, Up: l.up, Now: now}
	if f.suspended {
		in.Suspended = "the Fleet is suspended"
	}
	revisions, stage := map[string]int{}, f.spec.Stager()
	for _, c := range slices.Sorted(maps.Keys(l.facts)) {
		m, ok := l.member(c, l.facts[c], name, stage)
		if ok {
			in.Members = append(in.Members, m)
			revisions[l.facts[c].revision[name]]++
		}
	}
	d := rollout.Next(in)
	if !d.Wake.IsZero() && (l.wake.IsZero() || d.Wake.Before(l.wake)) {
		l.wake = d.Wake
	}
	w := change{fleet: name, was: f.latest, next: store.Rollout{Rollout: d.Rollout, Revision: f.latest.Revision},
		superseded: d.Superseded, turns: map[string]store.Turn{}, read: map[string]store.Turn{}, history: f.spec.History()}
	if w.next.Number != w.was.Number || w.next.Revision == "" {
		w.next.Revision = most(revisions)
	}
	for i, m := range in.Members {
		was := l.facts[m.Cluster].turns[name]
		next := turnAfter(was, d.Progress[i], l.facts[m.Cluster].released[name])
		if !reflect.DeepEqual(was, next) {
			w.turns[m.Cluster], w.read[m.Cluster] = next, was
		}
	}
	if len(w.turns) == 0 && reflect.DeepEqual(w.was, w.next) {
		return false, nil
	}
	if moved, err = w.write(ctx, l.Store, now); moved || err != nil {
		f.isStale = true
		return moved, err
	}
	l.log(ctx, w)
	f.latest = w.next
	for c, turn := range w.turns {
		l.facts[c].turns[name] = turn
		if isRestored(turn) || isRestored(w.read[c]) { // what is healthy depends on the turn
			l.stale[c] = true
		}
	}
	return false, nil
}

// turnAfter returns the next Turn. When a cluster begins, what it has becomes what a rollback restores, unless that is
// known already.
func turnAfter(was store.Turn, p rollout.Progress, released []store.Entry) store.Turn {
	next := store.Turn{Progress: p, Before: was.Before}
	switch {
	case p.Previous.IsZero():
		next.Before = nil
	case p.Previous != was.Previous:
		next.Before = nil
		for _, e := range released {
			next.Before = append(next.Before, e.Content)
		}
	}
	return next
}

// most returns the most frequent text.
func most(counts map[string]int) (text string) {
	for _, t := range slices.Sorted(maps.Keys(counts)) {
		if counts[t] > counts[text] {
			text = t
		}
	}
	return text
}

// change is what a decision changes.
type change struct {
	fleet       string
	was, next   store.Rollout
	superseded  *rollout.Rollout
	turns, read map[string]store.Turn // by cluster
	history     int
}

// write writes a change in one transaction, unless the rows are not those that were read.
func (c change) write(ctx context.Context, s *store.Store, now time.Time) (moved bool, err error) {
	err = s.Update(ctx, func(tx *store.Tx) error {
		moved = false
		latest, _, err := store.LatestRollout(tx, c.fleet)
		if err != nil {
			return err
		}
		if moved = !reflect.DeepEqual(latest, c.was); moved {
			return nil
		}
		for cluster, read := range c.read {
			turn, _, err := store.Turns.GetIntact(tx, store.TurnKey(cluster, c.fleet))
			if err != nil {
				return err
			}
			if moved = !reflect.DeepEqual(turn, read); moved {
				return nil
			}
		}
		return c.put(tx, now)
	})
	if err != nil {
		return false, fmt.Errorf("write the rollout of Fleet %s: %w", c.fleet, err)
	}
	return moved, nil
}

func (c change) put(tx *store.Tx, now time.Time) error {
	if c.superseded != nil {
		old := c.was
		old.Rollout = *c.superseded
		if err := store.Rollouts.Put(tx, store.RolloutKey(c.fleet, old.Number), old); err != nil {
			return err
		}
	}
	err := errors.Join(store.Rollouts.Put(tx, store.RolloutKey(c.fleet, c.next.Number), c.next), c.trim(tx),
		c.record(tx, now))
	for cluster, turn := range c.turns {
		err = errors.Join(err, store.Turns.Put(tx, store.TurnKey(cluster, c.fleet), turn))
	}
	return err
}

// trim deletes the oldest rollouts that are more than the Fleet keeps.
func (c change) trim(tx *store.Tx) error {
	keys, _, err := store.Rollouts.PageKeys(tx, c.fleet+"/", "", 1000)
	if err != nil {
		return err
	}
	for len(keys) > c.history+1 {
		if err := store.Rollouts.Delete(tx, keys[0]); err != nil {
			return err
		}
		keys = keys[1:]
	}
	return nil
}

// record records an event of the Fleet if its rollout does something else than before.
func (c change) record(tx *store.Tx, now time.Time) error {
	r := c.next
	if r.Phase == c.was.Phase && r.Number == c.was.Number || r.Number == 0 {
		return nil
	}
	kind := condition.Normal
	if r.Phase == rollout.Failed || r.Phase == rollout.RollingBack {
		kind = condition.Warning
	}
	message := fmt.Sprintf("rollout %d of %s: %s", r.Number, r.Revision, r.Message)
	return store.Record(tx, store.Event{Time: now, Object: api.FleetKey(c.fleet), Type: kind,
		Reason: r.Phase.Reason(), Message: strings.TrimSuffix(message, ": ")})
}

func (l *Loop) log(ctx context.Context, c change) {
	r := c.next
	if r.Phase == rollout.Failed && c.was.Phase != r.Phase {
		l.Log.WarnContext(ctx, "a rollout failed", slog.String("fleet", c.fleet), slog.Uint64("rollout", r.Number),
			telemetry.Reason(r.Message))
	}
}

// forget deletes the rows of Fleets that have no rollout any more.
func (l *Loop) forget(ctx context.Context) error {
	if !l.left {
		return nil
	}
	var turns, rollouts []string
	err := l.Store.View(ctx, func(tx *store.Tx) (err error) {
		turns, err = l.others(tx, store.Turns.PageKeys, func(key string) string {
			_, fleet, _ := strings.Cut(key, "/")
			return fleet
		})
		if err != nil {
			return err
		}
		rollouts, err = l.others(tx, store.Rollouts.PageKeys, func(key string) string {
			fleet, _, _ := strings.Cut(key, "/")
			return fleet
		})
		return err
	})
	if err == nil && len(turns)+len(rollouts) > 0 {
		err = l.Store.Update(ctx, func(tx *store.Tx) (err error) {
			for _, key := range turns {
				err = errors.Join(err, store.Turns.Delete(tx, key))
			}
			for _, key := range rollouts {
				err = errors.Join(err, store.Rollouts.Delete(tx, key))
			}
			return err
		})
	}
	l.left = err != nil
	return err
}

// others returns the keys of a table that belong to Fleets without a rollout.
func (l *Loop) others(tx *store.Tx, page func(*store.Tx, string, string, int) ([]string, string, error),
	fleetOf func(key string) string) (others []string, err error) {
	for after := ""; ; {
		keys, next, err := page(tx, "", after, 1000)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			if l.fleets[fleetOf(key)] == nil {
				others = append(others, key)
			}
		}
		if after = next; next == "" {
			return others, nil
		}
	}
}
