package faults_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/e2e/harness"
	"github.com/navefleet/nave/hub"
	naveSpoke "github.com/navefleet/nave/spoke"
)

const year = 365 * 24 * time.Hour

// clock is the clock of a machine.
type clock struct{ off atomic.Int64 }

func (c *clock) now() time.Time        { return time.Now().Add(time.Duration(c.off.Load())) }
func (c *clock) set(off time.Duration) { c.off.Store(int64(off)) }

// page is a log.
type page struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

// after returns what was written after the first so many bytes.
func (p *page) after(n int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()[n:]
}

// testClocks sets the clock of one machine wrong by a year. No process can be given a clock of its own, so hub and
// spoke run in this one, each with the clock that their Config takes. Their goroutines are counted by a label. Their
// memory is that of the process, which the machines of the other clocks share: the bound leaves room for those.
func testClocks(t *testing.T) {
	t.Parallel()
	for name, off := range map[string]struct{ hub, spoke time.Duration }{
		"hub-year-ahead":    {hub: year},
		"hub-year-behind":   {hub: -year},
		"spoke-year-ahead":  {spoke: year},
		"spoke-year-behind": {spoke: -year},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachines(t, name)
			before, memory := m.goroutines(), heap()
			bystander := m.version("bystander")
			m.hubClock.set(off.hub)
			m.spokeClock.set(off.spoke)
			m.wrongClock(off.hub != 0)
			m.hubClock.set(0)
			m.spokeClock.set(0)
			m.arrives("wrong clock")
			m.inSync()
			eventually(t, seldom, fmt.Sprintf("there are %d goroutines again", before), func(context.Context) error {
				if n := m.goroutines(); n > before+moreGoroutines {
					return fmt.Errorf("there are %d", n)
				}
				if now := heap(); now > memory+moreHeap {
					return fmt.Errorf("the heap has %d MiB, it had %d", now>>20, memory>>20)
				}
				return nil
			})
			if now := m.version("bystander"); now != bystander {
				t.Errorf("an object that no commit touched was written: it was %s, now it is %s", bystander, now)
			}
		})
	}
}

// moreHeap is what the machines of all clocks may take, in bytes.
const moreHeap = 96 << 20

// heap is how many bytes of this process are in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// wrongClock commits while a clock is wrong. The spoke refuses the bundle, and keeps repairing with the last one; when
// the connection is lost, each end refuses the other. Every refusal names both times.
func (m *machines) wrongClock(hubIsWrong bool) {
	m.t.Helper()
	here := func(c *clock) string { return "and it is " + c.now().UTC().Format("2006-01-02T") }
	m.commit("wrong clock", nil)
	m.logs(&m.spokeLog, 0, "bundle", "rejected", here(&m.spokeClock),
		"set the clocks of the hub and of this machine right")
	m.repairs("first")
	if hubIsWrong {
		eventually(m.t, seldom, "operators are refused", func(ctx context.Context) error {
			_, err := m.stand.Nave(ctx, "get", "clusters")
			if err == nil || !strings.Contains(err.Error(), "it holds from 20") ||
				!strings.Contains(err.Error(), "set the clock") {
				return fmt.Errorf("they hear: %v", err)
			}
			return nil
		})
	}
	seen := len(m.spokeLog.after(0))
	m.proxy.Cut()
	m.logs(&m.spokeLog, seen, "no session with the hub", "it holds from 20", here(&m.spokeClock),
		"set the clock of the hub or of this machine right")
}

// machines are a hub and a spoke in this process, with a clock each.
type machines struct {
	*spoke
	hubClock, spokeClock clock
	hubLog, spokeLog     page
}

func newMachines(t *testing.T, name string) *machines {
	t.Helper()
	m := &machines{}
	dir := t.TempDir()
	git, err := gittest.Start(gittest.Options{Dir: filepath.Join(dir, "git")})
	must(t, err)
	t.Cleanup(func() { must(t, git.Close()) })
	repository, err := git.NewRepository("fleet")
	must(t, err)
	f := &harness.Fleet{Dir: dir, Git: git, Repo: repository, Lab: lab}
	h, err := hub.New(t.Context(), hub.Config{
		DataDir: filepath.Join(dir, "hub"), Listen: "127.0.0.1:0", HTTPListen: "127.0.0.1:0",
		AllowSourceAddresses: []string{"127.0.0.0/8"},
		Now:                  m.hubClock.now, Log: slog.New(slog.NewTextHandler(&m.hubLog, nil)),
	})
	must(t, err)
	m.run(t, name, "hub", &m.hubLog, h.Run)
	_, err = repository.Commit(map[string]string{"hub/fleet.yaml": rootFleet}, "the fleet begins")
	must(t, err)
	_, err = f.Nave(t.Context(), "bootstrap", "--url="+repository.URL(), "--branch=main", "--path=hub", "--interval=2s")
	must(t, err)
	m.spoke = &spoke{t: t, stand: &stand{Fleet: f}, name: name}
	m.spoke.prepare()
	config := naveSpoke.Config{
		JoinTokenFile: filepath.Join(m.Dir, "token"), StateDir: filepath.Join(m.Dir, "state"),
		Kubeconfig: filepath.Join(m.Dir, "kubeconfig"), Namespace: m.own(), HTTPListen: "127.0.0.1:0",
		Now: m.spokeClock.now, Log: slog.New(slog.NewTextHandler(&m.spokeLog, nil)),
	}
	config.ConfigDir = filepath.Join(m.Dir, "config")
	s, err := naveSpoke.New(config)
	must(t, err)
	m.run(t, name, "spoke", &m.spokeLog, s.Run)
	m.arrives("first")
	m.inSync()
	return m
}

// run runs a daemon until the test ends. Its goroutines carry the test's name.
func (m *machines) run(t *testing.T, name, what string, log *page, daemon func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go pprof.Do(ctx, pprof.Labels("machines", name), func(ctx context.Context) { ended <- daemon(ctx) })
	t.Cleanup(func() {
		cancel()
		must(t, <-ended)
		if t.Failed() {
			text := log.after(0)
			t.Logf("the %s said last:\n%s", what, text[max(0, len(text)-6000):])
		}
	})
}

// labelled finds in a profile how many goroutines have a stack in common, and the name of their machines.
var labelled = regexp.MustCompile(`(?m)^(\d+) @ .*\n# labels: {"machines":"([^"]*)"}`)

// goroutines counts those of the two daemons, when they did not change for a moment.
func (m *machines) goroutines() int {
	m.t.Helper()
	last, since := 0, time.Now()
	eventually(m.t, often, "the goroutines settle", func(context.Context) error {
		var profile bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
			return err
		}
		n := 0
		for _, stack := range labelled.FindAllStringSubmatch(profile.String(), -1) {
			if count, err := strconv.Atoi(stack[1]); err == nil && stack[2] == m.name {
				n += count
			}
		}
		if n != last {
			last, since = n, time.Now()
		}
		if time.Since(since) < time.Second || n == 0 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
	return last
}

// logs waits until a line of a log, after the first so many bytes, has all these parts.
func (m *machines) logs(log *page, from int, parts ...string) {
	m.t.Helper()
	eventually(m.t, often, fmt.Sprintf("a line says %q", parts), func(context.Context) error {
		text := log.after(from)
		for line := range strings.Lines(text) {
			missing := 0
			for _, part := range parts {
				if !strings.Contains(line, part) {
					missing++
				}
			}
			if missing == 0 {
				return nil
			}
		}
		return fmt.Errorf("it says: %s", text[max(0, len(text)-2000):])
	})
}
