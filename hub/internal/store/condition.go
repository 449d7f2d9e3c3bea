package store

import (
	"cmp"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/condition"
)

// After returns the Condition as it replaces an old one: Since stays if Ready and Reason do, else it is at. A revision
// that the new Condition does not name stays, too.
func (c Condition) After(old Condition, at time.Time) Condition {
	c.Revision, c.Attempted = cmp.Or(c.Revision, old.Revision), cmp.Or(c.Attempted, old.Attempted)
	if c.Since = at; c.Ready == old.Ready && c.Reason == old.Reason {
		c.Since = old.Since
	}
	return c
}

// EventAfter returns the event that tells people of the change from an old Condition: a failure or another message of
// one is a warning, its end is not. False: there is nothing to tell.
func (c Condition) EventAfter(old Condition, key api.Key, at time.Time) (Event, bool) {
	e := Event{Time: at, Object: key, Type: condition.Normal, Reason: c.Reason, Message: c.Message}
	switch {
	case c.Ready == condition.False && (old.Ready != c.Ready || old.Message != c.Message):
		e.Type = condition.Warning
		return e, true
	case c.Ready == condition.True && old.Ready == condition.False:
		return e, true
	}
	return Event{}, false
}
