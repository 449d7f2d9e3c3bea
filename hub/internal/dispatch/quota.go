package dispatch

import (
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What one cluster may ask for, whatever its spoke has become.
const (
	maxFetches  = 4 // at the same moment
	maxReports  = 4 // at the same moment
	eventBurst  = 200
	eventRate   = 1.0 // per second
	quotaMemory = 10 * time.Minute
)

// quotas counts what each cluster uses. Clusters that use nothing are forgotten.
type quotas struct {
	mu        sync.Mutex
	byCluster map[string]*quota
}

type quota struct {
	fetches, reports int
	events           float64 // how many may still come
	filled           time.Time
}

func newQuotas() *quotas { return &quotas{byCluster: map[string]*quota{}} }

func (q *quotas) of(cluster string) *quota {
	u := q.byCluster[cluster]
	if u == nil {
		u = &quota{events: eventBurst, filled: time.Now()}
		q.byCluster[cluster] = u
	}
	return u
}

// take counts one call under way; count chooses which kind.
func (q *quotas) take(cluster string, limit int, count func(*quota) *int) (release func(), err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := count(q.of(cluster))
	if *n >= limit {
		return nil, status.Errorf(codes.ResourceExhausted, "at most %d of these calls at the same moment", limit)
	}
	*n++
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		*n--
	}, nil
}

func (q *quotas) fetch(cluster string) (release func(), err error) {
	return q.take(cluster, maxFetches, func(u *quota) *int { return &u.fetches })
}

func (q *quotas) report(cluster string) (release func(), err error) {
	return q.take(cluster, maxReports, func(u *quota) *int { return &u.reports })
}

// events returns how many of n events the cluster may still record.
func (q *quotas) events(cluster string, n int) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	u, now := q.of(cluster), time.Now()
	u.events = min(eventBurst, u.events+eventRate*now.Sub(u.filled).Seconds())
	u.filled = now
	n = min(n, int(u.events))
	u.events -= float64(n)
	return n
}

// sweep forgets clusters that use nothing.
func (q *quotas) sweep(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for cluster, u := range q.byCluster {
		if u.fetches == 0 && u.reports == 0 && now.Sub(u.filled) > quotaMemory {
			delete(q.byCluster, cluster)
		}
	}
}
