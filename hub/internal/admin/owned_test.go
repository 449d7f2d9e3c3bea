package admin

import (
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
)

// TestOwnedElsewhere reads the way out in the error about an object that another one gives.
func TestOwnedElsewhere(t *testing.T) {
	root, fleet := kustomizationKey("a", "root"), api.FleetKey("prod")
	for _, c := range []struct {
		name, verb, want string
		owner            *api.Key
	}{
		{"deleted", "deleted", "can only be deleted there: take it out of Git", &root},
		{"changed", "changed", "can only be changed there: change it in Git", &root},
		{"of_fleet", "deleted", "comes from Fleet prod and can only be deleted there", &fleet},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := ownedElsewhere(store.Resource{Key: kustomizationKey("a", "app"), Owner: c.owner}, c.verb)
			if err == nil || !strings.HasSuffix(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
