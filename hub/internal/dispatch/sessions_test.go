package dispatch

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestSessions_silentFor finds the sessions that said nothing for too long. It measures durations and reads no clock:
// a clock that jumps must not end all sessions.
func TestSessions_silentFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all sessions
		silent, heard := newSession(caller{cluster: "silent"}, ""), newSession(caller{cluster: "heard"}, "")
		all.add(silent)
		all.add(heard)
		time.Sleep(silenceTimeout)
		if found := all.silentFor(silenceTimeout); len(found) > 0 {
			t.Errorf("%d sessions too early", len(found))
		}
		heard.touch()
		time.Sleep(time.Second)
		if found := all.silentFor(silenceTimeout); len(found) != 1 || found[0] != silent {
			t.Errorf("found %v", found)
		}
		if heard.silence() != time.Second || heard.seen.Load() > int64(time.Since(began)) {
			t.Errorf("silent for %s, heard %d ns after the start", heard.silence(), heard.seen.Load())
		}
	})
}
