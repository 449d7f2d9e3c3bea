package status

import (
	"fmt"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/wording"
)

// maxCounted is how many new artifacts of a source are counted.
const maxCounted = 100

// behindBy returns the end of a text that counts the revisions that wait; "" if the hub does not know how many.
func behindBy(n int) string {
	switch n {
	case 0:
		return ""
	case maxCounted:
		return fmt.Sprintf(", %d or more revisions ahead,", n)
	}
	return fmt.Sprintf(", %s ahead,", wording.Count(n, "revision"))
}

// artifactsSince counts the artifacts of a source that came after a time, from its events.
func (r *Reader) artifactsSince(source api.Key, since time.Time) (n int, err error) {
	events, read := r.events[source]
	if !read {
		if events, err = store.EventsOf(source).Newest(r.tx, maxCounted); err != nil {
			return 0, err
		}
		r.events[source] = events
	}
	for _, e := range events {
		if e.Reason == condition.NewArtifact && e.Time.After(since) {
			n++
		}
	}
	return n, nil
}
