package store_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/manifest"
)

// putClusters writes a row of every table that has rows of a cluster, for east and for eastern.
func putClusters(t *testing.T, s *store.Store) {
	t.Helper()
	update(t, s, func(tx *store.Tx) (err error) {
		for _, c := range []string{"east", "eastern"} {
			err = errors.Join(err, store.PutOfCluster(tx, c),
				store.Resources.Put(tx, api.ClusterKey(c).Path(), store.Resource{Key: api.ClusterKey(c)}),
				store.Confirmations.Put(tx, store.ConfirmationKey(c), store.Confirmation{}),
				store.JoinTokens.Put(tx, manifest.DigestOf([]byte(c)).String(), store.JoinToken{Cluster: c}))
		}
		return err
	})
}

// rowsOf returns the tables that still have a row of east; those of eastern must all be there.
func rowsOf(t *testing.T, s *store.Store) (left []string) {
	t.Helper()
	w := s.Watch(t.Context())
	defer w.Close()
	found := map[string]bool{}
	declared := store.TablesOfClusters()
	putClusters(t, s) // what is there already is no change
	for _, c := range w.Take() {
		found[c.Table] = true
		if c.Key == api.ClusterKey("eastern").Path() || c.Key == "eastern" {
			t.Errorf("%s of another cluster is gone", c.Table)
		}
		if slices.Contains(declared, c.Table) && c.Cluster() != "east" {
			t.Errorf("%s %s: got cluster %q, want east", c.Table, c.Key, c.Cluster())
		}
	}
	for _, table := range append(declared, store.Confirmations.Name(), store.JoinTokens.Name()) {
		if !found[table] {
			left = append(left, table)
		}
	}
	return left
}

func deleteGraph(t *testing.T, s *store.Store) {
	putClusters(t, s)
	update(t, s, func(tx *store.Tx) error { return store.DeleteGraph(tx, "east") })
	view(t, s, func(tx *store.Tx) error {
		_, ok, err := store.Resources.Get(tx, api.ClusterKey("east").Path())
		expect(t, "the Cluster stays", ok, true)
		return err
	})
	expect(t, "left", rowsOf(t, s), []string{"releases", "pins", "desireds", "spokes", "jointokens"})
	putClusters(t, s)
	update(t, s, func(tx *store.Tx) error {
		return errors.Join(store.Pins.Delete(tx, "east"), store.DeleteGraph(tx, "east"))
	})
	expect(t, "left without a pin", rowsOf(t, s), []string{"desireds", "spokes", "jointokens"})
}

func deleteCluster(t *testing.T, s *store.Store) {
	putClusters(t, s)
	update(t, s, func(tx *store.Tx) error { return store.DeleteCluster(tx, "east") })
	expect(t, "left", len(rowsOf(t, s)), 0)
}

func activeCluster(t *testing.T, s *store.Store) {
	for name, tt := range map[string]struct {
		spec string // empty: no Cluster
		want error
	}{
		"none":    {"", store.ErrNoCluster},
		"active":  {`{}`, nil},
		"blocked": {`{"blocked":true}`, store.ErrBlocked},
	} {
		update(t, s, func(tx *store.Tx) error {
			key := api.ClusterKey("east")
			if tt.spec == "" {
				return store.Resources.Delete(tx, key.Path())
			}
			object := `{"apiVersion":"fleet.nave.io/v1alpha1","kind":"Cluster","metadata":{"name":"east"},` +
				`"spec":` + tt.spec + `}`
			row := store.Resource{Key: key, Object: api.StoredObject(key, json.RawMessage(object))}
			return store.Resources.Put(tx, key.Path(), row)
		})
		view(t, s, func(tx *store.Tx) error {
			if err := store.RequireActiveCluster(tx, "east"); !errors.Is(err, tt.want) {
				t.Errorf("%s: got %v, want %v", name, err, tt.want)
			}
			return nil
		})
	}
}
