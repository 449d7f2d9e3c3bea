package tree

import (
	"encoding/json"
	"testing"

	"github.com/navefleet/nave/hub/internal/render"
)

// FuzzReadsDecode decodes Reads and compares a tree with them. Reads that are decoded survive JSON.
func FuzzReadsDecode(f *testing.F) {
	f.Add([]byte(`{"facts":{"/a":"-","/b":"f","/c":"dAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},"links":{"/a":"/b"}}`))
	f.Add([]byte(`{"facts":{"../a":"-"}}`))
	f.Add([]byte(`{"facts":{"/a":""}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r render.Reads
		if json.Unmarshal(data, &r) != nil {
			return
		}
		first, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var back render.Reads
		if err := json.Unmarshal(first, &back); err != nil {
			t.Fatalf("%s: %v", first, err)
		}
		probe := NewProbe(t.TempDir())
		defer probe.Close()
		probe.Unchanged(r)
	})
}
