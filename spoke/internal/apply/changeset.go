package apply

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/spoke/internal/inventory"
)

// Action is the result for one object.
type Action string

// The actions.
const (
	Created    Action = reporting.Created
	Configured Action = reporting.Configured
	Unchanged  Action = "unchanged" // skipped, or sent and found to be as desired
	Skipped    Action = "skipped"   // left alone because of its annotations
	Deleted    Action = "deleted"
	Released   Action = "released" // not ours any more, and left in the cluster
	Refused    Action = "refused"  // see the error
	Held       Action = "held"     // not deleted yet; see the error
	Drifted    Action = "drifted"  // not as it should be, and left so because of Set.Drift
)

// Entry is one object of a ChangeSet.
type Entry struct {
	Object bundle.ObjectIdentity
	Action Action
	Err    error // redacted; set for Refused and Held
	// Drift is the drift that was repaired, or left if Action is Drifted; zero if the object had not drifted.
	Drift inventory.Drift
	// Changes are the fields that had drifted, by path. No secret value is in them.
	Changes []FieldChange
	More    int // fields that had drifted and are left out of Changes
}

// ChangeSet is the result of an apply or a removal, object by object.
type ChangeSet struct {
	Application bundle.ApplicationName
	// Entries holds the objects of the Set, in its order, then the pruned objects, in the order of manifest.Compare.
	Entries   []Entry
	Inventory *inventory.Inventory // the objects that are owned now
	Duration  time.Duration
}

// Count returns how many entries have one of the actions.
func (c *ChangeSet) Count(actions ...Action) int {
	n := 0
	for _, e := range c.Entries {
		if slices.Contains(actions, e.Action) {
			n++
		}
	}
	return n
}

// Changed reports whether an object of the cluster was changed.
func (c *ChangeSet) Changed() bool { return c.Count(Created, Configured, Deleted) > 0 }

// Failed returns the entries with an error.
func (c *ChangeSet) Failed() []Entry {
	var out []Entry
	for _, e := range c.Entries {
		if e.Err != nil {
			out = append(out, e)
		}
	}
	return out
}

// Err joins the errors of single objects, at most ten of them; nil if there are none.
func (c *ChangeSet) Err() error {
	const most = 10
	var errs []error
	for i, e := range c.Failed() {
		if i == most {
			errs = append(errs, fmt.Errorf("and %d more", len(c.Failed())-most))
			break
		}
		errs = append(errs, e.Err)
	}
	return errors.Join(errs...)
}
