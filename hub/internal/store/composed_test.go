package store_test

import (
	"fmt"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
)

// TestFindSource checks which of the sources with one name an object finds.
func TestFindSource(t *testing.T) {
	team := &api.Confinement{Namespace: "shop", Account: "team"}
	part := &api.Confinement{Namespace: "shop", Account: "part", Outer: team}
	other := &api.Confinement{Namespace: "bank", Account: "other"}
	hubs := api.Key{Kind: api.GitRepositoryKind, Namespace: "shop", Name: "web"}
	own := hubs.In("east")
	for name, tt := range map[string]struct {
		by      *api.Confinement
		account string
		root    bool
		sources map[api.Key]*api.Confinement
		want    api.Key // zero: none
	}{
		"operators":           {nil, "", false, map[api.Key]*api.Confinement{own: nil, hubs: nil}, own},
		"operators_of_root":   {nil, "", true, map[api.Key]*api.Confinement{own: nil, hubs: nil}, hubs},
		"tenants_of_operator": {nil, "", false, map[api.Key]*api.Confinement{own: team}, api.Key{}},
		"operators_of_tenant": {team, "", false, map[api.Key]*api.Confinement{own: nil}, own},
		"own_of_tenant":       {team, "", false, map[api.Key]*api.Confinement{own: team}, own},
		"outer_of_tenant":     {part, "", false, map[api.Key]*api.Confinement{own: team}, own},
		"inner_of_tenant":     {team, "", false, map[api.Key]*api.Confinement{own: part}, api.Key{}},
		"another_tenants":     {team, "", false, map[api.Key]*api.Confinement{own: other}, api.Key{}},
		"hubs_behind_another": {team, "", false, map[api.Key]*api.Confinement{own: other, hubs: nil}, hubs},
		"tenants_of_hub":      {team, "", false, map[api.Key]*api.Confinement{hubs: team}, api.Key{}},
		"given_by_itself":     {nil, "team", false, map[api.Key]*api.Confinement{own: team}, own},
		"given_by_another":    {nil, "team", false, map[api.Key]*api.Confinement{own: other}, api.Key{}},
		"missing":             {nil, "", false, nil, api.Key{}},
	} {
		t.Run(name, func(t *testing.T) {
			key := api.Key{Cluster: "east", Kind: api.KustomizationKind, Namespace: "shop", Name: "web"}
			row := store.Resource{Key: key, Confined: tt.by, Object: api.StoredObject(key, fmt.Appendf(nil,
				`{"metadata":{"name":"web","namespace":"shop"},"spec":{"serviceAccountName":%q,"sourceRef":{"kind":"GitRepository","name":"web"}}}`, tt.account))}
			if tt.root {
				fleet := api.FleetKey("prod")
				row.Owner = &fleet
			}
			found, ok, err := row.FindSource(func(key api.Key) (store.Resource, bool, error) {
				confined, exists := tt.sources[key]
				return store.Resource{Key: key, Confined: confined}, exists, nil
			})
			if want := tt.want != (api.Key{}); err != nil || ok != want || ok && found.Key != tt.want {
				t.Errorf("found %v %v, %v, want %v", found.Key, ok, err, tt.want)
			}
		})
	}
}
