package status

import (
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
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
