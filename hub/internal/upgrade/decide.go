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
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/telemetry"
)

// decide decides about all spokes that should run an image, and writes what changed.
func (l *Loop) decide(ctx context.Context) error {
	if l.images == nil {
		l.images, l.limits = l.wants.resolve()
	}
	spokes, rows, err := l.readAll(ctx)
	if err != nil {
		return fmt.Errorf("read the upgrades of spokes: %w", err)
	}
	now := l.Now().UTC().Round(0)
	next := map[string]store.Upgrade{}
	l.busy = false
	for i, u := range rollout.Upgrades(spokes, l.limits, l.up, now) {
		name := spokes[i].Cluster
		next[name] = l.row(name, rows[name], u, now)
		l.busy = l.busy || u.Reason == condition.SpokeUpgrading
	}
	return l.write(ctx, rows, next, spokes)
}

// readAll reads the spokes that should run an image, sorted by name, and all rows of upgrades. If no image is wanted
// and no row is left, readAll reads one empty table.
func (l *Loop) readAll(ctx context.Context) (spokes []rollout.Spoke, rows map[string]store.Upgrade, err error) {
	err = l.Store.View(ctx, func(tx *store.Tx) error {
		spokes, rows = nil, map[string]store.Upgrade{}
		err := store.Upgrades.ScanApart(tx, "", func(name string, row store.Upgrade) error {
			rows[name] = row
			return nil
		}, func(name string, _ error) error {
			rows[name] = store.Upgrade{} // which is not what is wanted
			return nil
		})
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(l.images)) {
			s, err := l.spoke(tx, name, rows[name])
			if err != nil {
				return err
			}
			spokes = append(spokes, s)
		}
		return nil
	})
	return spokes, rows, err
}

// spoke returns the facts about the spoke of a cluster.
func (l *Loop) spoke(tx *store.Tx, name string, row store.Upgrade) (rollout.Spoke, error) {
	want := l.images[name]
	s := rollout.Spoke{Cluster: name, Image: want.name, Groups: want.groups, Conflict: want.conflict,
		Waits: want.suspended}
	if row.Image == want.name {
		s.Was = rollout.Upgrade(row.UpgradeProgress)
	}
	_, pinned, err := store.Pins.Get(tx, name)
	unread := errors.Is(err, store.ErrDamaged)
	if err != nil && !unread {
		return s, err
	}
	known, _, err := store.Spokes.GetIntact(tx, name)
	if err != nil {
		return s, err
	}
	s.Runs, s.Connected = known.Image, known.Connected
	s.Received, s.Applied, s.Healthy = known.Acks[bundle.Received], known.Acks[bundle.Applied], known.Acks[bundle.Healthy]
	if u := known.Upgrade; u.Image == want.name && u.At.After(s.Was.Began) {
		s.Failure = u.Failure
	}
	switch {
	case s.Waits != "":
	case unread:
		s.Waits = "its pin cannot be read, so that it gets no bundle"
	case pinned:
		s.Waits = "the cluster is pinned"
	case !known.Connected:
		s.Waits = "the spoke is offline"
	}
	switch {
	case !known.Knows(bundle.SpokeImages):
		s.Unable = fmt.Sprintf("spoke %s cannot upgrade itself yet", known.Version)
	case known.Image == "" && s.Was.Began.IsZero(): // later it may be that the Pod could not be read
		s.Unable = "the spoke runs in no Pod, or cannot read it"
	}
	return s, nil
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
func (l *Loop) write(ctx context.Context, rows, next map[string]store.Upgrade, spokes []rollout.Spoke) error {
	runs := map[string]string{}
	for _, s := range spokes {
		runs[s.Cluster] = s.Runs
	}
	changed := changes(rows, next)
	for chunk := range slices.Chunk(changed, maxRows) {
		err := l.Store.Update(ctx, func(tx *store.Tx) (err error) {
			for _, name := range chunk {
				row, ok := next[name]
				if !ok {
					err = errors.Join(err, store.Upgrades.Delete(tx, name))
					continue
				}
				err = errors.Join(err, store.Upgrades.Put(tx, name, row), record(tx, name, runs[name], rows[name], row))
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
