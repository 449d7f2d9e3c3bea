package dispatch

import (
	"sync"
	"time"
)

// tellEvery is how often people are told, of one cluster, that a certificate does not count any more. Its spoke calls
// again and again.
const tellEvery = time.Hour

// told remembers when people were told something about a cluster.
type told struct {
	mu        sync.Mutex
	byCluster map[string]time.Time
}

func newTold() *told { return &told{byCluster: map[string]time.Time{}} }

// due reports whether it is time to tell, and counts on that being done.
func (t *told) due(cluster string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last, ok := t.byCluster[cluster]; ok && now.Sub(last) < tellEvery {
		return false
	}
	t.byCluster[cluster] = now
	return true
}

// sweep forgets what was told long ago.
func (t *told) sweep(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for cluster, last := range t.byCluster {
		if now.Sub(last) >= tellEvery {
			delete(t.byCluster, cluster)
		}
	}
}
