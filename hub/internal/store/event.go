package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
)

// How many events the store keeps: in all, of one cluster, and of one object.
const (
	maxEvents           = 10_000
	maxEventsPerCluster = 1_000
	maxEventsPerObject  = 100

	eventSlack = 100 // how many are deleted at once if there are too many in all or of one cluster
)

// eventIndex lists the events of one object: object path, NUL, event key → {}.
var eventIndex = newTable[struct{}]("events.byobject", ofHub)

// eventCounters has one row, which spares counting the events.
var eventCounters = newTable[eventCount]("events.count", ofHub)

// eventCount counts the events that are kept, and all that were ever recorded.
type eventCount struct {
	Kept int    `json:"kept"`
	Ever uint64 `json:"ever"`
}

const eventCountKey = "count"

// eventTime is the format of times in keys. It has a fixed width, so that keys order as times do.
const eventTime = "2006-01-02T15:04:05.000000000Z"

// Record keeps an event under a new key, which is the event's time and a counter. The caller sets the time. The store
// keeps the newest 100 events of each object, the newest 900 to 1,000 of each cluster, and 9,900 to 10,000 in all. If
// there are too many in all, Record deletes the oldest events of the clusters that have the most, so that no cluster
// displaces the events of a cluster that has fewer. The hub's own objects count as a cluster.
func Record(tx *Tx, e Event) error {
	e.Time = e.Time.UTC()
	count, _, err := eventCounters.Get(tx, eventCountKey)
	if err != nil {
		return err
	}
	count.Ever++
	count.Kept++
	key := fmt.Sprintf("%s-%016x", e.Time.Format(eventTime), count.Ever)
	if err := putEvent(tx, key, e); err != nil {
		return err
	}
	if err := trimEvents(tx, e, &count); err != nil {
		return err
	}
	return eventCounters.Put(tx, eventCountKey, count)
}

func indexPrefix(e Event) string { return e.Object.Path() + "\x00" }

func putEvent(tx *Tx, key string, e Event) error {
	if err := Events.Put(tx, key, e); err != nil {
		return err
	}
	return eventIndex.Put(tx, indexPrefix(e)+key, struct{}{})
}

// trimEvents deletes the oldest events of e's object, then of its cluster, then of the clusters that have the most,
// until the limits hold.
func trimEvents(tx *Tx, e Event, count *eventCount) error {
	listed, err := listEvents(tx, indexPrefix(e))
	if err != nil {
		return err
	}
	if err := deleteOldest(tx, listed, len(listed)-maxEventsPerObject, count); err != nil {
		return err
	}
	if cluster := api.ClusterOf(e.Object.Path()); cluster != "" {
		if listed, err = listCluster(tx, cluster); err != nil {
			return err
		}
		if len(listed) > maxEventsPerCluster {
			err = deleteOldest(tx, listed, len(listed)-maxEventsPerCluster+eventSlack, count)
		}
	}
	if err != nil || count.Kept <= maxEvents {
		return err
	}
	return level(tx, count)
}

// listed is one event of the index.
type listed struct {
	key    string // of the event
	prefix string // of its object in the index
}

// counter returns the end of an event's key, which orders events as they were recorded.
func (l listed) counter() string { return l.key[strings.LastIndexByte(l.key, '-')+1:] }

// listEvents returns the events whose key in the index has the prefix, by object, and the oldest of each object first.
func listEvents(tx *Tx, prefix string) (list []listed, err error) {
	err = tx.engine.scan(eventIndex.name, prefix, "", func(key string, _ []byte) error {
		if at := strings.LastIndexByte(key, 0); at >= 0 {
			list = append(list, listed{key: key[at+1:], prefix: key[:at+1]})
		}
		return nil
	})
	return list, err
}

// listCluster returns the events about the objects of a cluster and about its Cluster.
func listCluster(tx *Tx, cluster string) ([]listed, error) {
	inside, err := listEvents(tx, cluster+"/")
	if err != nil {
		return nil, err
	}
	itself, err := listEvents(tx, indexPrefix(Event{Object: api.ClusterKey(cluster)}))
	return append(inside, itself...), err
}

// deleteOldest deletes the n events that were recorded first, whatever their times: after a clock that was ahead is
// corrected, the events of the future must not displace new ones.
func deleteOldest(tx *Tx, list []listed, n int, count *eventCount) error {
	if n <= 0 {
		return nil
	}
	slices.SortFunc(list, func(a, b listed) int { return strings.Compare(a.counter(), b.counter()) })
	for _, l := range list[:min(n, len(list))] {
		if err := deleteEvent(tx, l, count); err != nil {
			return err
		}
	}
	return nil
}

// level deletes the oldest events of the clusters that have the most, until eventSlack is free.
func level(tx *Tx, count *eventCount) error {
	all, err := listEvents(tx, "")
	if err != nil {
		return err
	}
	byCluster := map[string][]listed{}
	for _, l := range all {
		cluster := api.ClusterOf(strings.TrimSuffix(l.prefix, "\x00"))
		byCluster[cluster] = append(byCluster[cluster], l)
	}
	sizes := make([]int, 0, len(byCluster))
	for _, list := range byCluster {
		sizes = append(sizes, len(list))
	}
	share := max(1, fairShare(sizes, maxEvents-eventSlack))
	var kept []listed
	for _, list := range byCluster {
		n := max(0, len(list)-share)
		if err := deleteOldest(tx, list, n, count); err != nil {
			return err
		}
		kept = append(kept, list[n:]...)
	}
	// if there are more clusters than events, some clusters keep none
	return deleteOldest(tx, kept, len(kept)-maxEvents+eventSlack, count)
}

// fairShare returns the largest share that each of the sizes may keep so that they come to at most total.
func fairShare(sizes []int, total int) int {
	slices.Sort(sizes)
	for i, size := range sizes {
		share := total / (len(sizes) - i)
		if size > share {
			return share
		}
		total -= size
	}
	return total // they all fit
}

func deleteEvent(tx *Tx, l listed, count *eventCount) error {
	if err := Events.Delete(tx, l.key); err != nil {
		return err
	}
	count.Kept--
	return eventIndex.Delete(tx, l.prefix+l.key)
}
