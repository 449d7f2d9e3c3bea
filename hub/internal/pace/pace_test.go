package pace

import (
	"fmt"
	"testing"
	"time"
)

func TestPaces(t *testing.T) {
	p, now := New(1, 3), time.Now()
	for i, step := range []struct {
		name  string
		n     int
		after time.Duration
		allow bool
	}{
		{"a", 2, 0, true}, {"a", 2, 0, false}, {"a", 1, 0, true}, {"b", 3, 0, true}, {"a", 1, time.Second, true},
		{"a", 1, time.Second, false}, {"a", 4, time.Hour, false},
	} {
		if got := p.Allow(step.name, step.n, now.Add(step.after)); got != step.allow {
			t.Errorf("step %d: %v", i, got)
		}
	}
	for i, step := range []struct{ n, want int }{{2, 2}, {2, 1}, {1, 0}} {
		if got := p.Take("c", step.n, now); got != step.want {
			t.Errorf("take %d: %d, want %d", i, got, step.want)
		}
	}
}

// TestForget checks that only names with full buckets are forgotten.
func TestForget(t *testing.T) {
	p, now := New(1, 1), time.Now()
	p.Allow("busy", 1, now.Add(time.Hour))
	for i := range 3 * minForget {
		p.Allow(fmt.Sprint(i), 1, now.Add(time.Duration(i)*time.Second))
	}
	if n := len(p.byName); n > minForget {
		t.Errorf("%d are remembered", n)
	}
	if p.Allow("busy", 1, now.Add(time.Hour)) {
		t.Error("one that is not at rest is forgotten")
	}
}
