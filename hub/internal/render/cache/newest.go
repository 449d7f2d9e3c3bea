package cache

import (
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/manifest"
)

// maxDifferences limits the paths in the differences of artifacts that are remembered.
const maxDifferences = 100_000

// difference has the paths at which two artifacts differ. known is false if they cannot be compared.
type difference struct {
	paths map[string]bool
	known bool
}

// sameAsNewest returns the newest render of the row, if it would read the same from this artifact. The artifacts are
// compared by their folders, and only the files that differ are read: a commit costs what it changed, and not what the
// render read. If there is no such render, sameAsNewest returns nil.
func (c *Cache) sameAsNewest(key flightKey, a *artifact.Artifact, probe *tree.Probe) *Rendering {
	newest := c.newestOf(key.row)
	if newest == nil || !newest.IsStored() {
		return nil
	}
	d := c.difference(a, newest.artifact)
	if !d.known || !probe.UnchangedAt(newest.variant.Reads, d.paths) {
		return nil
	}
	return &Rendering{row: key.row, artifact: key.artifact, content: newest.content}
}

// newestOf returns the newest Rendering of a row. If none is in memory, newestOf returns nil.
func (c *Cache) newestOf(row string) *Rendering {
	c.mu.Lock()
	defer c.mu.Unlock()
	artifact, ok := c.newest[row]
	if !ok {
		return nil
	}
	if f := c.flights[flightKey{row, artifact}]; f != nil && f.isDone() {
		return f.result
	}
	return nil
}

// difference compares two artifacts of one source.
func (c *Cache) difference(a *artifact.Artifact, other manifest.Digest) difference {
	c.comparing.Lock()
	defer c.comparing.Unlock()
	key := [2]manifest.Digest{a.Digest, other}
	d, ok := c.differences.Get(key)
	if !ok {
		d.paths, d.known = c.artifacts.Difference(*a, other)
		c.differences.Put(key, d, 1+len(d.paths))
	}
	return d
}
