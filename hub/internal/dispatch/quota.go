package dispatch

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/shared/condition"
)

// What one cluster may ask for, whatever its spoke has become.
const (
	maxFetches = 4 // at the same moment
	maxReports = 4 // at the same moment

	helloRate   = 0.5 // per second
	helloBurst  = 30
	messageRate = 64 // per second, of one session after hello
	messages    = 256
	eventRate   = 1 // per second, in reports
	eventBurst  = 200
	reportRate  = 1 << 20 // bytes per second
	reportBurst = 32 << 20

	quotaMemory = 2 * time.Hour // longer than it takes any quota to fill up again
)

// The hub's own warnings about a cluster, of each reason: warningBurst at once, then one in each interval.
const (
	warningBurst    = 5
	warningInterval = time.Minute
	revokedInterval = time.Hour // of condition.CertificateRevoked, one at once: a refused spoke calls again and again
)

// quotas counts what each cluster uses. Clusters that use nothing are forgotten. The warnings of the hub have quotas of
// their own, so that a spoke cannot silence them with events.
type quotas struct {
	mu        sync.Mutex
	byCluster map[string]*quota
}

type quota struct {
	fetches, reports int // under way
	hellos           *rate.Limiter
	events           *rate.Limiter
	bytes            *rate.Limiter // of reports
	warnings         map[string]*rate.Limiter
	used             time.Time
}

func newQuotas() *quotas { return &quotas{byCluster: map[string]*quota{}} }

// of returns the quota of a cluster, as used now. The caller holds mu.
func (q *quotas) of(cluster string, now time.Time) *quota {
	u := q.byCluster[cluster]
	if u == nil {
		u = &quota{
			hellos:   rate.NewLimiter(helloRate, helloBurst),
			events:   rate.NewLimiter(eventRate, eventBurst),
			bytes:    rate.NewLimiter(reportRate, reportBurst),
			warnings: map[string]*rate.Limiter{},
		}
		q.byCluster[cluster] = u
	}
	u.used = now
	return u
}

// take counts one call under way; count chooses which kind.
func (q *quotas) take(cluster string, limit int, count func(*quota) *int) (release func(), err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := count(q.of(cluster, time.Now()))
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

// report counts a report of so many bytes under way. When the cluster has reported too many bytes of late, the error
// says when to come back.
func (q *quotas) report(cluster string, bytes int) (release func(), err error) {
	release, err = q.take(cluster, maxReports, func(u *quota) *int { return &u.reports })
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	u := q.of(cluster, now)
	if !u.bytes.AllowN(now, bytes) {
		u.reports--
		return nil, comeBack(codes.ResourceExhausted, "the cluster reports more than %d bytes per second", reportRate)
	}
	return release, nil
}

// hello returns an error that says when to come back if the cluster opens sessions too often.
func (q *quotas) hello(cluster string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now := time.Now(); !q.of(cluster, now).hellos.AllowN(now, 1) {
		return comeBack(codes.Unavailable, "the cluster opens sessions too often")
	}
	return nil
}

// events returns how many of n events the cluster may still record.
func (q *quotas) events(cluster string, n int) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	events := q.of(cluster, now).events
	n = min(n, int(events.TokensAt(now)))
	events.AllowN(now, n)
	return n
}

// warn reports whether a warning about the cluster may be logged and recorded now, and counts on that being done.
func (q *quotas) warn(cluster, reason string, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.of(cluster, now)
	w := u.warnings[reason]
	if w == nil {
		w = rate.NewLimiter(rate.Every(warningInterval), warningBurst)
		if reason == condition.CertificateRevoked {
			w = rate.NewLimiter(rate.Every(revokedInterval), 1)
		}
		u.warnings[reason] = w
	}
	return w.AllowN(now, 1)
}

// sweep forgets clusters that use nothing.
func (q *quotas) sweep(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for cluster, u := range q.byCluster {
		if u.fetches == 0 && u.reports == 0 && now.Sub(u.used) > quotaMemory {
			delete(q.byCluster, cluster)
		}
	}
}
