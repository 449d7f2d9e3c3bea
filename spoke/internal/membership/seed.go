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

// Seed copies marks and inventories from the cluster to the disk. If the disk is new, or older than the Marks in the
// cluster, Seed copies all pages. Otherwise Seed copies only the pages whose inventory on disk is damaged; applications
// that the disk does not know are not owned any more, and the ledger forgets them. If pages is nil because they could
// not be read, Seed only raises the Marks, and the next start copies the rest. A nil log means slog.Default.
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

// raiseSeen raises the high-water marks on disk to those in the cluster. It reports whether the disk is current: seeded
// before, and not older than the marks in the cluster.
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

// onDisk returns the inventory of an application, and whether it can be decoded. If there is none, onDisk returns nil
// and true.
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

// union returns an inventory with the objects of both. An object in both is taken from first, which has more fields.
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
