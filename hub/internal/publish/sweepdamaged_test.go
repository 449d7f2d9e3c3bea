package publish

import (
	"errors"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/manifest"
)

// TestSweepDamagedRow checks that a damaged row that names no blob of a bundle does not stop the sweep, and that a
// sweep deletes nothing if another row is damaged.
func TestSweepDamagedRow(t *testing.T) {
	for _, c := range []struct {
		table, key string
		sweeps     bool
	}{
		{"renders", "sha256:00", true},
		{"spokes", "east", true},
		{"reports", "east/Kustomization/flux-system/app", true},
		{"plans", "east", false},
		{"releases", "east", false},
		{"desireds", "east", false},
	} {
		t.Run(c.table, func(t *testing.T) {
			b, _, garbage := spoilt(t, func(tx *bbolt.Tx, _ []byte) error {
				return tx.Bucket([]byte(c.table)).Put([]byte(c.key), []byte("{rubbish"))
			})
			for range 2 { // the first spares what was put lately
				if err := b.sweep(t.Context()); (err == nil) != c.sweeps || err != nil && !errors.Is(err, store.ErrDamaged) {
					t.Fatalf("sweep: %v", err)
				}
			}
			if b.has(garbage) == c.sweeps {
				t.Errorf("garbage is there: %v", b.has(garbage))
			}
			for _, content := range []string{"one", "two"} {
				if !b.has(manifest.DigestOf([]byte(content))) {
					t.Errorf("%s was swept", content)
				}
			}
		})
	}
}
