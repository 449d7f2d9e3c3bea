package dispatch

import (
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
)

// TestCertificateEnds warns once of a certificate of which less than a third of its life is left. A renewal ends that.
func TestCertificateEnds(t *testing.T) {
	const day = 24 * time.Hour
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := start
	r := &rig{t: t, store: store.OpenMemory(store.Twice)}
	s := New(Config{Store: r.store, Now: func() time.Time { return now }})
	r.cluster("a", false)
	issue := func(at time.Time) {
		r.spoke("a", func(row *store.Spoke) {
			row.CertificateIssued, row.CertificateExpiry, row.Expiring = at, at.Add(90*day), false
		})
	}
	issue(start)
	for _, c := range []struct {
		day    time.Duration
		events int
		is     bool
	}{{50, 0, false}, {61, 1, true}, {62, 1, true}, {95, 1, true}} {
		now = start.Add(c.day * day)
		must(t, s.noteExpiring(t.Context()))
		if n := r.events(condition.CertificateEnds); n != c.events {
			t.Errorf("day %d: %d events, want %d", c.day, n, c.events)
		}
		r.awaitSpoke("a", "noted", func(row store.Spoke) bool { return row.Expiring == c.is })
	}
	e := r.awaitEvent(condition.CertificateEnds)
	if e.Type != condition.Warning || !strings.Contains(e.Message, "ends at 2026-04-01T00:00:00Z and was not renewed") {
		t.Errorf("event %+v", e)
	}
	issue(now)
	must(t, s.noteExpiring(t.Context()))
	r.awaitSpoke("a", "renewed", func(row store.Spoke) bool { return !row.Expiring })
}

// TestCertificateEnds_refused does not warn of a certificate that an operator does not accept any more.
func TestCertificateEnds_refused(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := &rig{t: t, store: store.OpenMemory(store.Twice)}
	s := New(Config{Store: r.store, Now: func() time.Time { return now }})
	r.cluster("blocked", true)
	r.cluster("ended", false)
	for name, registration := range map[string]string{"blocked": "first", "ended": store.Ended} {
		r.spoke(name, func(row *store.Spoke) { row.CertificateExpiry, row.Registration = now, registration })
	}
	must(t, s.noteExpiring(t.Context()))
	if n := r.events(condition.CertificateEnds); n != 0 {
		t.Errorf("%d events", n)
	}
	r.cluster("blocked", false)
	must(t, s.noteExpiring(t.Context()))
	if n := r.events(condition.CertificateEnds); n != 1 {
		t.Errorf("%d events after the end of the block, want 1", n)
	}
}
