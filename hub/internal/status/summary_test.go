package status

import (
	"errors"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
)

// summary returns the summary of an object of the hub, that of a Fleet with its members.
func (w *fleetWorld) summary(tx *store.Tx, key api.Key) (s Summary, ok bool) {
	w.t.Helper()
	fleet, isFleet, err := store.Resources.Get(tx, fleetKey.Path())
	var fleets []store.Resource
	if isFleet {
		fleets = append(fleets, fleet)
	}
	var members []*Member
	for _, name := range []string{"east", "west"} {
		cluster, found, failed := NewReader(tx).SummarizeCluster(name, fleets)
		err = errors.Join(err, failed)
		if m := cluster.Fleets[key]; m != nil {
			members = append(members, m)
		}
		if found && key == cluster.Key {
			s, ok = cluster.Summary, true
		}
	}
	if key.Kind != api.ClusterKind {
		var failed error
		s, ok, failed = NewReader(tx).Summarize(key)
		err = errors.Join(err, failed)
	}
	if err != nil {
		w.t.Error(err)
	}
	if key.Kind == api.FleetKind {
		s = s.WithMembers(members)
	}
	return s, ok
}

// compareSummary compares the summary of an object of the hub with its status.
func (w *fleetWorld) compareSummary(tx *store.Tx, f Facts, ok bool) {
	w.t.Helper()
	key := f.Resource.Key
	if !ok || key.Cluster != "" || f.Damaged != nil && key.Kind == "" {
		return
	}
	v := f.verdict()
	s, found := w.summary(tx, key)
	if !found || s.Ready != v.ready || s.Reason != v.reason || s.Suspended != (f.suspension() != nil) {
		w.t.Errorf("the summary of %s is %+v, its status %s %s", key, s, v.ready, v.reason)
	}
}

func TestSummarizeCluster_lagging(t *testing.T) {
	fetched := func(w *fleetWorld, tx *store.Tx, minutes int) error {
		row, _, err := store.Resources.Get(tx, sourceKey.Path())
		source, err2 := row.Object.Source()
		return errors.Join(err, err2, store.Sources.Put(tx, source.FetchKey(row.Bound()), store.Fetched{
			Artifact: &artifact.Artifact{Revision: "main@sha1:c", Digest: digest, FetchedAt: at(minutes)}}))
	}
	released := func(tx *store.Tx, sequence uint64, minutes int) error {
		id := bundle.ID{Epoch: 1, Sequence: sequence, Digest: digest}
		return store.History.Put(tx, store.PastKey("east", id), store.Past{Bundle: id, ReleasedAt: at(minutes)})
	}
	for _, tt := range []struct {
		name   string
		change func(w *fleetWorld, tx *store.Tx) error
		want   time.Time
	}{
		{"live", func(_ *fleetWorld, tx *store.Tx) error { return released(tx, 4, 3) }, time.Time{}},
		{"not_planned", func(w *fleetWorld, tx *store.Tx) error { return fetched(w, tx, 7) }, at(7)},
		{"not_applied", func(_ *fleetWorld, tx *store.Tx) error { return released(tx, 5, 8) }, at(8)},
		{"first_not_applied", func(_ *fleetWorld, tx *store.Tx) error {
			return errors.Join(released(tx, 4, 3), released(tx, 5, 8), released(tx, 6, 9))
		}, at(8)},
		{"both", func(w *fleetWorld, tx *store.Tx) error { return errors.Join(released(tx, 5, 8), fetched(w, tx, 7)) }, at(7)},
		{"refused", func(_ *fleetWorld, tx *store.Tx) error {
			return store.Refusals.Put(tx, "east", store.Refusal{Message: "too large", Since: at(6)})
		}, at(6)},
		{"cluster_suspended", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(fetched(w, tx, 7), w.suspend(tx, eastKey, false))
		}, time.Time{}},
		{"objects_suspended", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(fetched(w, tx, 7), w.inPlan(tx))
		}, time.Time{}},
		{"pinned", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(fetched(w, tx, 7), w.pin(tx, "prod"))
		}, time.Time{}},
		{"never_registered", func(w *fleetWorld, tx *store.Tx) error {
			return errors.Join(fetched(w, tx, 7), store.Spokes.Delete(tx, "east"))
		}, time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newFleetWorld(t)
			w.update(func(tx *store.Tx) error { return tt.change(w, tx) })
			err := w.store.View(t.Context(), func(tx *store.Tx) error {
				s, ok, err := NewReader(tx).SummarizeCluster("east", nil)
				if !ok || !s.LaggingSince.Equal(tt.want) {
					t.Errorf("lagging since %v, want %v", s.LaggingSince, tt.want)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestSummarize_held(t *testing.T) {
	w := newFleetWorld(t)
	w.update(func(tx *store.Tx) error { return w.report(tx, otherKey, "False", "RemovalHeld", "held") })
	err := w.store.View(t.Context(), func(tx *store.Tx) error {
		s, _, err := NewReader(tx).SummarizeCluster("east", nil)
		for _, o := range s.Objects {
			if o.Held != (o.Key == otherKey) {
				t.Errorf("%s is held: %t", o.Key, o.Held)
			}
		}
		if len(s.Objects) != 3 {
			t.Errorf("the objects are %v", s.Objects)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
