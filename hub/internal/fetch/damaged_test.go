package fetch_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestDamaged_again has a disk that damages an artifact again and again, and a render that finds it each second. The
// source is fetched once a minute; another one as before.
func TestDamaged_again(t *testing.T) {
	play(t, func(h *hub) {
		const other = url + "-other"
		h.remote.set(other, "other", nil)
		h.put(key("", "fleet"), every("1h"))
		damaged := *h.sources()[0].Artifact
		h.put(key("", "other"), every("1m"), from(other))
		h.remote.count()
		for range 10 * 60 {
			contents, err := filepath.Glob(filepath.Join(h.dir, "artifacts", "*", "contents", "*"))
			if err != nil || len(contents) == 0 {
				t.Fatalf("contents: %v, %v", contents, err)
			}
			for _, name := range contents {
				if err := os.Truncate(name, 1); err != nil {
					t.Fatal(err)
				}
			}
			for range 20 { // more than are kept
				h.disk.Doubt(damaged)
			}
			h.pass(time.Second)
		}
		if n := h.remote.count(); n < 19 || n > 22 {
			t.Errorf("%d fetches in ten minutes, want about ten of each source", n)
		}
		h.pass(time.Minute)
		h.disk.Doubt(damaged)
		h.pass(time.Second)
		if !h.disk.Usable(t.Context(), damaged) || h.condition(key("", "fleet")).Ready != "True" {
			t.Error("the artifact stays damaged after the disk was mended")
		}
	})
}
