package faults_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/faults/proxy"
)

// fault is one way in which something between or under a hub and a spoke fails.
type fault struct {
	play    func(*spoke)
	prepare func(*spoke) // before the spoke starts; nil: nothing
}

// lineFaults are the faults that leave the hub alone, so that they can share one.
var lineFaults = map[string]fault{
	"latency":         {play: latency},
	"loss":            {play: loss},
	"narrow":          {play: narrow},
	"black-hole":      {play: blackHole},
	"half-open":       {play: halfOpen},
	"unreachable":     {play: unreachable},
	"frozen":          {play: frozen},
	"reset-mid-chunk": {play: resetMidChunk},
	"outage":          {play: outage},

	"kill-before-apply": {killBeforeApply, (*spoke).interpose},
	"kill-in-apply":     {killInApply, (*spoke).interpose},
	"kill-in-prune":     {killInPrune, (*spoke).interpose},
}

// testLine spoils the line between a hub and its spokes, and kills spokes. All share the hub, whose level is held to
// after the last.
func testLine(t *testing.T) {
	t.Parallel()
	s := newStand(t, lab, t.TempDir())
	before := settled(t, s.Hub)
	t.Run("faults", func(t *testing.T) {
		for name, f := range lineFaults {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := s.join(t, name, f.prepare)
				p.hold(func() { f.play(p) })
				must(t, p.Stop())
			})
		}
	})
	backAt(t, s.Hub, before)
}

// testNarrowBlob: 64 kbit/s, over which one object takes more than a minute. The commit arrives, over the same
// connection. The hub is one of its own: what others commit would be offered meanwhile.
func testNarrowBlob(t *testing.T) {
	t.Parallel()
	s := newStand(t, lab, t.TempDir())
	p := s.join(t, "narrow-blob", nil)
	before := settled(t, s.Hub)
	p.hold(func() {
		opened := p.proxy.Opened()
		p.proxy.Set(proxy.Faults{Rate: 8_000})
		p.push("one blob", map[string]string{"noise.yaml": p.noise("noise", 700_000)})
		eventuallyIn(t, 2*patience, often, "the cluster has one blob",
			func(ctx context.Context) error { return p.has(ctx, "app", "one blob") })
		if n := p.proxy.Opened(); n != opened {
			t.Errorf("%d connections were made meanwhile", n-opened)
		}
	})
	backAt(t, s.Hub, before)
}

// hold plays a fault, lifts it, and holds the spoke to what it was before: in sync, no more goroutines and memory, and
// the object that no commit touched as it was.
func (p *spoke) hold(fault func()) {
	p.t.Helper()
	before, bystander := settled(p.t, p.Process), p.version("bystander")
	fault()
	p.proxy.Clear()
	p.inSync()
	backAt(p.t, p.Process, before)
	if now := p.version("bystander"); now != bystander {
		p.t.Errorf("an object that no commit touched was written: it was %s, now it is %s", bystander, now)
	}
}

// noise is a file with a ConfigMap of so many bytes that cannot be compressed.
func (p *spoke) noise(name string, size int) string {
	random := make([]byte, size*3/4)
	_, _ = rand.Read(random) // never fails
	return p.configMap(name, base64.StdEncoding.EncodeToString(random))
}

// latency: half a second each way. The commit arrives.
func latency(p *spoke) {
	p.proxy.Set(proxy.Faults{Latency: 500 * time.Millisecond})
	p.push("late", nil)
	p.arrives("late")
	p.inSync()
}

// loss: one segment in a hundred is lost and sent again, in both directions, a second later. The commit arrives.
func loss(p *spoke) {
	p.proxy.Set(proxy.Faults{Loss: 0.01, Resend: time.Second})
	passed := p.proxy.Passed(proxy.ToClient)
	p.push("lossy", map[string]string{"noise.yaml": p.noise("noise", 500_000)})
	p.arrives("lossy")
	if n := p.proxy.Passed(proxy.ToClient) - passed; n < 300_000 {
		p.t.Errorf("only %d bytes came over the line", n)
	}
}

// narrow: 64 kbit/s. The commit arrives, late.
func narrow(p *spoke) {
	p.proxy.Set(proxy.Faults{Rate: 8_000})
	files := map[string]string{}
	for i := range 8 {
		name := fmt.Sprintf("noise-%d", i)
		files[name+".yaml"] = p.noise(name, 20_000)
	}
	start := time.Now()
	p.push("narrow", files)
	p.arrives("narrow")
	if d := time.Since(start); d < 10*time.Second {
		p.t.Errorf("it came after %s, too soon for such a line", d)
	}
}

// blackHole: nothing passes for five seconds. The session survives, and the commit arrives after them.
func blackHole(p *spoke) {
	opened := p.proxy.Opened()
	p.proxy.Set(proxy.Faults{Hold: [2]bool{true, true}})
	p.push("black hole", nil)
	lifted := time.AfterFunc(5*time.Second, p.proxy.Clear)
	defer lifted.Stop()
	p.arrives("black hole")
	if n := p.proxy.Opened(); n != opened {
		p.t.Errorf("%d connections were made meanwhile", n-opened)
	}
}

// halfOpen: the other end is gone and neither hears of it. The spoke finds out by itself and calls again; the hub lets
// the new session take over, and the commit arrives over it.
func halfOpen(p *spoke) {
	opened := p.proxy.Opened()
	p.proxy.Vanish()
	p.push("half open", nil)
	p.arrives("half open")
	if p.proxy.Opened() == opened {
		p.t.Error("it arrived over a line on which nothing passes")
	}
}

// noticed is within which time the hub tells that a spoke does not answer.
const noticed = 45 * time.Second

// unreachable: nothing passes any more, and nobody hears of it. The hub tells it in time, and since when.
func unreachable(p *spoke) {
	p.proxy.Set(proxy.Faults{Refuse: true})
	p.proxy.Vanish()
	p.offline()
}

// frozen: the spoke runs and does not answer. The hub tells it in time; the spoke comes back by itself.
func frozen(p *spoke) {
	must(p.t, p.Freeze())
	defer func() { must(p.t, p.Thaw()) }()
	p.offline()
	out, err := p.stand.Nave(p.t.Context(), "reconcile", "cluster", p.name)
	if err == nil || !strings.Contains(err.Error()+out, "offline") {
		p.t.Errorf("nave reconcile ended with %v: %s", err, out)
	}
}

// offline waits until the hub says that the spoke is not connected, and when it was last heard from.
func (p *spoke) offline() {
	p.t.Helper()
	began := time.Now()
	eventuallyIn(p.t, noticed, often, "the cluster is offline", func(ctx context.Context) error {
		text, err := p.stand.Nave(ctx, "describe", "cluster", p.name)
		if err == nil && !strings.Contains(text, "last heard from at") {
			err = errors.New(text)
		}
		return err
	})
	p.t.Logf("noticed after %s", time.Since(began))
}

// resetMidChunk: the connection is reset three times in the middle of a blob. The commit arrives over the fourth.
func resetMidChunk(p *spoke) {
	opened := p.proxy.Opened()
	p.proxy.Reset(proxy.ToClient, 150_000, 3)
	p.push("reset", map[string]string{"noise.yaml": p.noise("noise", 700_000)})
	p.arrives("reset")
	if n := p.proxy.Opened(); n < opened+3 {
		p.t.Errorf("%d connections were made meanwhile, want three at least", n-opened)
	}
}

// outage: the hub cannot be reached. The spoke goes on repairing with what it has; the commit arrives once it can be.
func outage(p *spoke) {
	p.proxy.Set(proxy.Faults{Refuse: true})
	p.proxy.Cut()
	p.push("outage", nil)
	p.repairs("first")
	p.says("connection reset by peer")
	p.proxy.Clear()
	p.arrives("outage")
}
