package inventory

import (
	"strconv"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// Drift is the difference of an object of the cluster from its last apply. The zero Drift is no difference.
type Drift struct {
	Kind DriftKind
	// By are the other managers that write the object, the latest first.
	By []string
}

// DriftKind is the kind of change of an object.
type DriftKind string

// The kinds of drift.
const (
	Changed  DriftKind = "changed"  // another manager owns fields of ours, or fields are to be taken over
	Missing  DriftKind = "missing"  // the object does not exist
	Replaced DriftKind = "replaced" // another object has its name
)

// Any reports whether there is drift.
func (d Drift) Any() bool { return d.Kind != "" }

// Judge returns the drift of a live object of an Application from its item. The fields' values need not be known: the
// API server takes a field out of our manager's managedFields entry as soon as another manager changes the field.
func (i Item) Judge(l kube.Live, app bundle.ApplicationName) Drift {
	switch {
	case i.Mode == Ignore || i.Mode == IfNotPresent || i.UID == "":
		return Drift{}
	case older(l.ResourceVersion, i.ResourceVersion):
		return Drift{}
	case l.UID != i.UID:
		return Drift{Kind: Replaced, By: l.Others}
	case kube.IsRelease(app) && l.Marks().IsDriftIgnored():
		return Drift{}
	case i.Managed.IsZero() && i.ResourceVersion == "":
		return Drift{} // restored from the cluster after the loss of the disk, without fields
	case l.Managed != i.Managed:
		return Drift{Kind: Changed, By: l.Others}
	}
	if by := i.Mode.Takeover(app).Managers(l); len(by) > 0 {
		return Drift{Kind: Changed, By: by}
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

// before reports whether i is older than other, an item of the same object: i was never applied, or applied earlier.
func (i Item) before(other Item) bool {
	return i.UID == "" && other.UID != "" || older(i.ResourceVersion, other.ResourceVersion)
}

// older reports whether resourceVersion a was written before b. Since Kubernetes 1.35 resource versions of one kind are
// decimal numbers that grow, and in practice they always were. If one of them is no number, neither is older.
func older(a, b string) bool {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	return errX == nil && errY == nil && x < y
}
