package api

import "errors"

// Reason is a reason of conditions that only objects of one kind have. The reasons of several kinds are those of
// shared/condition.
type Reason struct {
	Name string
	// Means explains the reason in docs/troubleshooting.md. Advice says there and in nave explain what to do.
	Means, Advice string
	// Unverified: the signatures of a source were not accepted, so its condition SourceVerified is False.
	Unverified bool
}

// reasons are the reasons of all kinds by name.
var reasons = map[string]Reason{}

// addReasons adds the reasons of a kind. It panics if another kind has one of them, because a Cluster shows the reasons
// of all kinds.
func addReasons(k Kind) {
	for _, r := range k.Reasons {
		if _, taken := reasons[r.Name]; taken {
			panic("api: reason " + r.Name + " is registered twice")
		}
		reasons[r.Name] = r
	}
}

// FindReason finds the reason of a kind by its name. If no kind has the reason, FindReason returns false.
func FindReason(name string) (Reason, bool) {
	r, ok := reasons[name]
	return r, ok
}

// Failure is an error that gives an object a reason of its kind. A fetcher or renderer returns it, wrapped or not; the
// reason crosses the pipe of a worker process by its name.
type Failure struct{ Reason, Text string }

func (f *Failure) Error() string { return f.Text }

// FailureName returns the name of the reason. It implements confine.Named.
func (f *Failure) FailureName() string { return f.Reason }

// ReasonOf returns the reason of a kind that a Failure names, in this process or in a worker. If err is no Failure, or
// no kind has the reason, ReasonOf returns false.
func ReasonOf(err error) (Reason, bool) {
	var named interface{ FailureName() string }
	if !errors.As(err, &named) {
		return Reason{}, false
	}
	return FindReason(named.FailureName())
}
