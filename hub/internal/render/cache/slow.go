package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/confine"
)

// A render may take as long as a worker lets it. So that it keeps nobody waiting, a render that takes longer than
// patience goes on by itself: the call returns a *SlowError, and the render moves to the slots of slow renders. The
// next renders of the same renderable begin there, whatever its cluster, specification and tree are, until one of them
// is fast again. If a namespace has several slow renderables, its new ones begin there, too.

// Times of slow renders.
const (
	patience  = 5 * time.Second
	firstRest = 30 * time.Second // after a render that took too long or killed its worker; doubles each time
	mostRest  = 8 * time.Minute
)

const (
	// SlowRenders is how many slow renders run at a time, beside all others.
	SlowRenders = 1
	// mostSlow is how many renderables of a namespace may be slow before its new ones count as slow.
	mostSlow = 3
	// maxRemembered limits the renderables and the failed renders that are remembered.
	maxRemembered = 10_000
)

// SlowError is the error of a render that goes on.
type SlowError struct {
	Last error           // of the last attempt of the same render; nil: there was none
	Done <-chan struct{} // closed at the end of the render; call again then
}

// Error implements error.
func (e *SlowError) Error() string {
	if e.Last != nil {
		return e.Last.Error()
	}
	return fmt.Sprintf("it is still being rendered: this takes more than %s, or renders before it do; waiting for the "+
		"result", patience)
}

// Unwrap returns Last.
func (e *SlowError) Unwrap() error { return e.Last }

// errLater ends a render for which there is no slot of slow renders.
var errLater = fmt.Errorf("%w: more than %s, while another render is as slow; it will be tried again",
	confine.ErrTimeout, patience)

// slowness knows which renderables are slow, and which renders failed so that they have to rest. It is safe for
// concurrent use.
type slowness struct {
	slots chan struct{}

	mu       sync.Mutex
	paces    map[api.Key]*pace // by renderable
	slowIn   map[string]int    // how many renderables of a namespace are slow
	rests    map[flightKey]rest
	underway map[flightKey]*underway
}

func newSlowness() *slowness {
	return &slowness{
		slots: make(chan struct{}, SlowRenders), paces: map[api.Key]*pace{}, slowIn: map[string]int{},
		rests: map[flightKey]rest{}, underway: map[flightKey]*underway{},
	}
}

// underway is a render that has not ended.
type underway struct {
	since  time.Time
	looked chan struct{} // closed when neither memory nor the store has the result
	done   chan struct{}
	result *Rendering // set before done is closed, like err
	err    error
}

// pace tells whether a renderable is slow. slowness.mu guards proven.
type pace struct {
	renderable api.Key
	slow       chan struct{} // closed: it is
	proven     bool          // it was fast once
}

func (p *pace) isSlow() bool {
	select {
	case <-p.slow:
		return true
	default:
		return false
	}
}

// rest is a failed render that is not to be repeated at once.
type rest struct {
	err      error
	until    time.Time
	failures int
}

// pace returns the pace of a renderable.
func (s *slowness) pace(renderable api.Key) *pace {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.paces[renderable]
	if p == nil {
		p = &pace{renderable: renderable, slow: make(chan struct{})}
		if len(s.paces) >= maxRemembered {
			clear(s.paces)
			clear(s.slowIn)
		}
		s.paces[renderable] = p
	}
	return p
}

// markSlow notes that a renderable is slow. If it was forgotten meanwhile, its namespace does not count it.
func (s *slowness) markSlow(p *pace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.isSlow() {
		return
	}
	close(p.slow)
	if s.paces[p.renderable] == p {
		s.slowIn[p.renderable.Namespace]++
	}
}

// isApart reports whether renders of a renderable need a slot of slow renders.
func (s *slowness) isApart(p *pace) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.isSlow() || !p.proven && s.slowIn[p.renderable.Namespace] >= mostSlow
}

// note notes how a render ended. A fast one makes its renderable fast; one that took too long or killed its worker
// rests.
func (s *slowness) note(renderable api.Key, key flightKey, took time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, died := errors.AsType[*confine.DiedError](err); died || errors.Is(err, confine.ErrTimeout) {
		r := s.rests[key]
		if len(s.rests) >= maxRemembered {
			clear(s.rests)
		}
		s.rests[key] = rest{err, time.Now().Add(min(firstRest<<r.failures, mostRest)), min(r.failures+1, 10)}
		return
	}
	delete(s.rests, key)
	p := s.paces[renderable]
	switch {
	case p == nil || took >= patience:
	case p.isSlow():
		delete(s.paces, renderable)
		if s.slowIn[renderable.Namespace]--; s.slowIn[renderable.Namespace] == 0 {
			delete(s.slowIn, renderable.Namespace)
		}
	default:
		p.proven = err == nil
	}
}

// resting returns the error of the last attempt of a render, and whether it is too early for another one.
func (s *slowness) resting(key flightKey) (err error, early bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rests[key]
	return r.err, time.Now().Before(r.until)
}

// begin notes that a render is under way, or returns the one that is.
func (s *slowness) begin(key flightKey) (u *underway, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u, ok := s.underway[key]; ok {
		return u, false
	}
	u = &underway{since: time.Now(), looked: make(chan struct{}), done: make(chan struct{})}
	s.underway[key] = u
	return u, true
}

func (s *slowness) end(key flightKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.underway[key].done)
	delete(s.underway, key)
}

// attend carries out a call of Render or RenderFor. If the renderable is or becomes slow, attend returns a *SlowError,
// and the render goes on.
func (p *pending) attend(ctx context.Context) (*Rendering, error) {
	key := p.failedKey()
	for {
		if f := p.finished(p.askedOf(p.base)); f != nil {
			p.metrics.answers.WithLabelValues("memory").Inc()
			return f.result, f.err
		}
		last, early := p.slow.resting(key)
		if early {
			p.metrics.answers.WithLabelValues("memory").Inc()
			return nil, last
		}
		p.pace = p.slow.pace(p.renderable)
		u, first := p.slow.begin(key)
		if first {
			go func() {
				defer p.slow.end(key)
				u.result, u.err = p.answer(ctx, sync.OnceFunc(func() { close(u.looked) }))
			}()
		}
		switch {
		case !p.wait(ctx, u, first):
			return nil, cmp.Or[error](ctx.Err(), &SlowError{Last: last, Done: u.done})
		case first:
			return u.result, u.err
		case u.err != nil: // which does not depend on the cluster
			return nil, u.err
		}
	}
}

// wait waits for the end of a render, but only for a short time since its begin, and not for that of a slow renderable.
// It reports whether the render has ended. own reports whether the render ends with ctx.
func (p *pending) wait(ctx context.Context, u *underway, own bool) (ended bool) {
	limited, cancel := context.WithDeadline(ctx, u.since.Add(2*patience)) // for a slot, too
	defer cancel()
	select {
	case <-u.looked: // what the store has is found at once, however slow the renderable is
	case <-u.done:
	case <-limited.Done():
	}
	select {
	case <-u.done:
	case <-p.pace.slow:
	case <-limited.Done():
	}
	if own && ctx.Err() != nil {
		<-u.done
	}
	select {
	case <-u.done:
		return true
	default:
		return false
	}
}

// enterSlot waits for a slot, and has the render under way moved to a slot of slow renders when it becomes slow. The
// render uses the context. Call leave at its end.
func (p *pending) enterSlot(ctx context.Context) (_ context.Context, leave func(), err error) {
	slots, err := p.waitForSlot(ctx)
	if err != nil {
		return ctx, nil, err
	}
	if slots == p.slow.slots {
		return ctx, func() { <-slots }, nil
	}
	ctx, end := context.WithCancelCause(ctx)
	held := &heldSlot{slots: slots}
	timer := time.AfterFunc(patience, func() {
		p.slow.markSlow(p.pace)
		if !held.moveTo(p.slow.slots) {
			end(errLater)
		}
	})
	return ctx, func() {
		timer.Stop()
		end(nil)
		held.leave()
	}, nil
}

// waitForSlot waits for a slot, and returns the slots that it is one of. A renderable that becomes slow meanwhile gets
// one of slow renders.
func (p *pending) waitForSlot(ctx context.Context) (chan struct{}, error) {
	for {
		slots := p.slots
		if p.slow.isApart(p.pace) {
			slots = p.slow.slots
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if slots == p.slow.slots || !p.slow.isApart(p.pace) {
			return slots, nil
		}
		<-slots
	}
}

// heldSlot is the slot of a render, which may move to other slots. It is safe for concurrent use.
type heldSlot struct {
	mu    sync.Mutex
	slots chan struct{} // nil: the render has left
}

// moveTo takes one of other slots in place of the present one. If none is free, moveTo returns false.
func (h *heldSlot) moveTo(others chan struct{}) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.slots == nil {
		return true
	}
	select {
	case others <- struct{}{}:
		<-h.slots
		h.slots = others
		return true
	default:
		return false
	}
}

// leave frees the slot.
func (h *heldSlot) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	<-h.slots
	h.slots = nil
}
