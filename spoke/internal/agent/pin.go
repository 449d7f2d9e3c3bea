package agent

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/spoke/internal/release"
)

// repairPinned applies objects again that drifted from the revision that a release is pinned to.
func (c *carrier) repairPinned(ctx context.Context, r release.Result) failure {
	if r.Last.State != release.StatePinned || r.Last.Action != release.NoAction || r.Last.Stalled != "" ||
		!c.objects.NeedsRepair() {
		return failure{}
	}
	done, err := c.room(ctx)
	if err != nil {
		return failureOf(nil, err, condition.ReconciliationFailed)
	}
	defer done()
	newest := r.Found.History[len(r.Found.History)-1]
	recorded, err := c.executor().Objects(ctx, r.Journal.Subject(c.desired), newest.Version)
	if err != nil {
		return failureOf(nil, err, condition.ReconciliationFailed)
	}
	err = c.objects.RepairAs(ctx, r.Journal.Subject(c.desired), recorded)
	return failureOf(c.objects.Last(), err, condition.ReconciliationFailed)
}

// pinned returns what keeps a release from what is desired: its pin, or why it cannot return to the revision.
func (c *carrier) pinned(r release.Result) (f failure, retryAt time.Time) {
	f = failureOf(c.objects.Changes(), nil, condition.Pinned)
	f.held = nil
	subject, revision := r.Journal.Subject(c.desired), c.desired.Pinned
	switch {
	case r.Last.Stalled != "":
		f.reason, f.message = string(r.Last.Stalled), r.Last.Why
	case r.Last.Action != release.NoAction:
		f.reason, f.message = condition.Progressing, fmt.Sprintf("%s: %s", r.Last.State, r.Last.Why)
		if cause := r.Journal.NotRemedied; cause != "" {
			f.reason, f.message = condition.RollbackFailed, fmt.Sprintf("Helm rollback of release %s to revision %d failed: %s",
				subject, revision, cause)
		}
		return f, r.Last.NotBefore
	default:
		newest := r.Found.History[len(r.Found.History)-1]
		f.reason, f.message = condition.Pinned, fmt.Sprintf("release %s is at revision %d with chart %s", subject, revision,
			newest.Chart)
		if newest.Version != revision {
			f.message += fmt.Sprintf(" again, as revision %d", newest.Version)
		}
	}
	return f, time.Now().Add(intervalOf(c.loader.app))
}

// pinnedTo returns the pin that a release stays at after a run, or 0.
func (c *carrier) pinnedTo(r release.Result) int {
	isThere := r.Last.State == release.StatePinned || r.Last.State == release.StateInSync
	if isThere && r.Last.Action == release.NoAction && r.Last.Stalled == "" {
		return c.desired.Pinned
	}
	return 0
}

// notePin marks that the cluster may have another revision of a release than the digest of the mark from now on, unless
// the release is pinned to what that digest is. A run without a pin that succeeds ends it.
func (n *node) notePin() {
	if n.entry.PinnedRevision != 0 && !n.isApplied() {
		n.mark.Pinned = n.entry.PinnedRevision
	}
}

// isPinnedTo reports whether the last run found a release at the revision of a pin.
func (s *releaseStatus) isPinnedTo(revision uint32) bool {
	return s != nil && s.pinned == int(revision)
}

// pinCondition returns the condition of a release that is not at the revision of its pin yet, or that has not left the
// revision of a pin that ended.
func (n *node) pinCondition() Condition {
	text := "going on with revision " + n.entry.Revision + " after the end of the pin"
	if pin := n.entry.PinnedRevision; pin != 0 {
		text = fmt.Sprintf("rolling back to revision %d", pin)
	}
	return unknown(condition.Progressing, cmp.Or(n.release.progress(), text))
}
