package dispatch

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/internal/pace"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/reporting"
)

// The quotas of one cluster. Its spoke may be broken, or its certificate stolen.
const (
	maxFetches = 4 // at the same moment
	maxReports = 4 // at the same moment
	maxReaders = 4 // of the log, at the same moment

	helloRate    = 0.5 // per second
	helloBurst   = 30
	messageRate  = 64 // per second, of one session after hello
	messages     = 256
	eventRate    = 1 // per second, in reports
	eventBurst   = 200
	failureRate  = 1 // per second, in the log
	failureBurst = 20
	servedRate   = 2 * reporting.CapabilitiesRate // messages of capabilities per second
	servedBurst  = 2 * reporting.CapabilitiesBurst
	reportRate   = 1 << 20 // bytes per second
	reportBurst  = 32 << 20
	logRate      = 512 << 10 // bytes per second, of one answer with a log
	logBurst     = 1 << 20

	// Two agents with one identity end each other's sessions again and again; one that restarts does so once.
	takeoverBurst  = 3
	takeoverWindow = 5 * time.Minute
)

// The hub's own warnings about a cluster, of each reason: warningBurst at once, then one in each interval.
const (
	warningBurst    = 5
	warningInterval = time.Minute
	revokedInterval = time.Hour // of condition.CertificateRevoked, one at once: a refused spoke calls again and again
)

// quotas counts the use of each cluster. The warnings of the hub have quotas of their own, so that a spoke cannot
// silence them with events.
type quotas struct {
	hellos, events, bytes *pace.Paces // bytes of reports
	takeovers             *pace.Paces // of sessions by sessions of another instance
	served                *pace.Paces // messages with capabilities
	failures              *pace.Paces // lines in the log about applications that are not ready
	warnings, revoked     *pace.Paces // by cluster and reason

	mu      sync.Mutex
	fetches map[string]int // under way, by cluster
	reports map[string]int
	logs    map[string]int
}

func newQuotas() *quotas {
	return &quotas{
		hellos: pace.New(helloRate, helloBurst), takeovers: pace.New(rate.Every(takeoverWindow/takeoverBurst), takeoverBurst),
		events: pace.New(eventRate, eventBurst), failures: pace.New(failureRate, failureBurst),
		bytes: pace.New(reportRate, reportBurst), served: pace.New(servedRate, servedBurst),
		warnings: pace.New(rate.Every(warningInterval), warningBurst), revoked: pace.New(rate.Every(revokedInterval), 1),
		fetches: map[string]int{}, reports: map[string]int{}, logs: map[string]int{},
	}
}

// begin counts one call under way, until release is called. If there are limit calls, begin returns RESOURCE_EXHAUSTED.
func (q *quotas) begin(underWay map[string]int, cluster string, limit int) (release func(), err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if underWay[cluster] >= limit {
		return nil, status.Errorf(codes.ResourceExhausted, "more than %d of these calls at the same time: try again later",
			limit)
	}
	underWay[cluster]++
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if underWay[cluster]--; underWay[cluster] == 0 {
			delete(underWay, cluster)
		}
	}, nil
}

func (q *quotas) fetch(cluster string) (release func(), err error) {
	return q.begin(q.fetches, cluster, maxFetches)
}

// report counts a report of so many bytes under way, until release is called. If the cluster has reported too many
// bytes of late, the error says when to come back.
func (q *quotas) report(cluster string, bytes int) (release func(), err error) {
	release, err = q.begin(q.reports, cluster, maxReports)
	if err == nil && !q.bytes.Allow(cluster, bytes, time.Now()) {
		release()
		return nil, comeBack(codes.ResourceExhausted, "the cluster reports more than %d bytes per second", reportRate)
	}
	return release, err
}

// hello returns an error that says when to come back if the cluster opens sessions too often.
func (q *quotas) hello(cluster string) error {
	if !q.hellos.Allow(cluster, 1, time.Now()) {
		return comeBack(codes.Unavailable, "the cluster opens sessions too often")
	}
	return nil
}

// warn reports whether to log and record a warning about the cluster now, and counts the warning if so.
func (q *quotas) warn(cluster, reason string, now time.Time) bool {
	paces := q.warnings
	if reason == condition.CertificateRevoked {
		paces = q.revoked
	}
	return paces.Allow(cluster+"/"+reason, 1, now)
}
