package store

import (
	"slices"
	"strings"

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
func (s EventSet) Newest(tx *Tx, limit int) ([]Event, error) { return s.NewestIn(tx, "", limit) }

// NewestIn returns the newest events about objects of a namespace, as Newest does; of any for "".
func (s EventSet) NewestIn(tx *Tx, namespace string, limit int) ([]Event, error) {
	keys, err := s.list(tx)
	if err != nil {
		return nil, err
	}
	keys = slices.DeleteFunc(keys, func(at string) bool { return namespace != "" && namespaceOf(at) != namespace })
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
