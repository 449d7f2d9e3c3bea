package spoke

import (
	"errors"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/ledger"
	"github.com/navefleet/nave/spoke/internal/state"
)

// seed puts on disk what the cluster keeps and the disk does not know: all of it on a new disk, and on one that is
// older than what the cluster has seen; on any other only what the disk cannot read. What such another disk does not
// know is not owned any more, so the cluster forgets it.
func (s *Spoke) seed(seen marks, book *ledger.Ledger, pages map[bundle.ApplicationName]ledger.Page) error {
	current, err := s.raiseSeen(seen)
	if err != nil || pages == nil { // without pages it is tried again at the next start
		return err
	}
	known, err := s.state.Marks()
	if err != nil {
		return err
	}
	newMarks, inventories := map[bundle.ApplicationName]state.Mark{}, map[bundle.ApplicationName][]byte{}
	for owner, page := range pages {
		v, readable, err := s.onDisk(owner)
		if err != nil {
			return err
		}
		if _, marked := known[owner]; current && readable && v == nil && !marked {
			book.Forget(owner)
			continue
		}
		if current && readable {
			continue
		}
		newMarks[owner] = page.Mark
		if inventories[owner], err = union(v, page.Inventory).Encode(); err != nil {
			return err
		}
	}
	if current && len(inventories) == 0 {
		return nil
	}
	if len(inventories) > 0 {
		s.config.Log.Info("inventories taken from the cluster", telemetry.Count(len(inventories)))
	}
	return s.state.Seed(newMarks, inventories)
}

// raiseSeen raises the high-water marks on disk to those that the cluster keeps. It reports whether the disk is
// current: seeded before, and not older than what the cluster has seen.
func (s *Spoke) raiseSeen(seen marks) (current bool, err error) {
	current, err = s.state.Seeded()
	for recipient, id := range seen {
		if err != nil {
			return false, err
		}
		var was bundle.ID
		if was, err = s.state.Seen(recipient); err == nil && id.Newer(was) {
			current, err = false, s.state.MarkSeen(recipient, id)
		}
	}
	return current, err
}

// onDisk returns an application's inventory, nil when there is none, and whether it can be read.
func (s *Spoke) onDisk(owner bundle.ApplicationName) (v *inventory.Inventory, readable bool, err error) {
	data, err := s.state.Inventory(owner)
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
