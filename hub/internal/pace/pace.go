// Package pace limits how often each of many clusters may do something.
package pace

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// minForget is how many names are remembered before those at rest are looked for.
const minForget = 1024

// Paces is a token bucket for each name. Names whose buckets are full again are forgotten when there are many. Its
// methods may be called by any number of goroutines.
type Paces struct {
	limit rate.Limit
	burst int

	mu       sync.Mutex
	byName   map[string]*rate.Limiter
	forgetAt int // how many names there may be before the next look
}

// New returns Paces that let each name do burst things at once, and then limit a second.
func New(limit rate.Limit, burst int) *Paces {
	return &Paces{limit: limit, burst: burst, byName: map[string]*rate.Limiter{}, forgetAt: minForget}
}

// Allow reports whether the name may do n more things now, and counts them if it may.
func (p *Paces) Allow(name string, n int, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of(name, now).AllowN(now, n)
}

// Take returns how many of n things the name may do now, and counts these.
func (p *Paces) Take(name string, n int, now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.of(name, now)
	n = max(0, min(n, int(l.TokensAt(now))))
	l.AllowN(now, n)
	return n
}

// of returns the bucket of a name. The caller holds mu.
func (p *Paces) of(name string, now time.Time) *rate.Limiter {
	l := p.byName[name]
	if l == nil {
		p.forget(now)
		l = rate.NewLimiter(p.limit, p.burst)
		p.byName[name] = l
	}
	return l
}

// forget drops the names that are at rest if there are many. The caller holds mu.
func (p *Paces) forget(now time.Time) {
	if len(p.byName) < p.forgetAt {
		return
	}
	for name, l := range p.byName {
		if l.TokensAt(now) >= float64(p.burst) {
			delete(p.byName, name)
		}
	}
	p.forgetAt = max(minForget, 2*len(p.byName))
}
