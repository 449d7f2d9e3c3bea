package store

import (
	"fmt"
	"testing"

	"github.com/navefleet/nave/hub/internal/artifact"
)

// TestFetched_earlier keeps the commits of the newest earlier revisions, each once, and none of a revision without one.
func TestFetched_earlier(t *testing.T) {
	var f Fetched
	set := func(revision, subject string) {
		f.SetArtifact(&artifact.Artifact{Revision: revision, Commit: artifact.Commit{Subject: subject}})
	}
	set("unknown", "")
	for i := range 30 {
		set(fmt.Sprint("r", i), fmt.Sprint("commit ", i))
	}
	set("r29", "commit 29")
	if len(f.Earlier) != 20 || f.Earlier[0].Revision != "r28" || f.Earlier[0].Commit.Subject != "commit 28" ||
		f.Earlier[19].Revision != "r9" {
		t.Errorf("%d earlier revisions: %+v", len(f.Earlier), f.Earlier)
	}
	set("r27", "commit 27") // a branch goes back
	if len(f.Earlier) != 20 || f.Earlier[0].Revision != "r29" || f.Earlier[1].Revision != "r28" ||
		f.Earlier[2].Revision != "r26" {
		t.Errorf("back again: %+v", f.Earlier)
	}
}
