package hub_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/navefleet/nave/hub"
	"github.com/navefleet/nave/hub/operatorconfig"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/identity"
)

const year = 365 * 24 * time.Hour

// clock is a clock that a test sets.
type clock struct{ off atomic.Int64 }

func (c *clock) now() time.Time        { return time.Now().Add(time.Duration(c.off.Load())) }
func (c *clock) set(off time.Duration) { c.off.Store(int64(off)) }

// page is a log that a test reads.
type page struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// wait waits until the page has a text.
func (p *page) wait(t *testing.T, part string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for ; !strings.Contains(p.String(), part); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the log lacks %q:\n%s", part, p)
		}
	}
}

// startAt runs a hub with a clock of its own.
func startAt(t *testing.T, dir string, c *clock, log *page) *hub.Hub {
	t.Helper()
	h, err := hub.New(t.Context(), hub.Config{
		DataDir: dir, Listen: "127.0.0.1:0", HTTPListen: "127.0.0.1:0", SpokeImage: "spoke:test", Now: c.now,
		Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-ended)
	})
	return h
}

// ask calls the hub as its first operator does, with the file as it is now.
func ask(t *testing.T, h *hub.Hub) error {
	t.Helper()
	c, err := operatorconfig.Load(h.OperatorConfig())
	must(t, err)
	x, err := c.Context("")
	must(t, err)
	config, err := x.TLS()
	must(t, err)
	r := &rig{Hub: h, t: t}
	_, err = adminv1.NewAdminServiceClient(r.dial(config)).GetVersion(t.Context(), &adminv1.GetVersionRequest{})
	return err
}

// askUntil calls ask until its error is good. what names the expected answer in messages.
func askUntil(t *testing.T, h *hub.Hub, what string, good func(error) bool) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = ask(t, h); good(err) {
			return
		}
	}
	t.Fatalf("%s: in vain: the last answer is %v", what, err)
}

// TestClock starts a new hub with a wrong clock. Callers with a right clock are refused with a message that has both
// times. Soon after the clock is right they are admitted, by certificates of the right time, without a restart.
func TestClock(t *testing.T) {
	for name, off := range map[string]time.Duration{"year_ahead": year, "year_behind": -year} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c clock
			c.set(off)
			h := startAt(t, t.TempDir(), &c, &page{})
			err := ask(t, h)
			if err == nil {
				t.Fatal("a hub of another time is believed")
			}
			for _, part := range []string{"it holds from 20", time.Now().UTC().Format("2006-01-02T"),
				"set the clock of the hub or of this machine right"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error lacks %q: %v", part, err)
				}
			}
			c.set(0)
			askUntil(t, h, "with the right clock", func(err error) bool { return err == nil })
			conn, err := tls.Dial("tcp", h.Addr().String(), &tls.Config{InsecureSkipVerify: true})
			must(t, err)
			defer conn.Close()
			if at := identity.IssuedAt(conn.ConnectionState().PeerCertificates[0]); time.Since(at).Abs() > time.Minute {
				t.Errorf("the server's certificate is of %s, now is %s", at, time.Now())
			}
		})
	}
}

// TestClock_set sets the clock of a running hub. While the clock is wrong, callers with good certificates are refused,
// and the hub's log has both times. When the clock is right, they are admitted again.
func TestClock_set(t *testing.T) {
	for name, off := range map[string]time.Duration{"year_ahead": year + 24*time.Hour, "year_behind": -year} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c clock
			var log page
			h := startAt(t, t.TempDir(), &c, &log)
			must(t, ask(t, h))
			c.set(off)
			if err := ask(t, h); err == nil {
				t.Fatal("a certificate is believed that does not hold by this clock")
			}
			wrong := c.now().UTC().Format("2006-01-02T")
			log.wait(t, "a certificate is refused")
			log.wait(t, "and it is "+wrong)
			askUntil(t, h, "for a certificate of the wrong time", func(err error) bool {
				return err != nil && strings.Contains(err.Error(), "it holds from "+c.now().UTC().Format("2006"))
			})
			c.set(0)
			askUntil(t, h, "with the right clock", func(err error) bool { return err == nil })
		})
	}
}
