package membership

import (
	"cmp"
	"errors"
	"log/slog"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/ledger"
	"github.com/navefleet/nave/spoke/internal/state"
)

// Seed puts on disk what the cluster keeps and the disk does not know: all of it on a new disk, and on one that is
// older than what the cluster has seen; on any other only what the disk cannot read. What such another disk does not
// know is not owned any more, so the ledger forgets it. pages is nil if they could not be read; then Seed raises the
// Marks alone, and the rest is tried again at the next start. A nil log means slog.Default.
func Seed(disk *state.Store, seen Marks, book *ledger.Ledger, pages map[bundle.ApplicationName]ledger.Page,
	log *slog.Logger) error {
	current, err := raiseSeen(disk, seen)
	if err != nil || pages == nil {
		return err
	}
	known, err := disk.Marks()
	if err != nil {
		return err
	}
	marks, inventories := map[bundle.ApplicationName]state.Mark{}, map[bundle.ApplicationName][]byte{}
	for app, page := range pages {
		v, readable, err := onDisk(disk, app)
		if err != nil {
			return err
		}
		if current && readable {
			if _, marked := known[app]; v == nil && !marked {
				book.Forget(app)
			}
			continue
		}
		marks[app] = page.Mark
		if inventories[app], err = union(v, page.Inventory).Encode(); err != nil {
			return err
		}
	}
	if current && len(inventories) == 0 {
		return nil
	}
	if len(inventories) > 0 {
		cmp.Or(log, slog.Default()).Info("inventories taken from the cluster", telemetry.Count(len(inventories)))
	}
	return disk.Seed(marks, inventories)
}

// raiseSeen raises the high-water marks on disk to those that the cluster keeps. It reports whether the disk is
// current: seeded before, and not older than what the cluster has seen.
func raiseSeen(disk *state.Store, seen Marks) (current bool, err error) {
	current, err = disk.Seeded()
	for recipient, id := range seen {
		if err != nil {
			return false, err
		}
		var was bundle.ID
		if was, err = disk.Seen(recipient); err == nil && id.Newer(was) {
			current, err = false, disk.MarkSeen(recipient, id)
		}
	}
	return current, err
}

// onDisk returns an application's inventory, nil when there is none, and whether it can be read.
func onDisk(disk *state.Store, app bundle.ApplicationName) (v *inventory.Inventory, readable bool, err error) {
	data, err := disk.Inventory(app)
	if errors.Is(err, state.ErrNotFound) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	v, err = inventory.Decode(data)
	return v, err == nil, nil
}

// union returns an inventory with the objects of two; what the first says of an object counts, for it says more.
func union(first, second *inventory.Inventory) *inventory.Inventory {
	if first == nil {
		return second
	}
	all := first.Clone()
	for id, item := range second.Items {
		if _, known := all.Items[id]; !known {
			all.Items[id] = item
		}
	}
	return all
}
