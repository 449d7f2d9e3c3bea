package fetch_test

import (
	"testing"
	"time"

	"github.com/navefleet/nave/hub/internal/store"
)

// including lets a GitRepository include another one.
func including(name string) option {
	return func(_ *store.Resource, spec map[string]any) {
		spec["include"] = []any{map[string]any{"repository": map[string]any{"name": name}, "toPath": "there"}}
	}
}

// TestInput_unchanged has a source that reads another one cost nothing while the other one does not change.
func TestInput_unchanged(t *testing.T) {
	play(t, func(h *hub) {
		h.put(key("", "part"))
		h.pass(time.Minute)
		reads := func() int64 {
			before := h.reads.Load()
			h.pass(10 * time.Minute)
			return h.reads.Load() - before
		}
		alone := reads()
		h.put(key("", "whole"), from("https://example.com/whole.git"), every("10h"), including("part"))
		h.remote.set("https://example.com/whole.git", "whole", nil)
		h.pass(time.Minute)
		if o := h.condition(key("", "whole")); o.Ready != "True" {
			t.Fatalf("condition %+v", o)
		}
		if both := reads(); both > alone {
			t.Errorf("%d reads in ten minutes, %d without the source that reads it", both, alone)
		}
	})
}
