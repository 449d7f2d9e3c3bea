package membership

import (
	"errors"
	"fmt"

	"github.com/navefleet/nave/shared/identity"
)

// ErrCluster says that a spoke must not become the cluster that its settings name.
var ErrCluster = errors.New("the settings are of another cluster")

// Role is who a spoke is, and who it is to become.
type Role struct {
	Settings          // it works with these
	Next     Settings // it registers with these, to work with them then; equal to Settings if it stays who it is
	Confused error    // why it works with other Settings than it was given; nil: it does not
}

// Decide decides who a spoke is by what is kept and what is given. A spoke that has an identity keeps it, with its
// Settings, until it has the one that it is to have; while the given Settings are of a cluster that it must not become,
// it keeps it for good.
func (k Kept) Decide(given Settings) Role {
	r := Role{Settings: given, Next: given}
	if !k.known || k.id == given.ID() {
		return r
	}
	r.Confused = confuses(k.id, given.ID(), given.Replaces)
	if r.Confused == nil && k.settings == nil {
		return r // of an earlier version: nothing to go on with
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

// Moves reports whether the spoke is to become another one.
func (r Role) Moves() bool { return r.Next != r.Settings }

// Keeps reports whether the Settings of the Role are to be kept beside the identity once they led to a session.
func (r Role) Keeps(k Kept) bool {
	return r.Confused == nil && (k.settings == nil || *k.settings != r.Settings)
}

// confuses returns an error when a spoke that has kept an identity would become another cluster without having been
// told to take its place. Another hub's cluster of the same name is the same cluster that moves.
func confuses(kept, want identity.ID, replaces string) error {
	if kept.Name == want.Name || kept.Name == replaces {
		return nil
	}
	return fmt.Errorf("%w: this is %q (%s), they name %q (%s); nothing was changed. If they were meant for another "+
		"cluster, apply what `nave cluster add %s` prints here again. If this is to become %q, apply what `nave cluster "+
		"add %s --replace %s` prints",
		ErrCluster, kept.Name, kept, want.Name, want, kept.Name, want.Name, want.Name, kept.Name)
}
