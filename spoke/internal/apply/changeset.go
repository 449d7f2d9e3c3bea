package apply

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// Action is what became of an object.
type Action string

// The actions.
const (
	Created    Action = "created"
	Configured Action = "configured"
	Unchanged  Action = "unchanged" // skipped, or sent and found to be as desired
	Skipped    Action = "skipped"   // its annotations say to leave it alone
	Deleted    Action = "deleted"
	Released   Action = "released" // not ours any more, and left in the cluster
	Refused    Action = "refused"  // see the error
	Held       Action = "held"     // not deleted yet; see the error
)

// Entry is one object of a ChangeSet.
type Entry struct {
	Object bundle.ObjectIdentity
	Action Action
	Err    error // redacted; set for Refused and Held
	// Drift is what was seen before it was repaired; zero when the object had not drifted.
	Drift inventory.Drift
}

// ChangeSet is what an apply or a removal did, object by object.
type ChangeSet struct {
	Application bundle.ApplicationName
	// of the objects in the Set, in its order, then of what was pruned, in the order of manifest.Less
	Entries   []Entry
	Inventory *inventory.Inventory // what is owned now
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

// Changed reports whether anything in the cluster was changed.
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

// Err joins what is wrong with single objects, at most ten of them; nil when nothing is.
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

// Retryable reports whether an error may well be gone in a moment, so that trying again soon makes sense.
func (c *ChangeSet) Retryable() bool {
	return slices.ContainsFunc(c.Entries, func(e Entry) bool { return kube.Retryable(e.Err) })
}

// String prints the change as one line for each object that is not unchanged, and a sum.
func (c *ChangeSet) String() string {
	var b strings.Builder
	for _, e := range c.Entries {
		if e.Action == Unchanged {
			continue
		}
		fmt.Fprintf(&b, "%s %s", e.Object.ID(), e.Action)
		if e.Err != nil {
			fmt.Fprintf(&b, ": %v", e.Err)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%s: %d objects, %d unchanged, %s", c.Application, len(c.Entries), c.Count(Unchanged),
		c.Duration.Round(time.Millisecond))
	return b.String()
}
