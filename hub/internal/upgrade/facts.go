package upgrade

import (
	"context"
	"errors"
	"maps"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
)

// facts are about the spoke of a cluster, from its rows. The loop keeps them until one of the rows changes, because
// decoding those of 10,000 clusters takes half a second.
type facts struct {
	runs, version              string
	connected                  bool
	able                       bool // the spoke knows images in bundles
	received, applied, healthy bundle.ID
	report                     store.UpgradeReport
	pinned, unreadablePin      bool
}

// readAll reads what the loop does not keep: the facts about each cluster that wants an image, and the rows of
// upgrades. It drops the facts about all other clusters.
func (l *Loop) readAll(ctx context.Context) error {
	maps.DeleteFunc(l.facts, func(name string, _ facts) bool { _, wants := l.images[name]; return !wants })
	return l.Store.View(ctx, func(tx *store.Tx) error {
		for name := range l.images {
			if _, known := l.facts[name]; known {
				continue
			}
			f, err := readFacts(tx, name)
			if err != nil {
				return err
			}
			l.facts[name] = f
		}
		if l.rows != nil {
			return nil
		}
		rows, err := readRows(tx)
		l.rows, l.rowsRead = rows, l.Now()
		return err
	})
}

// readRows reads all rows of upgrades. An unreadable one is empty, which is not what is wanted.
func readRows(tx *store.Tx) (rows map[string]store.Upgrade, err error) {
	rows = map[string]store.Upgrade{}
	err = store.Upgrades.ScanApart(tx, "", func(name string, row store.Upgrade) error {
		rows[name] = row
		return nil
	}, func(name string, _ error) error {
		rows[name] = store.Upgrade{}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// readFacts reads the facts about the spoke of a cluster. If the row of the spoke is damaged, they are those of a spoke
// that never connected.
func readFacts(tx *store.Tx, name string) (facts, error) {
	_, pinned, err := store.Pins.Get(tx, name)
	unreadable := errors.Is(err, store.ErrDamaged)
	if err != nil && !unreadable {
		return facts{}, err
	}
	s, _, err := store.Spokes.GetIntact(tx, name)
	return facts{
		runs: s.Image, version: s.Version, connected: s.Connected, able: s.Knows(bundle.SpokeImages),
		received: s.Acks[bundle.Received], applied: s.Acks[bundle.Applied], healthy: s.Acks[bundle.Healthy],
		report: s.Upgrade, pinned: pinned, unreadablePin: unreadable,
	}, err
}
