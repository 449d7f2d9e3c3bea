package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/wording"
)

const year = 365 * 24 * time.Hour

// TestClock_authority: whatever the clock said when an authority was made, it holds when the clock is right, for years.
func TestClock_authority(t *testing.T) {
	right := time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
	for name, made := range map[string]time.Time{
		"right": right, "year_ahead": right.Add(year), "decade_ahead": right.Add(10 * year), "year_behind": right.Add(-year),
		"no_clock": time.Unix(0, 0),
	} {
		t.Run(name, func(t *testing.T) {
			begin, end := authorityTimes(made)
			if begin.After(right.Add(-year)) || begin.After(made) || end.Before(right.Add(7*year)) || end.Before(made) {
				t.Errorf("made at %s it holds from %s to %s", made, begin, end)
			}
		})
	}
	if a := newAuthority(t); a.Certificate().NotBefore.After(earliest) {
		t.Errorf("a new authority holds from %s", a.Certificate().NotBefore)
	}
}

// TestClock_issue: an authority issues nothing that its own certificate does not cover.
func TestClock_issue(t *testing.T) {
	a := newAuthority(t)
	for name, tt := range map[string]struct {
		now time.Time
		bad bool
	}{
		"right":           {now: time.Now()},
		"year_ahead":      {now: time.Now().Add(year)},
		"year_behind":     {now: time.Now().Add(-year)},
		"before_it_began": {earliest.Add(-time.Second), true},
		"after_its_end":   {a.Certificate().NotAfter.Add(time.Second), true},
	} {
		t.Run(name, func(t *testing.T) {
			a.Now = func() time.Time { return tt.now }
			chain, err := a.Issue(newKey(t).Public(), ID{a.TrustDomain(), Cluster, "a"}, time.Hour, nil, nil)
			if tt.bad {
				if !errors.Is(err, ErrTime) || !strings.Contains(err.Error(), wording.Time(tt.now)) ||
					!strings.Contains(err.Error(), "set the clock") {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			leaf, err := x509.ParseCertificate(chain[0])
			if err != nil {
				t.Fatal(err)
			}
			if at := IssuedAt(leaf); !at.Equal(tt.now.Truncate(time.Second).UTC()) {
				t.Errorf("issued at %s, says %s", tt.now, at)
			}
		})
	}
}

// TestClock_handshake: an end whose clock is wrong, or whose certificate is of a wrong clock, is refused, and says both
// times.
func TestClock_handshake(t *testing.T) {
	a := newAuthority(t)
	at := func(off time.Duration) func() time.Time { return func() time.Time { return time.Now().Add(off) } }
	of := func(off time.Duration, role, name string) *Credential {
		a.Now = at(off)
		defer func() { a.Now = nil }()
		return credentialOf(t, a, role, name)
	}
	for name, tt := range map[string]struct {
		server, client      time.Duration // clocks
		serverCert, ownCert time.Duration // clocks that issued the certificates
		want, also          string
	}{
		"right": {},
		"server_cert_year_ahead": {serverCert: year, want: "verify the hub",
			also: "set the clock of the hub or of this machine"},
		"server_cert_year_behind": {serverCert: -year, want: "verify the hub",
			also: "set the clock of the hub or of this machine"},
		"client_clock_ahead": {client: year, want: "verify the hub",
			also: "set the clock of the hub or of this machine"},
		"client_clock_behind": {client: -year, want: "verify the hub",
			also: "set the clock of the hub or of this machine"},
		"own_cert_year_ahead":  {ownCert: year, want: "own certificate", also: "nave-hub operator-config"},
		"own_cert_year_behind": {ownCert: -year, want: "own certificate", also: "nave-hub operator-config"},
		"both_clocks_ahead":    {server: year, client: year, serverCert: year, ownCert: year},
	} {
		t.Run(name, func(t *testing.T) {
			server := ServerTLS(of(tt.serverCert, Hub, "hub"))
			server.Time = at(tt.server)
			client := ClientTLS(of(tt.ownCert, Operator, "admin"), ID{})
			client.Time = at(tt.client)
			pinned := PinnedClientTLS(a.Pin())
			pinned.Time = client.Time
			address := listen(t, server)
			for which, config := range map[string]*tls.Config{"ClientTLS": client, "PinnedClientTLS": pinned} {
				err := talk(address, config)
				if tt.want == "" || which == "PinnedClientTLS" && tt.ownCert != 0 {
					if err != nil {
						t.Errorf("%s: %v", which, err)
					}
					continue
				}
				for _, part := range []string{tt.want, tt.also, "it holds from 20",
					"and it is " + client.Time().UTC().Format("2006-01-02T")} {
					if err == nil || !strings.Contains(err.Error(), part) {
						t.Errorf("%s: the error lacks %q: %v", which, part, err)
					}
				}
			}
		})
	}
	server := ServerTLS(of(0, Hub, "hub"))
	server.Time = at(2 * time.Hour)
	if err := talk(listen(t, server), ClientTLS(credentialOf(t, a, Cluster, "a"), ID{})); err == nil {
		t.Error("a server lets a certificate in that has ended by its clock")
	}
}

// TestClock_due: a certificate is due from its half-life on, and as long as it has not begun.
func TestClock_due(t *testing.T) {
	c := credentialOf(t, newAuthority(t), Cluster, "a") // for an hour
	for name, tt := range map[string]struct {
		off        time.Duration
		due, holds bool
	}{
		"now": {0, false, true}, "minutes_behind": {-4 * time.Minute, false, true}, "half": {30 * time.Minute, true,
			true}, "ended": {2 * time.Hour, true, false},
		"year_behind": {-year, true, false}, "year_ahead": {year, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now().Add(tt.off)
			if due, err := c.Due(now), c.Check(now); due != tt.due || (err == nil) != tt.holds {
				t.Errorf("due %v, %v", due, err)
			}
		})
	}
	if none := new(Credential); !none.Due(time.Now()) || none.Check(time.Now()) == nil {
		t.Error("no certificate need not be replaced")
	}
}
