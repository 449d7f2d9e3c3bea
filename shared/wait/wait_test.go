package wait

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := For(t.Context(), time.Hour); err != nil || time.Since(began) != time.Hour {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		cause := errors.New("cause")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(cause) })
		if err := For(ctx, time.Hour); !errors.Is(err, cause) || time.Since(began) != time.Hour+time.Minute {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

func TestSignal(t *testing.T) {
	s := NewSignal()
	s.Raise()
	s.Raise()
	<-s
	select {
	case <-s:
		t.Error("raised twice before it was received, it woke up twice")
	default:
	}
	s.Raise()
	if err := s.Wait(t.Context()); err != nil {
		t.Errorf("a raised signal: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("cause")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		if err := NewSignal().Wait(ctx); !errors.Is(err, cause) {
			t.Errorf("%v, want the cause", err)
		}
	})
}

func TestBackoff(t *testing.T) {
	const second = time.Second
	spread := func(share, chance float64) Backoff {
		return Backoff{First: 2 * second, Most: 8 * second, Spread: share, Chance: func() float64 { return chance }}
	}
	for name, test := range map[string]struct {
		backoff Backoff
		want    []time.Duration // in seconds
	}{
		"zero":           {Backoff{}, []time.Duration{0, 0}},
		"doubles":        {Backoff{First: second, Most: 5 * second}, []time.Duration{1, 2, 4, 5, 5}},
		"first_too_long": {Backoff{First: 9 * second, Most: 5 * second}, []time.Duration{5, 5}},
		"half_least":     {spread(.5, 0), []time.Duration{1, 2, 4, 4}},
		"half_most":      {spread(.5, 1), []time.Duration{2, 4, 8, 8}},
		"full_least":     {spread(1, 0), []time.Duration{0, 0}},
		"full_middle":    {spread(1, .5), []time.Duration{1, 2, 4, 4}},
		"full_most":      {spread(1, 1), []time.Duration{2, 4, 8, 8}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := test.backoff
				for range 2 { // again after Reset
					for i, want := range test.want {
						began := time.Now()
						if err := b.Pause(t.Context()); err != nil || time.Since(began) != want*second {
							t.Errorf("pause %d takes %s, %v; want %s", i, time.Since(began), err, want*second)
						}
						if got := b.After(i + 1); got != want*second {
							t.Errorf("After(%d) is %s, want %s", i+1, got, want*second)
						}
					}
					b.Reset()
				}
			})
		})
	}
}

func TestBackoff_by_chance(t *testing.T) {
	b := Backoff{First: time.Minute, Most: time.Hour, Spread: .5}
	seen := map[time.Duration]bool{}
	for range 20 {
		pause := b.After(1)
		if pause < b.First/2 || pause > b.First {
			t.Errorf("a pause of %s", pause)
		}
		seen[pause] = true
	}
	if len(seen) < 2 {
		t.Error("all pauses are equal")
	}
}

func TestBackoff_ends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("cause")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		began := time.Now()
		b := Backoff{First: time.Hour, Most: time.Hour}
		if err := b.Pause(ctx); !errors.Is(err, cause) || time.Since(began) != time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}
