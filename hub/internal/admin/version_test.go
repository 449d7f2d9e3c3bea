package admin

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// TestGetVersion_spokes counts the spokes by version, those that are away, too. A cluster that nobody joined has none.
func TestGetVersion_spokes(t *testing.T) {
	r := newRig(t)
	must(t, r.store.Update(t.Context(), func(tx *store.Tx) error {
		return errors.Join(
			store.Spokes.Put(tx, "a", store.Spoke{Version: "v1", Connected: true}),
			store.Spokes.Put(tx, "b", store.Spoke{Version: "v1", Since: time.Now()}),
			store.Spokes.Put(tx, "c", store.Spoke{Version: "v2", Connected: true}),
			store.Spokes.Put(tx, "joining", store.Spoke{RegisteredAt: time.Now()}),
			store.Spokes.Put(tx, "added", store.Spoke{}))
	}))
	for name, c := range map[string]struct {
		asked bool
		want  string
	}{
		"asked":     {true, `"" 0 of 1; "v1" 1 of 2; "v2" 1 of 1`},
		"not_asked": {false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := r.GetVersion(t.Context(), &adminv1.GetVersionRequest{Spokes: c.asked})
			must(t, err)
			var counts []string
			for _, v := range answer.Spokes {
				counts = append(counts, fmt.Sprintf("%q %d of %d", v.Version, v.Connected, v.Clusters))
			}
			if got := strings.Join(counts, "; "); got != c.want || answer.Version == "" {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
