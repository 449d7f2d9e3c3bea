package faults_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/harness"
)

// What a daemon may have more of after a fault than before.
const (
	moreGoroutines = 8
	moreMemory     = 48 << 20 // bytes; Go gives freed memory back only by and by
)

// passing are goroutines that come and go in a daemon that has settled, such as those of a request.
const passing = 3

// level is how much of the machine a daemon holds.
type level struct{ goroutines, memory float64 }

func (l level) String() string {
	return fmt.Sprintf("%.0f goroutines, %.0f MiB", l.goroutines, l.memory/(1<<20))
}

// levelOf reads a daemon's metrics.
func levelOf(ctx context.Context, p *harness.Process) (level, error) {
	http.DefaultClient.CloseIdleConnections() // an open connection would be two goroutines of the daemon
	goroutines, err := p.Metric(ctx, "go_goroutines")
	if err != nil {
		return level{}, err
	}
	memory, err := p.Metric(ctx, "process_resident_memory_bytes")
	return level{goroutines, memory}, err
}

// settled returns a daemon's lowest level when it had no fewer goroutines, and not many more, for a second.
func settled(t *testing.T, p *harness.Process) (last level) {
	t.Helper()
	since := time.Now()
	eventually(t, 100*time.Millisecond, p.Name+" settles", func(ctx context.Context) error {
		now, err := levelOf(ctx, p)
		if err != nil {
			return err
		}
		if now.goroutines < last.goroutines || now.goroutines > last.goroutines+passing {
			last, since = now, time.Now()
		}
		if time.Since(since) < time.Second {
			return fmt.Errorf("%s", now)
		}
		return nil
	})
	return last
}

// backAt waits until a daemon holds no more than it did before.
func backAt(t *testing.T, p *harness.Process, before level) {
	t.Helper()
	eventually(t, seldom, fmt.Sprintf("%s is back at %s", p.Name, before), func(ctx context.Context) error {
		now, err := levelOf(ctx, p)
		if err == nil && (now.goroutines > before.goroutines+moreGoroutines || now.memory > before.memory+moreMemory) {
			err = fmt.Errorf("it has %s", now)
		}
		return err
	})
}
