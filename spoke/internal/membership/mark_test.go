package membership

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/navefleet/nave/shared/bundle"
)

const (
	received = bundle.Received
	applied  = bundle.Applied
)

// deaf is a session that notes what it is to acknowledge.
type deaf struct{ acks []string }

func (d *deaf) acknowledge(id bundle.ID, stage bundle.Stage) {
	d.acks = append(d.acks, fmt.Sprintf("%d %d", id.Sequence, stage))
}

func number(sequence uint64) bundle.ID { return bundle.ID{Epoch: 1, Sequence: sequence} }

func TestMarker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, hold := &deaf{}, make(chan error)
		var saved []uint64
		save := func(_ context.Context, m Marks) error {
			if err := <-hold; err != nil {
				return err
			}
			saved = append(saved, m["one"].Sequence)
			if m["other"] != number(9) {
				t.Error("the mark of another hub is lost")
			}
			return nil
		}
		m := NewMarker(
			"one",
			Marks{"one": number(3), "other": number(9)},
			save,
			hub.acknowledge,
			slog.New(slog.DiscardHandler),
		)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { m.Run(ctx) })
		expect := func(what string, acks ...string) {
			t.Helper()
			synctest.Wait()
			if !slices.Equal(hub.acks, acks) {
				t.Errorf("%s: acknowledged %v, want %v", what, hub.acks, acks)
			}
		}
		m.Progress(number(3), applied)
		expect("what is saved already", "3 2")
		m.Progress(number(4), received)
		expect("not before it is saved", "3 2")
		hold <- errors.New("the API server is away")
		expect("not when it could not be saved", "3 2")
		m.Progress(number(4), applied)
		hold <- nil
		expect("the latest stage, once it is saved", "3 2", "4 2")
		m.Progress(number(5), received)
		synctest.Wait()
		time.Sleep(markPause + markDelay)
		synctest.Wait() // until it is being saved
		m.Progress(number(6), received)
		m.Progress(number(7), received)
		hold <- nil
		expect("a bundle that another replaced", "3 2", "4 2")
		hold <- nil
		expect("the newest one", "3 2", "4 2", "7 1")
		time.Sleep(markPause)
		m.Progress(number(8), received)
		before := time.Now()
		time.Sleep(markDelay / 2)
		m.Progress(number(8), applied)
		hold <- nil
		expect("what is applied", "3 2", "4 2", "7 1", "8 2")
		if waited := time.Since(before); waited != markDelay/2 {
			t.Errorf("it was saved after %s", waited)
		}
		if !slices.Equal(saved, []uint64{4, 5, 7, 8}) {
			t.Errorf("saved %v", saved)
		}
		cancel()
		running.Wait()
	})
}

func TestNewMarker_without_log(t *testing.T) {
	if m := NewMarker("one", nil, nil, nil, nil); m.log != slog.Default() {
		t.Error("it does not log to slog.Default")
	}
}
