package apply

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
)

// Guard stops a prune that looks like an accident: a moved path, an empty render. The objects stay until an operator
// confirms the deletion of exactly these objects, or Git brings them back. The zero Guard stops no prune.
type Guard struct {
	Objects int // a prune of fewer objects is never stopped
	Percent int // a prune of at least this share of the owned objects is stopped
}

// DefaultGuard stops a prune of twenty objects or more that are nine tenths or more of the Application.
var DefaultGuard = Guard{Objects: 20, Percent: 90}

// Stops reports whether the deletion of gone of owned objects looks like an accident.
func (g Guard) Stops(owned, gone int) bool {
	return g.Percent > 0 && gone > 0 && gone >= g.Objects && gone*100 >= owned*g.Percent
}

// check returns a *GuardError if the prune of gone objects of an inventory must be confirmed, and confirmed is not the
// digest of exactly this prune.
func (g Guard) check(owned *inventory.Inventory, gone []manifest.ID, confirmed manifest.Digest) *GuardError {
	had := countOwned(owned)
	if !g.Stops(had, len(gone)) {
		return nil
	}
	held := &GuardError{Application: owned.Application, Owned: max(had, len(gone)), Percent: g.Percent,
		Objects: slices.SortedFunc(slices.Values(gone), manifest.Compare)}
	held.Digest = digestOf(owned, held.Objects)
	if held.Digest == confirmed {
		return nil
	}
	return held
}

// CheckAll returns a *GuardError if the deletion of all objects of an inventory must be confirmed, and confirmed is not
// the digest of exactly this deletion.
func (g Guard) CheckAll(owned *inventory.Inventory, confirmed manifest.Digest) *GuardError {
	return g.check(owned, owned.IDs(), confirmed)
}

// countOwned returns the number of objects that a prune is a share of: those that existed when the guard first stopped
// the prune. A retry finds new objects in the inventory, and they must not let the old ones go.
func countOwned(v *inventory.Inventory) int { return cmp.Or(v.Guarded, len(v.Items)) }

// foresee notes in the inventory, before any object is sent, whether the guard stops the prune of this run.
func (r *run) foresee() {
	desired := r.desired()
	gone := 0
	for id := range r.Previous.Items {
		if !desired[id] && !r.wantedElsewhere(id) {
			gone++
		}
	}
	had := countOwned(r.Previous)
	if !r.Prune || !r.Guard.Stops(had, gone) {
		had = 0
	}
	r.guarded(had)
}

func (r *run) guarded(had int) {
	r.unsaved = r.unsaved || r.next.Guarded != had
	r.next.Guarded = had
}

// digestOf returns the digest of a list of objects: SHA-256 of their names and UIDs as JSON. Because of the UIDs, a
// confirmation does not hold for objects that were made anew under the same names.
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

// GuardError is the error of a prune that was stopped. Its text names the cause and the command to confirm the prune.
type GuardError struct {
	Application    bundle.ApplicationName
	Owned, Percent int
	Objects        []manifest.ID   // the objects that would be deleted, in the order of apply
	Digest         manifest.Digest // of exactly these objects; to confirm it lets the prune pass
}

func (e *GuardError) Error() string {
	return fmt.Sprintf("prune held: it would delete %d of %d objects (%d %% or more must be confirmed); "+
		"bring them back in Git, or let them go: nave confirm %s %s", len(e.Objects), e.Owned, e.Percent,
		strings.ToLower(e.Application.Kind), e.Application.Name)
}
