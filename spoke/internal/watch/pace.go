package watch

import "time"

const (
	burst        = 5                // repairs of one object within the window that go unquestioned
	window       = time.Minute      //
	firstPause   = 10 * time.Second // doubles with every further repair
	longestPause = 5 * time.Minute
)

// pace decides when an object that drifted may be repaired, so that two controllers that disagree do not keep an API
// server busy. A pace is a value: no clock, no I/O. The zero pace belongs to an object that never drifted.
type pace struct {
	repairs []time.Time // the latest, at most burst
	step    int         // how many pauses in a row
	until   time.Time   // end of the last pause
}

// next returns when drift that was seen now may be repaired; the zero time means now.
func (p pace) next(now time.Time) (pace, time.Time) {
	if now.Before(p.until) {
		return p, p.until
	}
	if p.calm(now) {
		p = pace{}
	}
	if p.step == 0 && p.within(now) < burst {
		return p.repaired(now), time.Time{}
	}
	p.until = now.Add(pauseOf(p.step))
	p.step++
	return p, p.until
}

// repaired adds a repair.
func (p pace) repaired(now time.Time) pace {
	keep := p.repairs[max(0, len(p.repairs)-burst+1):]
	p.repairs = append(append(make([]time.Time, 0, burst), keep...), now)
	return p
}

// within returns the number of repairs in the window that ends now.
func (p pace) within(now time.Time) int {
	n := 0
	for _, t := range p.repairs {
		if now.Sub(t) < window {
			n++
		}
	}
	return n
}

// calm reports whether the object did not drift for twice as long as the last pause.
func (p pace) calm(now time.Time) bool {
	return p.step > 0 && len(p.repairs) > 0 && now.Sub(p.repairs[len(p.repairs)-1]) > max(window, 2*pauseOf(p.step-1))
}

func pauseOf(step int) time.Duration {
	return min(firstPause<<min(step, 10), longestPause)
}
