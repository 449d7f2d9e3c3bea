// Package pace limits how often each of many clusters may do something.
package pace

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// minForget is the number of names that Paces remembers before it forgets names with full buckets.
const minForget = 1024

// Paces has a token bucket for each name. If there are many names, it forgets those whose buckets are full again. Paces
// is safe for concurrent use.
type Paces struct {
	limit rate.Limit
	burst int

	mu       sync.Mutex
	byName   map[string]*rate.Limiter
	forgetAt int // the number of names at which forget runs next
}

// New returns Paces that let each name do burst things at once, and then limit things a second.
func New(limit rate.Limit, burst int) *Paces {
	return &Paces{limit: limit, burst: burst, byName: map[string]*rate.Limiter{}, forgetAt: minForget}
}

// Allow reports whether the name may do n more things now. If so, Allow counts them.
func (p *Paces) Allow(name string, n int, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of(name, now).AllowN(now, n)
}

// Take returns how many of n things the name may do now, and counts that many.
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

// forget drops the names with full buckets if there are many names. The caller holds mu.
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
