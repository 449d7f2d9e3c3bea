package admin

import (
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
)

// TestOwnedElsewhere reads the way out in the error about an object that another one gives.
func TestOwnedElsewhere(t *testing.T) {
	root, fleet := kustomizationKey("a", "root"), api.FleetKey("prod")
	for _, c := range []struct {
		name, verb, place, want string
		owner                   api.Key
	}{
		{"deleted", "deleted", "", "can only be deleted there: take it out of Git", root},
		{"changed", "changed", "", "can only be changed there: change it in Git", root},
		{"changed_at", "changed", ", in GitRepository a/b below ./hub",
			"can only be changed there: change it in Git, in GitRepository a/b below ./hub", root},
		{"of_fleet", "deleted", "", "comes from Fleet prod and can only be deleted there", fleet},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := ownedElsewhere(kustomizationKey("a", "app"), c.owner, c.place, c.verb)
			if err == nil || !strings.HasSuffix(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
