package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
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
	Run  string `json:"run,omitempty"` // the last that recorded an event
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
	count, _, err := eventCounters.GetIntact(tx, eventCountKey) // mendEvents counts anew
	if err != nil {
		return err
	}
	count.Ever++
	count.Kept++
	if err := count.noteRun(tx, e.Time); err != nil {
		return err
	}
	key := fmt.Sprintf("%s-%016x", e.Time.Format(eventTime), count.Ever)
	err = errors.Join(Events.Put(tx, key, e), eventIndex.Put(tx, indexPrefix(e.Object)+key, struct{}{}))
	if err == nil {
		err = trimEvents(tx, e.Object, &count)
	}
	if err != nil {
		return err
	}
	return eventCounters.Put(tx, eventCountKey, count)
}

// indexPrefix returns the prefix of the index keys of an object's events.
func indexPrefix(object api.Key) string { return object.Path() + "\x00" }

// eventKey returns the key of the event that an index key names.
func eventKey(at string) string { return at[strings.LastIndexByte(at, 0)+1:] }

// numberOf returns the number of the event with a key: how many events were recorded up to it.
func numberOf(key string) uint64 {
	n, _ := strconv.ParseUint(key[strings.LastIndexByte(key, '-')+1:], 16, 64)
	return n
}

// trimEvents deletes the oldest events of the object, then of its cluster, then of the clusters that have the most,
// until the limits hold.
func trimEvents(tx *Tx, object api.Key, count *eventCount) error {
	list, err := EventsOf(object).list(tx)
	if err != nil {
		return err
	}
	if err := deleteOldest(tx, list, len(list)-maxEventsPerObject, count); err != nil {
		return err
	}
	if cluster := api.ClusterOf(object.Path()); cluster != "" {
		if list, err = EventsOfCluster(cluster).list(tx); err != nil {
			return err
		}
		if len(list) > maxEventsPerCluster {
			err = deleteOldest(tx, list, len(list)-maxEventsPerCluster+eventSlack, count)
		}
	}
	if err != nil || count.Kept <= maxEvents {
		return err
	}
	return level(tx, count)
}

// deleteOldest deletes the n events of a list of index keys that were recorded first, whatever their times: after a
// clock that was ahead is corrected, the events of the future must not displace new ones.
func deleteOldest(tx *Tx, list []string, n int, count *eventCount) error {
	if n <= 0 {
		return nil
	}
	counter := func(at string) string { return at[strings.LastIndexByte(at, '-')+1:] }
	slices.SortFunc(list, func(a, b string) int { return strings.Compare(counter(a), counter(b)) })
	list = list[:min(n, len(list))]
	for _, at := range list {
		if err := errors.Join(Events.Delete(tx, eventKey(at)), eventIndex.Delete(tx, at)); err != nil {
			return err
		}
		count.Kept--
	}
	return noteDropped(tx, list)
}

// level deletes the oldest events of the clusters that have the most, until eventSlack is free.
func level(tx *Tx, count *eventCount) error {
	all, err := AllEvents().list(tx)
	if err != nil {
		return err
	}
	byCluster := map[string][]string{}
	for _, at := range all {
		path, _, _ := strings.Cut(at, "\x00")
		cluster := api.ClusterOf(path)
		byCluster[cluster] = append(byCluster[cluster], at)
	}
	sizes := make([]int, 0, len(byCluster))
	for _, list := range byCluster {
		sizes = append(sizes, len(list))
	}
	share := max(1, fairShare(sizes, maxEvents-eventSlack))
	var kept []string
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

// mendEvents makes the index and the count of events agree with the events, and deletes damaged events, which nobody
// could read.
func mendEvents(t engineTx) error {
	var want, damaged []string
	err := t.scan(Events.name, "", "", func(key string, value []byte) error {
		var e Event
		if json.Unmarshal(value, &e) != nil {
			damaged = append(damaged, key)
		} else {
			want = append(want, indexPrefix(e.Object)+key)
		}
		return nil
	})
	for _, key := range damaged {
		err = errors.Join(err, t.put(Events.name, key, nil))
	}
	if err != nil {
		return err
	}
	if _, err := replace(t, eventIndex.name, want, []byte("{}")); err != nil {
		return err
	}
	return countEvents(t, want)
}

// countEvents writes the count of the events with these keys in the index, unless the count is right.
func countEvents(t engineTx, list []string) error {
	row, err := t.get(eventCounters.name, eventCountKey)
	if err != nil {
		return err
	}
	var count eventCount
	if row != nil && json.Unmarshal(row, &count) == nil && count.Kept == len(list) || row == nil && len(list) == 0 {
		return nil
	}
	count.Kept = len(list)
	for _, at := range list {
		count.Ever = max(count.Ever, numberOf(at))
	}
	value, err := encode(count)
	if err != nil {
		return err
	}
	return t.put(eventCounters.name, eventCountKey, value)
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
