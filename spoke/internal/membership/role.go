package membership

import (
	"errors"
	"fmt"

	"github.com/navefleet/nave/shared/identity"
)

// ErrCluster means that the settings name a cluster that the spoke must not become.
var ErrCluster = errors.New("the settings are of another cluster")

// Role has the Settings that a spoke uses, and those of the cluster that it should become.
type Role struct {
	Settings          // in use
	Next     Settings // to register with, and to use after that; equal to Settings if the cluster stays the same
	Confused error    // why the spoke refuses the given Settings; nil: it accepts them
}

// Decide decides the Role of a spoke from the stored state and the given Settings. A spoke with an identity keeps that
// identity and its Settings until it has the identity of the given Settings. If the spoke must not become the given
// cluster, it keeps its identity.
func (k Kept) Decide(given Settings) Role {
	r := Role{Settings: given, Next: given}
	if !k.known || k.id == given.ID() {
		return r
	}
	r.Confused = confuses(k.id, given.ID(), given.Replaces)
	if r.Confused == nil && k.settings == nil {
		return r // stored by an earlier version, without Settings to keep
	}
	if k.settings != nil {
		r.Settings = *k.settings
	}
	r.Cluster, r.TrustDomain, r.Replaces, r.Policy = k.id.Name, k.id.TrustDomain, "", given.Policy
	if r.Confused != nil {
		r.Next = r.Settings
	}
	return r
}

// Moves reports whether the spoke should become another cluster.
func (r Role) Moves() bool { return r.Next != r.Settings }

// Keeps reports whether the Settings of the Role must be stored beside the identity after they led to a session.
func (r Role) Keeps(k Kept) bool {
	return r.Confused == nil && (k.settings == nil || *k.settings != r.Settings)
}

// confuses returns an error if a spoke with a stored identity would become another cluster, unless the settings say
// that the new cluster replaces it. If only the hub differs and the name is the same, the cluster moves to that hub.
func confuses(kept, want identity.ID, replaces string) error {
	if kept.Name == want.Name || kept.Name == replaces {
		return nil
	}
	return fmt.Errorf("%w: this is %q (%s), they name %q (%s); nothing was changed. If they were meant for another "+
		"cluster, apply what `nave cluster add %s` prints here again. If this is to become %q, apply what `nave cluster "+
		"add %s --replace %s` prints",
		ErrCluster, kept.Name, kept, want.Name, want, kept.Name, want.Name, want.Name, kept.Name)
}
