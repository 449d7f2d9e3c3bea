package faults_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/harness"
)

// What a daemon may have more of after a fault than before.
const (
	moreGoroutines = 8
	moreMemory     = 48 << 20 // bytes; Go gives freed memory back only by and by
)

// level is how much of the machine a daemon holds.
type level struct{ goroutines, memory float64 }

func (l level) String() string {
	return fmt.Sprintf("%.0f goroutines, %.0f MiB", l.goroutines, l.memory/(1<<20))
}

// levelOf reads a daemon's metrics.
func levelOf(ctx context.Context, p *harness.Process) (level, error) {
	values, err := metrics(ctx, p)
	return level{values["go_goroutines"], values["process_resident_memory_bytes"]}, err
}

// metrics returns the sums of all metrics of a daemon over their labels.
func metrics(ctx context.Context, p *harness.Process) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.HTTP+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	request.Close = true // an open connection would be two goroutines of the daemon
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	values := map[string]float64{}
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		i := strings.LastIndexByte(lines.Text(), ' ')
		if i < 0 || strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		v, err := strconv.ParseFloat(lines.Text()[i+1:], 64)
		if err != nil {
			return nil, err
		}
		name, _, _ := strings.Cut(lines.Text()[:i], "{")
		values[name] += v
	}
	return values, nil
}

// settled returns a daemon's level when its goroutines did not change for a second.
func settled(t *testing.T, p *harness.Process) (last level) {
	t.Helper()
	since := time.Now()
	eventually(t, 100*time.Millisecond, p.Name+" settles", func(ctx context.Context) error {
		now, err := levelOf(ctx, p)
		if err != nil {
			return err
		}
		if now.goroutines != last.goroutines {
			since = time.Now()
		}
		if last = now; time.Since(since) < time.Second {
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
