package apply

import (
	"errors"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/spoke/internal/inventory"
)

// TestShare_memory takes generated and ignored fields over from one look at the live object, whose memory is asked for
// once, and refuses the object if there is none.
func TestShare_memory(t *testing.T) {
	generated := []string{"data", "password"}
	ignored := []bundle.IgnoreRule{{Paths: []string{"/data/size"}}}
	for name, c := range map[string]struct {
		generated []string
		ignored   []bundle.IgnoreRule
		memory    error
		asked     int
		password  string
		size      string
	}{
		"neither":   {nil, nil, nil, 0, "new", "new"},
		"generated": {generated, nil, nil, 1, "live", "new"},
		"ignored":   {nil, ignored, nil, 1, "new", "live"},
		"both":      {generated, ignored, nil, 1, "live", "live"},
		"no_memory": {generated, ignored, ErrMemory, 1, "new", "new"},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := &scriptedCluster{version: 7, object: ownedBy(testOwner), data: `{"password":"live","size":"live"}`}
			set := Set{Target: Target{Application: testOwner}, Ignore: c.ignored}
			r, err := cluster.applier(t).start(set)
			if err != nil {
				t.Fatal(err)
			}
			if c.generated != nil {
				r.generated[testID] = [][]string{c.generated}
			}
			data, asked := map[string]any{"password": "new", "size": "new"}, 0
			o := object("ConfigMap", nil)
			o.Object["data"] = data
			err = r.share(t.Context(), o, inventory.Override, func([]byte) error { asked++; return c.memory })
			if !errors.Is(err, c.memory) || asked != c.asked || cluster.looks != c.asked || data["password"] != c.password ||
				data["size"] != c.size {
				t.Errorf("memory asked for %d times in %d looks: %v, %v", asked, cluster.looks, data, err)
			}
		})
	}
}
