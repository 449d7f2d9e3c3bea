package store

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/api"
)

// EventCursor names the last event that was recorded: by its number, and by the run in which it was. A run begins each
// time that the store is opened. A store that was restored from a backup lacks runs, or the ends of runs, that it had
// before, and gives their numbers to other events.
type EventCursor struct {
	Number uint64 // later events have higher numbers
	Run    string // "" of a store in which no run was noted yet
}

// eventRun is a run that recorded events.
type eventRun struct {
	ID    string    `json:"id"`
	First uint64    `json:"first"` // number of its first event
	At    time.Time `json:"at"`    // of that event
}

// maxRuns is how many runs a store remembers.
const maxRuns = 100

// eventRuns has one row: the newest runs that recorded events, in order.
var eventRuns = newTable[[]eventRun]("events.runs", ofHub)

const eventRunsKey = "runs"

// noteRun notes that the present run records the event with the last number, if it is the first one of the run.
func (c *eventCount) noteRun(tx *Tx, at time.Time) error {
	if c.Run == tx.run {
		return nil
	}
	c.Run = tx.run
	runs, _, err := eventRuns.GetIntact(tx, eventRunsKey)
	if n := len(runs); err != nil || n > 0 && runs[n-1].ID == c.Run { // the row of the count was damaged
		return err
	}
	runs = append(runs, eventRun{c.Run, c.Ever, at})
	return eventRuns.Put(tx, eventRunsKey, runs[max(0, len(runs)-maxRuns):])
}

// LastEvent returns the cursor of the last event.
func LastEvent(tx *Tx) (EventCursor, error) {
	count, _, err := eventCounters.GetIntact(tx, eventCountKey)
	return EventCursor{Number: count.Ever, Run: count.Run}, err
}

// EventGap says which events after a cursor the store does not have.
type EventGap struct {
	// Restored: the store does not have the event of the cursor itself. From the time Until on, if it is not zero, the
	// store recorded others in place of those that it lost.
	Restored bool
	// Clusters had more events than the store keeps; "" is the hub. The last one that was not kept was recorded at Until.
	Clusters []string
	Until    time.Time
}

// Since returns after which number are the events that were recorded after a cursor, and which of the set the store
// does not have; nil: it has all.
func (s EventSet) Since(tx *Tx, c EventCursor) (after uint64, gap *EventGap, err error) {
	count, _, err := eventCounters.GetIntact(tx, eventCountKey)
	if err != nil || c.Number == 0 {
		return 0, nil, err
	}
	after = c.Number
	if c.Run != "" {
		runs, _, err := eventRuns.GetIntact(tx, eventRunsKey)
		if err != nil {
			return 0, nil, err
		}
		after, gap = resume(runs, count.Ever, c)
	}
	if gap != nil {
		return after, gap, nil
	}
	gap, err = s.dropped(tx, after)
	return after, gap, err
}

// resume returns the last number up to which a store with these runs, whose last event is the one with the number end,
// has the events that were recorded before a cursor.
func resume(runs []eventRun, end uint64, at EventCursor) (after uint64, gap *EventGap) {
	i := slices.IndexFunc(runs, func(r eventRun) bool { return r.ID == at.Run })
	gap = &EventGap{Restored: true}
	if i >= 0 && i+1 < len(runs) {
		next := runs[i+1]
		end, gap.Until = next.First-1, next.At
	}
	switch {
	case i < 0: // of a run that this store never had
		return 0, gap
	case at.Number <= end:
		return at.Number, nil
	}
	return end, gap
}

// eventDrop is the last event of a cluster that was recorded and is not kept any more.
type eventDrop struct {
	Number uint64    `json:"number"`
	Time   time.Time `json:"time"`
}

// eventDrops has the drops by OfCluster.
var eventDrops = newTable[eventDrop]("events.dropped", ofHub)

// noteDropped notes the last events of their clusters, of some that were deleted, by their index keys.
func noteDropped(tx *Tx, list []string) error {
	last := map[string]string{} // index keys
	for _, at := range list {
		path, _, _ := strings.Cut(at, "\x00")
		cluster := OfCluster(api.ClusterOf(path))
		if last[cluster] == "" || numberOf(at) > numberOf(last[cluster]) {
			last[cluster] = at
		}
	}
	for cluster, at := range last {
		before, _, err := eventDrops.GetIntact(tx, cluster)
		if err != nil {
			return err
		}
		if numberOf(at) <= before.Number {
			continue
		}
		at := eventKey(at)
		recorded, err := time.Parse(eventTime, at[:len(at)-len("-0123456789abcdef")])
		if err != nil {
			return err
		}
		if err := eventDrops.Put(tx, cluster, eventDrop{numberOf(at), recorded}); err != nil {
			return err
		}
	}
	return nil
}

// dropped returns the events of the clusters of the set that were recorded after a number and are not kept; nil: there
// are none.
func (s EventSet) dropped(tx *Tx, after uint64) (*EventGap, error) {
	var gap EventGap
	add := func(key string, d eventDrop) error {
		if d.Number > after {
			gap.Clusters = append(gap.Clusters, strings.TrimSuffix(key, "/"))
			if d.Time.After(gap.Until) {
				gap.Until = d.Time
			}
		}
		return nil
	}
	var err error
	if cluster, isOne := s.cluster(); isOne {
		var d eventDrop
		if d, _, err = eventDrops.GetIntact(tx, OfCluster(cluster)); err == nil {
			err = add(OfCluster(cluster), d)
		}
	} else {
		err = eventDrops.ScanApart(tx, "", add, func(string, error) error { return nil }) // a damaged row says nothing
	}
	if err != nil || len(gap.Clusters) == 0 {
		return nil, err
	}
	return &gap, nil
}

// cluster returns the cluster whose events the set has, or some of them; false: it has those of all.
func (s EventSet) cluster() (name string, isOne bool) {
	if len(s) == 0 || s[0] == "" {
		return "", false
	}
	path, _, _ := strings.Cut(s[0], "\x00")
	name, _, _ = strings.Cut(path, "/")
	return cmp.Or(name, api.ClusterOf(path)), true
}
