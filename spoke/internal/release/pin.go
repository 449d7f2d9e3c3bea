package release

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/navefleet/nave/shared/manifest"
)

// rolledBack begins the description of a revision that a rollback made, also by helm. The revision that it returned to
// follows.
const rolledBack = "Rollback to "

// rolledBackTo returns the revision that a rollback to made this one of; 0 if none did, or if it is not known.
func (r Revision) rolledBackTo() int {
	number, is := strings.CutPrefix(r.Events.Description, rolledBack)
	version, err := strconv.Atoi(number)
	if !is || err != nil {
		return 0
	}
	return version
}

// subject returns the digest of what failures belong to: the release that is desired or, if the release is pinned, the
// pin. What is desired does not matter then.
func (d Desired) subject() manifest.Digest {
	if d.Pinned > 0 {
		return manifest.DigestOf(fmt.Appendf(nil, "pinned to revision %d", d.Pinned))
	}
	return d.Digest
}

// pinned returns the decision about a release that an operator rolled back to a revision. It returns there also if
// another program changes the release, and stays there whatever is desired.
func (s Situation) pinned(d Desired, now time.Time) Decision {
	newest, exists := s.newest()
	n := Decision{State: StatePinned, Why: fmt.Sprintf("the release is pinned to revision %d", d.Pinned)}
	switch {
	case exists && newest.Status.IsPending():
		n.State, n.Why = StatePending, fmt.Sprintf("revision %d is %s", newest.Version, newest.Status)
		return s.pending(d, n, now)
	case exists && newest.isAt(d.Pinned):
		if newest.Digest == d.Digest {
			n.State, n.Why = StateInSync, ""
		}
		return s.testRequested(d, n, now)
	}
	if n.Version = s.pinTarget(d.Pinned); n.Version == 0 {
		n.Stalled = MissingRollbackTarget
		n.Why += ", which does not exist any more"
		return n
	}
	return s.paced(d, n, Rollback)
}

// isAt reports whether a revision is deployed by the spoke and is a given one, or was made of it by a rollback.
func (r Revision) isAt(version int) bool {
	return r.Status == Deployed && !r.Digest.IsZero() && (r.Version == version || r.rolledBackTo() == version)
}

// pinTarget returns the revision that a rollback to a version returns to: that one, or if its record is deleted the
// newest one that was made of it. If there is neither, pinTarget returns 0.
func (s Situation) pinTarget(version int) int {
	for _, r := range slices.Backward(s.History) {
		if r.Version == version && r.wasDeployed() {
			return version
		}
	}
	for _, r := range slices.Backward(s.History) {
		if r.rolledBackTo() == version && r.wasDeployed() {
			return r.Version
		}
	}
	return 0
}

// wasDeployed reports whether a revision is or was deployed.
func (r Revision) wasDeployed() bool { return r.Status == Deployed || r.Status == Superseded }
