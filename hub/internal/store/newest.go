package store

import (
	"slices"

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

// Newest returns the newest events of the set, at most limit, in the order of their times, without damaged ones. It
// reads no other rows.
func (s EventSet) Newest(tx *Tx, limit int) ([]Event, error) {
	keys, err := s.list(tx)
	if err != nil {
		return nil, err
	}
	for i, at := range keys {
		keys[i] = eventKey(at)
	}
	slices.Sort(keys)
	keys = keys[max(0, len(keys)-limit):]
	events := make([]Event, 0, len(keys))
	for _, key := range keys {
		event, ok, err := Events.GetIntact(tx, key)
		if err != nil {
			return nil, err
		}
		if ok {
			events = append(events, event)
		}
	}
	return events, nil
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
