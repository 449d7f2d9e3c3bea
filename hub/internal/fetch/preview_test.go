package fetch_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/store"
)

// TestPreview asks for what a Writer would push: it is that of a run, is no run, and changes nothing.
func TestPreview(t *testing.T) {
	play(t, func(h *hub) {
		h.remote.set("https://example.com/a", "a1", nil)
		h.remote.set("", "written", nil)
		h.put(key("", "fleet"))
		h.put(key("", "a"), labelled("a", "yes")...)
		h.putWriter(writerKey(""), "0s", nil)
		h.pass(time.Second)
		h.remote.set("https://example.com/a", "a2", nil)
		h.put(key("", "a"), append(labelled("a", "yes"), requested("now"))...)
		h.pass(time.Second)
		before := h.condition(writerKey(""))
		h.writes()
		for range 20 {
			p, err := h.loop.Preview(h.Context(), writerKey(""))
			if err != nil || p.Checkout != "one" || p.Commits[0].Message != "a=a2" {
				t.Fatalf("got %+v, %v", p, err)
			}
		}
		h.wantWrites("previews only")
		if now := h.condition(writerKey("")); now != before {
			t.Errorf("the condition was %+v, and is %+v", before, now)
		}
		h.remote.set("", "", source.ErrRejected)
		if _, err := h.loop.Preview(h.Context(), writerKey("")); !errors.Is(err, source.ErrRejected) {
			t.Errorf("got %v", err)
		}
	})
}

// TestPreview_refused asks for previews that there cannot be. Each error says why.
func TestPreview_refused(t *testing.T) {
	play(t, func(h *hub) {
		h.remote.set(url, "", source.ErrAuthentication)
		h.putWriter(writerKey("c1"), "0s", nil)
		h.pass(time.Second)
		refused := func(k api.Key, want string) {
			t.Helper()
			if _, err := h.loop.Preview(h.Context(), k); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", k, err, want)
			}
		}
		refused(writerKey("c1"), "there is no GitRepository flux-system/fleet")
		refused(writerKey("c2"), "the hub has not read Writer")
		h.put(key("c1", "fleet"))
		h.pass(time.Second)
		refused(writerKey("c1"), "spec.ref: GitRepository flux-system/fleet: fetch https://")
		refused(key("c1", "fleet"), "writes nothing")
		ctx, cancel := context.WithCancel(h.Context())
		cancel()
		if _, err := h.loop.Preview(ctx, writerKey("c1")); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// TestPreview_suspended shows what a suspended Writer would push.
func TestPreview_suspended(t *testing.T) {
	play(t, func(h *hub) {
		h.remote.set("", "written", nil)
		h.put(key("", "fleet"))
		h.putWriter(writerKey(""), "0s", nil)
		h.update(func(tx *store.Tx) error {
			row, _, err := store.Resources.Get(tx, writerKey("").Path())
			row.Suspended = true
			return errors.Join(err, store.Resources.Put(tx, writerKey("").Path(), row))
		})
		h.pass(time.Second)
		if p, err := h.loop.Preview(h.Context(), writerKey("")); err != nil || p.Checkout != "one" {
			t.Errorf("got %+v, %v", p, err)
		}
	})
}

// TestPreview_shutdown asks for many previews while the loop ends and a fetch is under way: the loop ends after it.
func TestPreview_shutdown(t *testing.T) {
	play(t, func(h *hub) {
		h.remote.deaf, h.remote.slowly = true, map[string]time.Duration{url: time.Second}
		h.remote.set("", "written", nil)
		h.put(key("", "fleet"), every("1h"))
		h.putWriter(writerKey(""), "0s", nil)
		h.pass(time.Minute)
		h.put(key("", "fleet"), every("1h"), requested("now"))
		var asked sync.WaitGroup
		for range 20 {
			asked.Go(func() {
				for range 3000 {
					ctx, end := context.WithTimeout(h.Context(), time.Millisecond)
					_, _ = h.loop.Preview(ctx, writerKey(""))
					<-ctx.Done() // fake time passes only if nobody works
					end()
				}
			})
		}
		h.stop()
		asked.Wait()
		h.start()
	})
}
