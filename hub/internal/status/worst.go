package status

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/telemetry"
)

// finding is the verdict about an object, with a text that names the object.
type finding struct {
	key     api.Key
	verdict verdict
	text    string
	waits   bool // for another object, whose finding has the cause
}

// maxRolledUp limits the part of a message that is quoted in the message of a Cluster or Fleet, in bytes.
const maxRolledUp = 300

// finding returns the verdict about an object, with a text that calls the object by this name.
func (f Facts) finding(name string) finding {
	v := f.verdict()
	message, _, _ := strings.Cut(v.message, "\n")
	message = telemetry.Printable(message, maxRolledUp)
	return finding{
		key: f.Resource.Key, verdict: v, text: strings.TrimSuffix(name+": "+v.reason+": "+message, ": "),
		waits: v.reason == condition.DependencyNotReady || f.Awaited != nil && f.hubVerdict().ready == condition.True,
	}
}

// worst returns the finding to show first, and the number of findings that are not ready. Failures come before waits,
// causes before objects that wait for another, the oldest first.
func worst(list []finding) (w finding, unready int) {
	for _, n := range list {
		if n.verdict.ready == condition.True {
			continue
		}
		if unready++; unready == 1 || n.compare(w) < 0 {
			w = n
		}
	}
	return w, unready
}

func (n finding) compare(other finding) int {
	return cmp.Or(n.rank()-other.rank(), n.verdict.since.Compare(other.verdict.since), n.key.Compare(other.key))
}

// rank orders verdicts that are not True.
func (n finding) rank() int {
	rank := 0
	if n.verdict.ready != condition.False {
		rank = 2
	}
	if n.waits {
		rank++
	}
	return rank
}

// coveredVerdict returns the verdict about the worst object that a cluster covers; True if all are ready.
func (f Facts) coveredVerdict() verdict {
	list := make([]finding, 0, len(f.Covered)+len(f.Sources))
	for _, c := range f.Covered {
		list = append(list, c.finding(strings.TrimSuffix(c.Resource.Key.String(), " on "+f.Resource.Key.Name)))
	}
	for key, source := range f.Sources {
		list = append(list, source.finding(key.String()+" of the hub"))
	}
	w, unready := worst(list)
	if unready == 0 {
		return verdict{ready: condition.True, since: lastSince(list)}
	}
	w.verdict.message = w.text
	switch {
	case unready == 2:
		w.verdict.message += " (and 1 more is not ready)"
	case unready > 2:
		w.verdict.message += fmt.Sprintf(" (and %d more are not ready)", unready-1)
	}
	return w.verdict
}
