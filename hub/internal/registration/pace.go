package registration

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How often one cluster may be heard: by certificates that are issued for it, which are logged and written, and by
// refusals that are logged and recorded. Those who know no token share the refusals of the cluster without a name.
const (
	issueRate   = 0.2 // per second
	issueBurst  = 10
	recordRate  = 0.2
	recordBurst = 20

	maxPaces = 1024 // remembered before those that are at rest are forgotten
)

// paces are the rates of clusters.
type paces struct {
	rate  rate.Limit
	burst int

	mu        sync.Mutex
	byCluster map[string]*rate.Limiter
}

func newPaces(r rate.Limit, burst int) *paces {
	return &paces{rate: r, burst: burst, byCluster: map[string]*rate.Limiter{}}
}

// allow reports whether the cluster may be heard now, and counts that.
func (p *paces) allow(cluster string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.byCluster[cluster]
	if l == nil {
		p.forget(now)
		l = rate.NewLimiter(p.rate, p.burst)
		p.byCluster[cluster] = l
	}
	return l.AllowN(now, 1)
}

// forget drops the clusters that are at rest, when there are many. The caller holds mu.
func (p *paces) forget(now time.Time) {
	if len(p.byCluster) < maxPaces {
		return
	}
	for cluster, l := range p.byCluster {
		if l.TokensAt(now) >= float64(p.burst) {
			delete(p.byCluster, cluster)
		}
	}
}
