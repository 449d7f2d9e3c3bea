package watch

import (
	"testing"
	"time"
)

func at(seconds int) time.Time {
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(seconds) * time.Second)
}

func TestPace_burst(t *testing.T) {
	var p pace
	for i := range burst {
		var when time.Time
		if p, when = p.next(at(i)); !when.IsZero() {
			t.Fatalf("repair %d waits until %s", i+1, when)
		}
	}
	p, when := p.next(at(5))
	if want := at(5).Add(firstPause); !when.Equal(want) {
		t.Fatalf("the sixth waits until %s, want %s", when, want)
	}
	if _, again := p.next(at(6)); !again.Equal(when) {
		t.Errorf("told again while it waits, the time moves to %s", again)
	}
}

func TestPace_doubles(t *testing.T) {
	var p pace
	now := at(0)
	for range burst {
		p, _ = p.next(now)
	}
	want := firstPause
	for range 12 {
		var until time.Time
		p, until = p.next(now)
		if got := until.Sub(now); got != want {
			t.Fatalf("pause of %s, want %s", got, want)
		}
		now = until
		p = p.repaired(now)
		now = now.Add(time.Second) // and it drifts again at once
		want = min(2*want, longestPause)
	}
}

func TestPace_calm(t *testing.T) {
	var p pace
	now := at(0)
	for range burst {
		p, _ = p.next(now)
	}
	p, until := p.next(now)
	p = p.repaired(until)
	if _, when := p.next(until.Add(window + time.Second)); !when.IsZero() {
		t.Errorf("waits until %s after a quiet minute", when)
	}
}

func TestPace_rare(t *testing.T) {
	var p pace
	for i := range 100 {
		var when time.Time
		if p, when = p.next(at(i * 13)); !when.IsZero() {
			t.Fatalf("repair %d waits", i)
		}
	}
}
