package store

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// How many events are kept: in all, and of one object.
const (
	maxEvents          = 10_000
	maxEventsPerObject = 100
)

// eventIndex finds the events of one object: object path, NUL, event key → nothing.
var eventIndex = Table[struct{}]{"events.byobject"}

// eventCounters is one row that spares counting.
var eventCounters = Table[eventCount]{"events.count"}

// eventCount counts the events there are and those there ever were.
type eventCount struct {
	Kept int    `json:"kept"`
	Ever uint64 `json:"ever"`
}

const eventCountKey = "count"

// eventTime has a fixed width, so that keys order as times do.
const eventTime = "2006-01-02T15:04:05.000000000Z"

// Record keeps an event under a key of its own: its time (now, if it has none) and a counter. The newest 10,000 events
// stay, and of one object the newest 100.
func Record(tx *Tx, e Event) error {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
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

// trimEvents deletes the oldest events of e's object, then of all, until the limits hold.
func trimEvents(tx *Tx, e Event, count *eventCount) error {
	var ofObject []string
	err := tx.engine.scan(eventIndex.name, indexPrefix(e), func(key string, _ []byte) error {
		ofObject = append(ofObject, strings.TrimPrefix(key, indexPrefix(e)))
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range ofObject[:max(0, len(ofObject)-maxEventsPerObject)] {
		if err := deleteEvent(tx, key, e, count); err != nil {
			return err
		}
	}
	for count.Kept > maxEvents {
		key, oldest, err := oldestEvent(tx)
		if err != nil || key == "" {
			return err
		}
		if err := deleteEvent(tx, key, oldest, count); err != nil {
			return err
		}
	}
	return nil
}

// errFound ends a scan at its first row.
var errFound = errors.New("found")

// oldestEvent returns the first event and its key; an empty key when there is none.
func oldestEvent(tx *Tx) (oldest string, e Event, err error) {
	err = tx.engine.scan(Events.name, "", func(key string, _ []byte) error {
		oldest = key
		return errFound
	})
	if oldest == "" {
		return "", Event{}, err
	}
	e, _, err = Events.Get(tx, oldest)
	return oldest, e, err
}

func deleteEvent(tx *Tx, key string, e Event, count *eventCount) error {
	if err := Events.Delete(tx, key); err != nil {
		return err
	}
	count.Kept--
	return eventIndex.Delete(tx, indexPrefix(e)+key)
}
