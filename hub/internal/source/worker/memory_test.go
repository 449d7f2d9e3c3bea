//go:build !race

// The race detector takes memory of its own, so the limits on memory are tested without it.

package worker

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// TestSmallPack has packs of some KiB that inflate to more than a gigabyte, and a worker with less memory than that.
func TestSmallPack(t *testing.T) {
	var p pack
	id := p.addCommit("hello")
	p.addBombs(20, 60<<20)
	small := p.bytes()
	if len(small) > 100<<10 {
		t.Fatalf("the pack has %d bytes", len(small))
	}
	url := serveGit(t, onlyMain(id), small)
	req := request{URL: url, Branch: "main"}
	t.Run("enough_memory", func(t *testing.T) {
		f := newFetcher(t, Config{Memory: 600 << 20}, Command)
		a := fetch(t, f, req, nil)
		if text, err := readFile(t, f, a, "a"); string(text) != "hello" {
			t.Errorf("a is %q, %v", text, err)
		}
		var disk int64
		err := filepath.WalkDir(f.artifacts.Path(artifact.Artifact{}), func(_ string, d os.DirEntry, err error) error {
			if err == nil {
				var info os.FileInfo
				if info, err = d.Info(); err == nil {
					disk += info.Size()
				}
			}
			return err
		})
		if err != nil || disk > 1<<20 {
			t.Errorf("%d bytes on disk, %v", disk, err)
		}
	})
	t.Run("little_memory", func(t *testing.T) {
		f := newFetcher(t, Config{Memory: 80 << 20, Workers: 1}, Command)
		fails(t, f, req, []error{artifact.ErrLimit, source.ErrWorker}, "memory", "too large files")
		repo := newRepository(t, gittest.Options{})
		commit(t, repo, map[string]string{"a": "1"})
		fetch(t, f, mainOf(repo), nil)
	})
}
