package status

import (
	"errors"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
)

// TestFold_confined checks that the status of an object below a service account names the account.
func TestFold_confined(t *testing.T) {
	facts := well(func(f *Facts) {
		by := api.Key{Cluster: "a", Kind: api.KustomizationKind, Namespace: "shop", Name: "team"}
		f.Resource.Confined = &api.Confinement{By: by, Namespace: "shop", Account: "team"}
	})
	data, err := Fold(facts)
	if err != nil {
		t.Fatal(err)
	}
	want := `"confined":{"by":"Kustomization shop/team","namespace":"shop","serviceAccountName":"team"}`
	if !strings.Contains(string(data), want) {
		t.Errorf("folds to %s", data)
	}
	if data, err = Fold(well(nil)); err != nil || strings.Contains(string(data), "confined") {
		t.Errorf("an operator's object folds to %s, %v", data, err)
	}
}

// TestConfinedSource checks that what is said of a confined Kustomization and of its Cluster has no source of another
// tenant, even if the source has the name that the Kustomization gives, but the hub's source of this name.
func TestConfinedSource(t *testing.T) {
	w := newFleetWorld(t)
	others := sourceKey.In("east")
	w.update(func(tx *store.Tx) error {
		err := errors.Join(w.put(tx, others, &rootKey, `{"kind":"GitRepository","spec":{}}`),
			w.application(tx, otherKey, &rootKey, ""))
		return errors.Join(err, w.confine(tx, others, "other"), w.confine(tx, otherKey, "team"))
	})
	err := w.store.View(t.Context(), func(tx *store.Tx) error {
		reader := NewReader(tx)
		row, _, err := store.Resources.Get(tx, otherKey.Path())
		if err != nil {
			return err
		}
		if source, err := reader.Source(row); err != nil || source == nil || source.Key != sourceKey {
			t.Errorf("Source returns %v, %v", source, err)
		}
		g, err := reader.graph("east")
		if err != nil {
			return err
		}
		if source, _, err := reader.sourceOf(g, g.facts[otherKey]); err != nil || source.Resource.Key != sourceKey {
			t.Errorf("the Cluster covers %v, %v", source.Resource.Key, err)
		}
		world, err := Load(tx, "east")
		if err != nil {
			return err
		}
		if source, ok := world.source(world.facts[otherKey]); !ok || source.Resource.Key != sourceKey {
			t.Errorf("Explain asks %v", source.Resource.Key)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// confine marks an object as one below a service account of its namespace.
func (w *fleetWorld) confine(tx *store.Tx, key api.Key, account string) error {
	row, _, err := store.Resources.Get(tx, key.Path())
	row.Confined = &api.Confinement{By: rootKey, Namespace: key.Namespace, Account: account}
	return errors.Join(err, store.Resources.Put(tx, key.Path(), row))
}
