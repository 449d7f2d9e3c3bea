package memory

import "testing"

// TestTrimmer feeds how much a process has allocated at each tick, in MiB.
func TestTrimmer(t *testing.T) {
	var trim trimmer
	for i, tick := range []struct {
		allocated uint64
		due       bool
	}{
		{100, false}, // busy
		{300, false},
		{302, true}, // quiet
		{303, false},
		{310, false}, // a little work
		{311, false},
		{365, false}, // more, together worth it
		{367, true},
		{367, false},
	} {
		if due := trim.isDue(tick.allocated << 20); due != tick.due {
			t.Errorf("tick %d: due %v", i, due)
		}
	}
}
