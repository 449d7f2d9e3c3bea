package apply

import "fmt"

// Guard stops a prune that looks like an accident: a moved path, an empty render. It holds the objects that would go until an
// operator acknowledges it, or Git brings them back. The zero Guard stops nothing.
type Guard struct {
	Objects int // a prune of fewer objects is never stopped
	Percent int // a prune of at least this share of what is owned is stopped
}

// DefaultGuard stops a prune of twenty objects or more that are nine tenths or more of the Application.
var DefaultGuard = Guard{Objects: 20, Percent: 90}

// Check returns a *GuardError when pruning gone of owned objects must be acknowledged.
func (g Guard) Check(owned, gone int) error {
	if g.Percent <= 0 || gone == 0 || gone < g.Objects || gone*100 < owned*g.Percent {
		return nil
	}
	return &GuardError{Owned: owned, Gone: gone, Percent: g.Percent}
}

// GuardError says why a prune was stopped, and what to do.
type GuardError struct{ Owned, Gone, Percent int }

func (e *GuardError) Error() string {
	return fmt.Sprintf("prune held: it would delete %d of %d objects (%d %% or more needs an acknowledgement); "+
		"bring them back in Git, or ask for a reconciliation to let them go", e.Gone, e.Owned, e.Percent)
}
