package session

import (
	"context"
	"crypto/x509"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/identity"
)

const year = 365 * 24 * time.Hour

// fleet is a hub and the spoke's drawer, each with a clock.
type fleet struct {
	*hub
	drawer
	off atomic.Int64 // of the spoke's clock
}

func newFleet(t *testing.T) *fleet { return &fleet{hub: newHub(t)} }

// session returns a session of the spoke as a new process has one.
func (f *fleet) session() *Session {
	return newSession(f.hub, &f.drawer, func(c *settings) {
		c.Config.Now = func() time.Time { return time.Now().Add(time.Duration(f.off.Load())) }
	})
}

// set sets both clocks, and gives the hub's server a certificate of its time.
func (f *fleet) set(t *testing.T, hub, spoke time.Duration) {
	t.Helper()
	f.hub.off.Store(int64(hub))
	f.off.Store(int64(spoke))
	f.certify(t)
}

// kept is the certificate in the drawer.
func (f *fleet) kept(t *testing.T) *x509.Certificate {
	t.Helper()
	entries, _ := f.Load(context.Background())
	chain, err := identity.ParseCertificates(entries["tls.crt"])
	if err != nil {
		t.Fatal(err)
	}
	return chain[0]
}

// renewedOnce reports whether a first renewal is over.
func (f *fleet) renewedOnce() bool {
	f.hub.mu.Lock()
	defer f.hub.mu.Unlock()
	return f.renewals >= 2
}

func contains(err error, part string) bool { return strings.Contains(err.Error(), part) }

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.After(patience); !holds(); {
		select {
		case <-deadline:
			t.Fatal("not " + what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// TestClock sets the clock of either side wrong. While they differ there is no session and the reason is clear; nothing
// that the spoke has is lost; when they are right there is a session, without anybody's doing.
func TestClock(t *testing.T) {
	for name, off := range map[string]struct{ hub, spoke time.Duration }{
		"hub_year_ahead":    {hub: year},
		"hub_year_behind":   {hub: -year},
		"spoke_year_ahead":  {spoke: year},
		"spoke_year_behind": {spoke: -year},
	} {
		for _, joined := range []bool{true, false} {
			if !joined {
				name += "_new"
			}
			t.Run(name, func(t *testing.T) {
				f := newFleet(t)
				if joined {
					stop := run(t, f.session())
					next(t, f.hellos, "hello")
					stop()
				}
				tokens := len(f.tokens)
				f.set(t, off.hub, off.spoke)
				_, err := f.session().once(t.Context())
				if err == nil {
					t.Fatal("there is a session")
				}
				here := time.Now().Add(off.spoke).UTC().Format("2006-01-02")
				for _, part := range []string{"it holds from 20", "and it is " + here, "set the clock"} {
					if !contains(err, part) {
						t.Errorf("the error lacks %q: %v", part, err)
					}
				}
				if len(f.tokens) != tokens {
					t.Error("the join token was shown to a hub of another time")
				}
				f.set(t, 0, 0)
				s := f.session()
				run(t, s)
				next(t, f.hellos, "hello with the right clocks")
			})
		}
	}
}

// TestClock_hub_judges: a hub whose clock went wrong while its own certificate is still good refuses the spoke's by an
// alert, which says little; the spoke says more.
func TestClock_hub_judges(t *testing.T) {
	f := newFleet(t)
	stop := run(t, f.session())
	next(t, f.hellos, "hello")
	stop()
	f.hub.off.Store(int64(year))
	var err error
	until(t, "refused by an alert", func() bool { // a reset may overtake the alert
		_, err = f.session().once(t.Context())
		return err == nil || contains(err, "remote error: tls: ")
	})
	for _, part := range []string{"which holds from 20", "if a clock is wrong", "nave cluster add prod"} {
		if err == nil || !contains(err, part) {
			t.Errorf("the error lacks %q: %v", part, err)
		}
	}
	f.hub.off.Store(0)
	run(t, f.session())
	next(t, f.hellos, "hello with the right clock")
}

// TestClock_renewal: a certificate that a hub issues whose clock is wrong does not replace the one that is good. The
// next attempt, with the clock right, does.
func TestClock_renewal(t *testing.T) {
	for name, off := range map[string]time.Duration{"hub_year_ahead": year, "hub_year_behind": -year} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			f.ttl = 4 * time.Second
			s := f.session()
			run(t, s)
			next(t, f.hellos, "hello")
			good := f.kept(t)
			f.hub.off.Store(int64(off))
			until(t, "asked for a renewal", f.renewedOnce)
			if !f.kept(t).Equal(good) || !s.Identity.Credential().Certificate().Leaf.Equal(good) {
				t.Errorf("the certificate from %s is replaced by one from %s", good.NotBefore, f.kept(t).NotBefore)
			}
			f.hub.off.Store(0)
			until(t, "renewed", func() bool { return time.Until(s.Identity.Credential().NotAfter()) > time.Minute })
			if len(f.hellos) != 0 {
				t.Error("the session was interrupted")
			}
		})
	}
}

// TestClock_both_ahead: hub and spoke are ahead, as machines of one host may be. A certificate that was issued then has
// not begun when both are right; the one before, or the same join token, lets the spoke in.
func TestClock_both_ahead(t *testing.T) {
	t.Run("renewed", func(t *testing.T) {
		const ahead, life = 20 * time.Second, 30 * time.Second
		f := newFleet(t)
		f.ttl, f.renewedTTL = life, life
		stop := run(t, f.session())
		next(t, f.hellos, "hello")
		stop()
		f.set(t, ahead, ahead)
		stop = run(t, f.session())
		next(t, f.hellos, "hello with both clocks ahead")
		until(t, "renewed", func() bool { return f.kept(t).NotBefore.After(time.Now().Add(ahead / 2)) })
		stop()
		f.set(t, 0, 0)
		registrations := len(f.tokens)
		run(t, f.session())
		next(t, f.hellos, "hello with both clocks right")
		if len(f.tokens) != registrations {
			t.Error("the spoke registered anew")
		}
	})
	t.Run("joined", func(t *testing.T) {
		f := newFleet(t)
		f.set(t, year, year)
		stop := run(t, f.session())
		next(t, f.hellos, "hello with both clocks ahead")
		stop()
		f.set(t, 0, 0)
		run(t, f.session())
		next(t, f.hellos, "hello with both clocks right")
		if len(f.tokens) != 2 || f.tokens[0] != f.tokens[1] {
			t.Errorf("registered with %d requests, want the same one twice", len(f.tokens))
		}
		if begin := f.kept(t).NotBefore; time.Since(begin) < 0 {
			t.Errorf("the certificate begins at %s", begin)
		}
	})
}

// TestClock_look: however a clock was set, and however long a machine was suspended, the certificate is looked at
// within a minute, and a hub is not asked again and again by a spoke whose clock is wrong.
func TestClock_look(t *testing.T) {
	f := newFleet(t)
	f.ttl = 90 * 24 * time.Hour
	s := f.session()
	if err := s.establish(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		off         time.Duration
		due         bool
		least, most time.Duration
	}{
		"right":           {0, false, 0, time.Minute},
		"minutes_behind":  {-4 * time.Minute, false, 0, time.Minute},
		"just_before_due": {45*24*time.Hour - 10*time.Minute, false, 0, time.Minute},
		"suspended":       {60 * 24 * time.Hour, true, time.Second, time.Minute},
		"year_ahead":      {year, true, time.Minute, time.Minute},
		"year_behind":     {-year, true, time.Minute, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			f.off.Store(int64(tt.off))
			if due := s.Identity.Credential().Due(s.Now()); due != tt.due {
				t.Errorf("due: %v", due)
			}
			if wait := s.Identity.UntilRenewal(); wait < tt.least || wait > tt.most {
				t.Errorf("looks again after %s, want %s to %s", wait, tt.least, tt.most)
			}
		})
	}
}
