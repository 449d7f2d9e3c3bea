package fetch_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// pushOnce has a Writer that has pushed the commit main@sha1:1 in its first run.
func pushOnce(h *hub) {
	h.remote.set(url, "main@sha1:0", nil)
	h.remote.set("", "main@sha1:1", nil)
	h.remote.set("https://example.com/a", "1", nil)
	h.remote.slowly = map[string]time.Duration{"": time.Second}
	h.put(key("", "fleet"))
	h.put(key("", "a"), labelled("a", "yes")...)
	h.putWriter(writerKey(""), "0s", nil)
	h.pass(500 * time.Millisecond)
	h.writes()
	h.remote.set(url, "main@sha1:1", nil)
	h.pass(time.Second)
}

// TestWrites_person has a Writer that has pushed: it does not run for its own commit, but at once for one of a person.
func TestWrites_person(t *testing.T) {
	play(t, func(h *hub) {
		pushOnce(h)
		h.pass(20 * time.Minute)
		h.wantWrites("after its own commit")
		for i := range 3 {
			h.remote.set(url, fmt.Sprint("main@sha1:person", i), nil)
			h.pass(2 * time.Minute)
			h.wantWrites("after a commit of a person", "a=1")
		}
	})
}

// TestWrites_others has a Writer whose commits somebody else's automation answers: after some answers it waits for its
// interval, and says which revision waits until when.
func TestWrites_others(t *testing.T) {
	play(t, func(h *hub) {
		pushOnce(h)
		for i := range 20 {
			h.remote.set("", fmt.Sprint("main@sha1:mine", i), nil)
			h.remote.set(url, fmt.Sprint("main@sha1:theirs", i), nil)
			h.pass(2 * time.Minute)
		}
		if n := len(h.writes()); n < 2 || n > 3 {
			t.Errorf("%d answers in an interval", n)
		}
		if c := h.condition(writerKey("")); !strings.Contains(c.Message, "revision 'main@sha1:theirs19' waits until ") {
			t.Errorf("condition %+v", c)
		}
		h.pass(time.Hour)
		if c := h.condition(writerKey("")); strings.Contains(c.Message, "waits until") {
			t.Errorf("after the interval: %+v", c)
		}
	})
}
