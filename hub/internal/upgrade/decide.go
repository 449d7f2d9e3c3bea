package upgrade

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/rollout"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/telemetry"
)

// decide decides about all spokes that should run an image, and writes what changed.
func (l *Loop) decide(ctx context.Context) error {
	if l.images == nil {
		l.images, l.limits = l.wants.resolve()
	}
	if err := l.readAll(ctx); err != nil {
		return fmt.Errorf("read the upgrades of spokes: %w", err)
	}
	var spokes []rollout.Spoke
	for _, name := range slices.Sorted(maps.Keys(l.images)) {
		spokes = append(spokes, l.spoke(name))
	}
	now := l.Now().UTC().Round(0)
	next := make(map[string]store.Upgrade, len(spokes))
	l.busy = false
	for i, u := range rollout.Upgrades(spokes, l.limits, l.up, now) {
		name := spokes[i].Cluster
		next[name] = l.row(name, l.rows[name], u, now)
		l.busy = l.busy || u.Reason == condition.SpokeUpgrading
	}
	if err := l.write(ctx, next); err != nil {
		l.rows = nil // some may be written
		return err
	}
	l.rows = next
	return nil
}

// spoke returns the facts about the spoke of a cluster, which have been read.
func (l *Loop) spoke(name string) rollout.Spoke {
	want, row, known := l.images[name], l.rows[name], l.facts[name]
	s := rollout.Spoke{Cluster: name, Image: want.name, Groups: want.groups, Conflict: want.conflict,
		Waits: want.suspended, Runs: known.runs, Connected: known.connected, Received: known.received,
		Applied: known.applied, Healthy: known.healthy}
	if row.Image == want.name {
		s.Was = rollout.Upgrade(row.UpgradeProgress)
	}
	if u := known.report; u.Image == want.name && u.At.After(s.Was.Began) {
		s.Failure = u.Failure
	}
	switch {
	case s.Waits != "":
	case known.unreadablePin:
		s.Waits = "its pin cannot be read, so that it gets no bundle"
	case known.pinned:
		s.Waits = "the cluster is pinned"
	case !known.connected:
		s.Waits = "the spoke is offline"
	}
	switch {
	case !known.able:
		s.Unable = fmt.Sprintf("spoke %s cannot upgrade itself yet", known.version)
	case known.runs == "" && s.Was.Began.IsZero(): // later it may be that the Pod could not be read
		s.Unable = "the spoke runs in no Pod, or cannot read it"
	}
	return s
}

// row returns the row of a cluster after a decision.
func (l *Loop) row(name string, was store.Upgrade, u rollout.Upgrade, now time.Time) store.Upgrade {
	want := l.images[name]
	row := store.Upgrade{Image: want.name, Fleets: want.fleets, UpgradeProgress: store.UpgradeProgress(u), Since: now}
	if was.Reason == row.Reason && was.Image == row.Image {
		row.Since = was.Since
	}
	return row
}

// write writes the rows that changed, with an event for each change of the reason, and deletes those of clusters that
// want no image any more.
func (l *Loop) write(ctx context.Context, next map[string]store.Upgrade) error {
	rows, changed := l.rows, changes(l.rows, next)
	for chunk := range slices.Chunk(changed, maxRows) {
		err := l.Store.Update(ctx, func(tx *store.Tx) (err error) {
			for _, name := range chunk {
				row, ok := next[name]
				if !ok {
					err = errors.Join(err, store.Upgrades.Delete(tx, name))
					continue
				}
				err = errors.Join(err, store.Upgrades.Put(tx, name, row),
					record(tx, name, l.facts[name].runs, rows[name], row))
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("write the upgrades of spokes: %w", err)
		}
	}
	for _, name := range changed {
		if row := next[name]; row.Reason == condition.SpokeUpgradeFailed && rows[name].Reason != row.Reason {
			l.Log.WarnContext(ctx, "a spoke was not upgraded", telemetry.Cluster(name), telemetry.Reason(row.Message),
				slog.String("image", row.Image))
		}
	}
	return nil
}

// changes returns the clusters whose rows differ, sorted.
func changes(rows, next map[string]store.Upgrade) (names []string) {
	for name, row := range next {
		if !reflect.DeepEqual(rows[name], row) {
			names = append(names, name)
		}
	}
	for name := range rows {
		if _, ok := next[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// record records an event of a Cluster if the reason of its upgrade changed. A spoke that ran the image already makes
// none.
func record(tx *store.Tx, name, runs string, was, row store.Upgrade) error {
	e := store.Event{Time: row.Since, Object: api.ClusterKey(name), Type: condition.Normal, Reason: row.Reason}
	switch {
	case row.Reason == was.Reason && row.Image == was.Image, row.Reason == condition.SpokeUpgradePending:
		return nil
	case row.Reason == condition.SpokeUpgraded && row.Began.IsZero():
		return nil
	case row.Reason == condition.SpokeUpgraded:
		e.Message = "the spoke runs " + runs
	case row.Reason == condition.SpokeUpgrading:
		e.Message = fmt.Sprintf("the spoke is upgraded from %s to %s", runs, row.Image)
	case row.Reason == condition.SpokeImageConflict:
		e.Type, e.Message = condition.Warning, row.Message
	default:
		e.Type, e.Message = condition.Warning, fmt.Sprintf("the spoke is not upgraded to %s: %s", row.Image, row.Message)
	}
	return store.Record(tx, e)
}
