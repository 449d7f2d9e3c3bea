package status

import (
	"fmt"

	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/wording"
)

// withReleasePin returns the verdict about a HelmRelease with its pin. Until the spoke reports that the release is at
// the revision of its pin, or has left that of a pin that ended, the verdict is not True.
func (f Facts) withReleasePin(v verdict) verdict {
	pin, reported := f.Resource.Pin, f.Report.GetRelease().GetPinnedRevision()
	isPinned := pin.Revision != 0
	ended := !isPinned && (reported != 0 || f.Report.GetReason() == condition.Pinned)
	switch {
	case !isPinned && !ended:
		return v
	case v.ready == condition.False:
	case ended:
		return pending(condition.Progressing, "The pin has ended; the release is to go on with what is in Git. "+v.message,
			v.since)
	case reported != pin.Revision:
		v = pending(condition.Progressing, fmt.Sprintf("The release is to go back to revision %d. %s", pin.Revision,
			v.message), later(v.since, pin.At))
	}
	if isPinned {
		v.message += ". " + f.releasePinText(v)
	}
	return v
}

// releasePinText returns a sentence about the pin of a HelmRelease.
func (f Facts) releasePinText(v verdict) string {
	pin := f.Resource.Pin
	text := fmt.Sprintf("Pinned to revision %d since %s", pin.Revision, wording.Time(pin.At))
	if pin.By != "" {
		text += " by " + identity.NameOf(pin.By)
	}
	if v.ready != condition.True && f.Condition != nil && f.Condition.Revision != "" {
		text += ", " + f.Condition.Revision + " waits"
	}
	return text + "; to go on with what is in Git: " + f.releasing()
}

// setReleasePin sets the condition Pinned of a HelmRelease: Unknown until the release is at the revision of the pin.
func (f Facts) setReleasePin(c *conditions, status fields) {
	pin := f.Resource.Pin
	if pin.Revision == 0 {
		return
	}
	value, reason := condition.Unknown, condition.Progressing
	if f.Report.GetRelease().GetPinnedRevision() == pin.Revision {
		value, reason = condition.True, condition.Pinned
	}
	c.set(condition.Pinned, value, reason, f.releasePinText(f.verdict()), pin.At)
	pinned := fields{"revision": int64(pin.Revision), "since": wording.Time(pin.At)}
	pinned.set("by", identity.NameOf(pin.By))
	status["pinned"] = map[string]any(pinned)
}
