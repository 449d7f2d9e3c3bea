package inventory

import (
	"strconv"
	"strings"

	"github.com/navefleet/nave/spoke/internal/kube"
)

// Drift says how an object of the cluster differs from what was applied. The zero Drift is none.
type Drift struct {
	Kind DriftKind
	// By are the other managers that write the object, the latest first.
	By []string
}

// DriftKind is what happened to an object.
type DriftKind string

// The kinds of drift.
const (
	Changed  DriftKind = "changed"  // fields that are ours changed hands, or somebody added fields by kubectl
	Missing  DriftKind = "missing"  // it is gone
	Replaced DriftKind = "replaced" // another object has its name
)

// Any reports whether there is drift.
func (d Drift) Any() bool { return d.Kind != "" }

// String says what happened and who else writes the object: "changed by kubectl-edit".
func (d Drift) String() string {
	if len(d.By) == 0 {
		return string(d.Kind)
	}
	return string(d.Kind) + " by " + strings.Join(d.By, ", ")
}

// Judge compares an object as it was seen with what is recorded of it. The fields' values need not be known: the API
// server takes a field away from our manager's managedFields entry as soon as anybody else changes it.
func (i Item) Judge(l kube.Live) Drift {
	switch {
	case i.Mode == Ignore || i.Mode == IfNotPresent || i.UID == "":
		return Drift{}
	case Older(l.ResourceVersion, i.ResourceVersion):
		return Drift{}
	case l.UID != i.UID:
		return Drift{Kind: Replaced, By: l.Others}
	case i.Managed.IsZero() && i.ResourceVersion == "":
		return Drift{} // taken from the cluster after the loss of the disk, which says nothing of fields
	case l.Managed != i.Managed:
		return Drift{Kind: Changed, By: l.Others}
	case i.Mode == Override && len(l.Adoptable) > 0:
		return Drift{Kind: Changed, By: l.Adoptable}
	}
	return Drift{}
}

// judgeMissing is Judge for an object that does not exist. One that deletes itself when it is done is missed only if it
// was seen at work until then.
func (i Item) judgeMissing(atWork bool) Drift {
	if i.Mode == Ignore || i.UID == "" || i.Expires && !atWork {
		return Drift{}
	}
	return Drift{Kind: Missing}
}

// before reports whether i was recorded before other, which is of the same object: what was never seen applied, or what
// was applied earlier.
func (i Item) before(other Item) bool {
	return i.UID == "" && other.UID != "" || Older(i.ResourceVersion, other.ResourceVersion)
}

// Older reports whether resourceVersion a was written before b. Since Kubernetes 1.35 resource versions of one kind are
// decimal numbers that grow, and they always were in practice; of any other pair neither is older.
func Older(a, b string) bool {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	return errX == nil && errY == nil && x < y
}
