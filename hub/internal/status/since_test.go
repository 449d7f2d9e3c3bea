package status

import (
	"errors"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// TestSince reads when the status of an application and of its cluster and Fleet changed: when the content changed,
// however long they were ready before.
func TestSince(t *testing.T) {
	fresh := manifest.DigestOf([]byte("fresh"))
	replan := func(tx *store.Tx) error { // apps changes
		plan, _, err := store.Plans.Get(tx, "east")
		plan.ChangedAt, plan.Applications[0].Digest = at(40), fresh
		return errors.Join(err, store.Plans.Put(tx, "east", plan))
	}
	release := func(tx *store.Tx, sequence uint64, minute int, d manifest.Digest) error {
		past := store.Past{Bundle: bundle.ID{Epoch: 1, Sequence: sequence}, ReleasedAt: at(minute),
			Applications: []store.Content{{Name: appsKey.Application(), Digest: d, Revision: revision}}}
		return store.History.Put(tx, store.PastKey("east", past.Bundle), past)
	}
	for _, tt := range []struct {
		name                 string
		change               func(w *fleetWorld, tx *store.Tx) error
		apps, cluster, fleet time.Time
	}{
		{"ready", func(*fleetWorld, *store.Tx) error { return nil }, at(3), at(3), at(3)},
		{"planned", func(_ *fleetWorld, tx *store.Tx) error { return replan(tx) }, at(40), at(40), at(40)},
		{"released", func(_ *fleetWorld, tx *store.Tx) error {
			return errors.Join(replan(tx), release(tx, 1, 4, digest), release(tx, 2, 41, fresh))
		}, at(41), at(41), at(41)},
		{"other_application_released_since", func(_ *fleetWorld, tx *store.Tx) error {
			return errors.Join(replan(tx), release(tx, 1, 4, digest), release(tx, 2, 20, fresh), release(tx, 3, 41, fresh))
		}, at(20), at(20), at(20)},
		{"replaced_while_applying", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(replan(tx), w.report(tx, appsKey, "Unknown", "Progressing", "applying"),
				release(tx, 2, 41, fresh))
		}, at(3), at(3), at(3)},
		{"ready_again", func(w *fleetWorld, tx *store.Tx) error {
			w.since = 42
			return w.report(tx, appsKey, "True", "ReconciliationSucceeded", "Applied")
		}, at(42), at(42), at(42)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newFleetWorld(t)
			w.update(func(tx *store.Tx) error { return tt.change(w, tx) })
			for key, want := range map[api.Key]time.Time{appsKey: tt.apps, eastKey: tt.cluster, fleetKey: tt.fleet} {
				var got verdict
				w.update(func(tx *store.Tx) error {
					f, _, err := NewReader(tx).Read(key)
					got = f.verdict()
					return err
				})
				if !got.since.Equal(want) {
					t.Errorf("%s: %s since %s, want %s", key, got.ready, got.since, want)
				}
			}
		})
	}
}
