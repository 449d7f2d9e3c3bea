package agent

import (
	"sync/atomic"
	"testing"
	"time"
)

// TestClock offers a bundle to a spoke whose clock is wrong. The bundle is rejected once, with both times, and is
// applied when the clock is right, although the hub does not offer it again.
func TestClock(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for name, tt := range map[string]struct {
		off  time.Duration
		says string
	}{
		"year_ahead":  {year, "expired at "},
		"year_behind": {-year, "issued in the future, at "},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			var offset atomic.Int64 // of the spoke's clock
			judged := make(chan struct{}, 64)
			r.now = func() time.Time {
				judged <- struct{}{}
				return time.Now().Add(time.Duration(offset.Load()))
			}
			offset.Store(int64(tt.off))
			r.start(t)
			r.hub.send(r.hub.sign(t, 1, application("apps", r.hub.object(t, "ConfigMap", "a", nil))))
			r.hub.expect(t, "1 rejected: bundle 1.1: "+tt.says)
			for range 3 { // the third time, the second is over
				<-judged
			}
			r.hub.silent(t)
			if r.cluster.has("a") != nil {
				t.Fatal("the bundle was applied by a wrong clock")
			}
			offset.Store(0)
			r.hub.expect(t, "1 received", "1 healthy")
			if r.cluster.has("a") == nil {
				t.Error("the object is not in the cluster")
			}
		})
	}
}
