package dispatch

import (
	"testing"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
)

// TestWholeTable has the watcher hear that any row of a table may have changed, as a watcher does that is too far
// behind: every session is admitted and offered its bundle again.
func TestWholeTable(t *testing.T) {
	for _, table := range []string{store.SignedBundles.Name(), store.Resources.Name(), store.JoinTokens.Name()} {
		t.Run(table, func(t *testing.T) {
			r := newRig(t)
			for _, name := range []string{"a", "b"} {
				r.cluster(name, false)
				r.open(r.dial(identity.Cluster, name), bundle.ID{}, 0)
			}
			found := r.server.concerned(t.Context(), []store.Change{{Table: table}})
			if len(found) != 2 {
				t.Fatalf("%d sessions are concerned, want both", len(found))
			}
			for x, itself := range found {
				if !itself {
					t.Errorf("the session of %s is not admitted again", x.cluster)
				}
			}
		})
	}
}
