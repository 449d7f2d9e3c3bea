package main

import (
	"testing"

	"github.com/navefleet/nave/shared/manifest"
)

// TestPinnedAt says that a pinned release holds a change, but not that it goes.
func TestPinnedAt(t *testing.T) {
	next := manifest.DigestOf([]byte("next"))
	if got := pinnedAt(publishedApplication{pinned: 3}, next); len(got) != 1 {
		t.Error(got)
	}
	if pinnedAt(publishedApplication{}, next) != nil ||
		pinnedAt(publishedApplication{pinned: 3}, manifest.Digest{}) != nil {
		t.Error("held without a pin, or although the release goes")
	}
}
