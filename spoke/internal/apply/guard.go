package apply

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
)

// Guard stops a prune that looks like an accident: a moved path, an empty render. It holds the objects that would go until an
// operator confirms exactly them, or Git brings them back. The zero Guard stops nothing.
type Guard struct {
	Objects int // a prune of fewer objects is never stopped
	Percent int // a prune of at least this share of what is owned is stopped
}

// DefaultGuard stops a prune of twenty objects or more that are nine tenths or more of the Application.
var DefaultGuard = Guard{Objects: 20, Percent: 90}

// Stops reports whether the deletion of gone of owned objects looks like an accident.
func (g Guard) Stops(owned, gone int) bool {
	return g.Percent > 0 && gone > 0 && gone >= g.Objects && gone*100 >= owned*g.Percent
}

// Check returns a *GuardError if the prune of gone objects of an inventory must be confirmed, and confirmed is not the digest of
// exactly this prune.
func (g Guard) Check(owned *inventory.Inventory, gone []manifest.ID, confirmed manifest.Digest) *GuardError {
	if !g.Stops(len(owned.Items), len(gone)) {
		return nil
	}
	held := &GuardError{Owned: len(owned.Items), Percent: g.Percent, Objects: slices.SortedFunc(slices.Values(gone), manifest.Compare)}
	held.Digest = digestOf(owned, held.Objects)
	if held.Digest == confirmed {
		return nil
	}
	return held
}

// digestOf returns the digest of a set of objects in order: SHA-256 of their names and UIDs as JSON. The UIDs are part of
// it, so that a confirmation does not hold for objects that were made anew under the same names.
func digestOf(owned *inventory.Inventory, ids []manifest.ID) manifest.Digest {
	type object struct {
		manifest.ID
		UID string `json:"uid,omitempty"`
	}
	set := make([]object, len(ids))
	for i, id := range ids {
		set[i] = object{id, owned.Items[id].UID}
	}
	data, _ := json.Marshal(set) // strings alone, which always can be written
	return manifest.DigestOf(data)
}

// GuardError says why a prune was stopped, and what to do.
type GuardError struct {
	Owned, Percent int
	Objects        []manifest.ID   // what would be deleted, in the order of apply
	Digest         manifest.Digest // of exactly these objects; whoever confirms it lets them go
}

func (e *GuardError) Error() string {
	return fmt.Sprintf("prune held: it would delete %d of %d objects (%d %% or more must be confirmed); "+
		"bring them back in Git, or confirm the prune %s", len(e.Objects), e.Owned, e.Percent, e.Digest)
}
