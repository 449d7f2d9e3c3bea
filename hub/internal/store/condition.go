package store

import (
	"cmp"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/wording"
)

// maxConditionMessage limits the bytes of the message of a Condition, and so of its events: who writes a manifest
// chooses how long the names and values are that an error has.
const maxConditionMessage = 32 << 10

// After returns the Condition that replaces old. If Ready is the same, Since stays, as Kubernetes' lastTransitionTime
// does; else Since is at. If c names no revision, the old one stays. A long message is shortened.
func (c Condition) After(old Condition, at time.Time) Condition {
	switch c.Revision {
	case "", old.Revision:
		c.Origin, c.Earlier = cmp.Or(c.Origin, old.Origin), old.Earlier
	default:
		c.Earlier = RevisionOrigin{old.Revision, old.Origin}
	}
	c.Message = wording.Shorten(c.Message, maxConditionMessage)
	c.Revision, c.Attempted = cmp.Or(c.Revision, old.Revision), cmp.Or(c.Attempted, old.Attempted)
	if c.Since = at; c.Ready == old.Ready {
		c.Since = old.Since
	}
	return c
}

// OriginOf returns what the artifact of a revision was made from; empty if that is not known.
func (c Condition) OriginOf(revision string) string {
	switch revision {
	case "":
	case c.Revision:
		return c.Origin
	case c.Earlier.Revision:
		return c.Earlier.Origin
	}
	return ""
}

// EventAfter returns the event to record when c replaces old: a Warning if c is a new failure or has another message,
// and a Normal event if c only waits, or if a failure has ended. Any other change has no event; then EventAfter returns
// false.
func (c Condition) EventAfter(old Condition, key api.Key, at time.Time) (Event, bool) {
	e := Event{Time: at, Object: key, Type: condition.Normal, Reason: c.Reason, Message: c.Message}
	switch {
	case c.Ready == condition.False && (old.Ready != c.Ready || old.Message != c.Message || old.NotYet && !c.NotYet):
		if !c.NotYet {
			e.Type = condition.Warning
		}
		return e, true
	case c.Ready == condition.True && old.Ready == condition.False:
		return e, true
	}
	return Event{}, false
}
