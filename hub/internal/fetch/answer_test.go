package fetch_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/internal/store"
)

// TestFetch_answered requests fetches that bring nothing new. The row of the source is written for each request, and
// for nothing else.
func TestFetch_answered(t *testing.T) {
	for name, fails := range map[string]error{"unchanged": nil, "same_failure": errors.New("no such host")} {
		t.Run(name, func(t *testing.T) {
			play(t, func(h *hub) {
				k := key("", "fleet")
				h.remote.set(url, "one", fails)
				h.put(k)
				w := h.store.Watch(h.Context(), store.Sources.Name())
				defer w.Close()
				h.pass(time.Hour)
				if changes := w.Take(); len(changes) > 0 {
					h.Errorf("written without a request: %v", changes)
				}
				h.put(k, requested("now"))
				h.pass(time.Second)
				if changes := w.Take(); len(changes) != 1 {
					h.Errorf("after the request: %v", changes)
				}
				h.pass(time.Hour)
				if changes := w.Take(); len(changes) > 0 {
					h.Errorf("written again: %v", changes)
				}
			})
		})
	}
}

// TestFetch_answered_meanwhile changes the object when a fetch that answers a request has just ended.
func TestFetch_answered_meanwhile(t *testing.T) {
	play(t, func(h *hub) {
		h.stop()
		k := key("", "fleet")
		change := sync.OnceFunc(func() {
			err := h.store.Update(h.Context(), func(tx *store.Tx) error {
				return put(tx, k, every("2h"), requested("now"), generation(2))
			})
			if err != nil {
				h.Error(err)
			}
		})
		var ready atomic.Bool
		h.now = func() time.Time {
			if ready.Load() && h.remote.count() > 0 { // the loop is about to write the result
				change()
			}
			return time.Now()
		}
		h.start()
		h.put(k, every("1h"))
		h.remote.count()
		ready.Store(true)
		h.put(k, every("1h"), requested("now"))
		h.pass(time.Second)
		if o := h.condition(k); o.HandledRequest != "now" || o.ObservedGeneration != 2 {
			h.Errorf("the condition is %+v", o)
		}
	})
}
