package store

import (
	"slices"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/api"
)

// EventSet is a set of events, by the prefixes of their keys in the index of events.
type EventSet []string

// AllEvents returns the set of all events.
func AllEvents() EventSet { return EventSet{""} }

// EventsOf returns the set of the events about one object.
func EventsOf(object api.Key) EventSet { return EventSet{indexPrefix(object)} }

// EventsOfCluster returns the set of the events about the objects of a cluster and about its Cluster. If cluster is "",
// it returns those about the objects of the hub.
func EventsOfCluster(cluster string) EventSet {
	set := EventSet{OfCluster(cluster)}
	if cluster != "" {
		set = append(set, indexPrefix(api.ClusterKey(cluster)))
	}
	return set
}

// EventFilter chooses among the events of a set. Zero fields choose all.
type EventFilter struct {
	Namespace string    // of the objects
	Types     []string  // Normal or Warning
	Since     time.Time // the time of the first
	After     uint64    // the number of the last that was seen: only those that were recorded after it
}

// Newest returns the newest events of the set, at most limit, in the order of their times, without damaged ones. It
// reads no other rows.
func (s EventSet) Newest(tx *Tx, limit int) ([]Event, error) { return s.Find(tx, EventFilter{}, limit) }

// Find returns the newest events that the filter chooses, as Newest does.
func (s EventSet) Find(tx *Tx, f EventFilter, limit int) (events []Event, err error) {
	keys, err := s.list(tx)
	if err != nil {
		return nil, err
	}
	keys = slices.DeleteFunc(keys, f.leavesOut)
	for i, at := range keys {
		keys[i] = eventKey(at)
	}
	slices.Sort(keys)
	for _, key := range slices.Backward(keys) {
		if len(events) == limit {
			break
		}
		event, ok, err := Events.GetIntact(tx, key)
		if err != nil {
			return nil, err
		}
		if ok && (len(f.Types) == 0 || slices.Contains(f.Types, event.Type)) {
			events = append(events, event)
		}
	}
	slices.Reverse(events)
	return events, nil
}

// leavesOut reports whether the index key of an event says that the filter does not choose it.
func (f EventFilter) leavesOut(at string) bool {
	key := eventKey(at)
	return f.Namespace != "" && namespaceOf(at) != f.Namespace ||
		!f.Since.IsZero() && key < f.Since.UTC().Format(eventTime) ||
		f.After > 0 && numberOf(key) <= f.After
}

// namespaceOf returns the namespace of the object that an index key names; "" if it has none.
func namespaceOf(at string) string {
	path, _, _ := strings.Cut(at, "\x00")
	key, _ := api.ParseKey(path)
	return key.Namespace
}

// list returns the index keys of the set. It decodes no rows.
func (s EventSet) list(tx *Tx) (all []string, err error) {
	if tx.engine == nil {
		return nil, ErrClosed
	}
	for _, prefix := range s {
		keys, err := keysOf(tx.engine, eventIndex.name, prefix)
		if err != nil {
			return nil, err
		}
		all = append(all, keys...)
	}
	return all, nil
}
