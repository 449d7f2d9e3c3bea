package fetch_test

import (
	"slices"
	"testing"
	"time"
)

// wantEvents checks the events since there were seen, and returns how many there are.
func (h *hub) wantEvents(when string, seen int, want ...string) int {
	h.Helper()
	all := h.events()
	if got := all[seen:]; !slices.Equal(got, want) {
		h.Errorf("%s: %q, want %q", when, got, want)
	}
	return len(all)
}

// TestEvents_notice has a source that stays ready, and whose message comes to say what the user should know.
func TestEvents_notice(t *testing.T) {
	play(t, func(h *hub) {
		const by = "/GitRepository/flux-system/fleet "
		h.remote.set(url, "one", nil)
		h.put(key("", "fleet"))
		h.pass(time.Second)
		seen := h.wantEvents("first", 0, by+"Normal NewArtifact")
		for _, notice := range []string{"1 marker", "2 markers"} {
			h.remote.become(map[string]string{url: notice}, false)
			h.pass(10 * time.Minute)
			seen = h.wantEvents(notice, seen, by+"Warning Notice")
		}
		h.remote.become(nil, false)
		h.pass(10 * time.Minute)
		h.wantEvents("without a notice", seen, by+"Normal GitOperationSucceeded")
	})
}

// TestEvents_acted has a Writer that does something without a push, such as to open a pull request.
func TestEvents_acted(t *testing.T) {
	play(t, func(h *hub) {
		h.remote.set("", "pushed", nil)
		h.put(key("", "fleet"), every("10h"))
		h.putWriter(writerKey(""), "0s", nil)
		h.pass(time.Second)
		seen := len(h.events())
		h.pass(90 * time.Minute)
		h.wantEvents("after a run that did nothing", seen)
		h.remote.become(nil, true)
		h.pass(time.Hour)
		h.wantEvents("after a run that did something", seen, "/Writer/flux-system/writer Normal Succeeded")
	})
}
