package status

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/wording"
)

// clusterVerdict returns True if the cluster runs the newest bundle and all covered objects are ready. Otherwise it
// returns the worst of the verdicts about the session, the hub's Condition, the covered objects and the image of the
// spoke.
func (f Facts) clusterVerdict() verdict {
	own, hub, covered, upgrade := f.sessionVerdict(), f.hubVerdict(), f.coveredVerdict(), f.upgradeVerdict()
	switch {
	case own.ready == condition.False:
		return own
	case hub.ready == condition.False && !isAboutObjects(hub):
		return hub
	case covered.ready == condition.False:
		return covered
	case hub.ready == condition.False:
		return hub
	case upgrade.ready == condition.False:
		return upgrade
	case own.ready != condition.True:
		return own
	case hub.ready != condition.True || f.Bundle == nil:
		return pending(condition.Progressing, "Waiting for the first bundle", hub.since)
	case f.Spoke.Unreported > 0:
		return f.unreportedVerdict()
	case covered.ready != condition.True:
		return covered
	case upgrade.ready != condition.True:
		return upgrade
	}
	v := runningVerdict(f.Spoke, f.Bundle)
	v.message += f.certificateNotice()
	if v.ready == condition.True {
		v.since = f.clusterSince()
	}
	return v
}

// isAboutObjects reports whether the hub's Condition of a Cluster is about objects that are not built, or not yet. They
// are covered, each with its own reason.
func isAboutObjects(hub verdict) bool {
	return hub.reason == condition.BuildFailed || hub.reason == condition.Progressing
}

// sessionVerdict returns True if a bundle can be made for the cluster and its spoke is connected and accepts bundles.
func (f Facts) sessionVerdict() verdict {
	switch s := f.Spoke; {
	case f.cluster().Blocked:
		return failing(condition.Blocked, "Blocked by spec.blocked", f.hubVerdict().since)
	case s != nil && s.Rejected != "":
		return failing(condition.BundleRejected, sentence(s.Rejected), s.Since)
	case f.Refusal != nil:
		return f.refusedVerdict()
	case s != nil && !s.Connected && s.Refused != "":
		since := cmp.Or(s.Since, f.Resource.Created)
		return failing(condition.JoinTokenRefused, "The spoke cannot register: "+s.Refused, since)
	case !registered(s):
		return pending(condition.NotRegistered, "The spoke has not registered yet", f.Resource.Created)
	case !s.Connected:
		return pending(condition.Offline, "The spoke has been offline since "+offlineSince(s)+f.certificateNotice(), s.Since)
	}
	return f.heldBackVerdict()
}

// refusedVerdict is the verdict about a cluster of whose plan no bundle can be made.
func (f Facts) refusedVerdict() verdict {
	return failing(condition.BundleRefused, sentence(f.Refusal.Message), f.Refusal.Since)
}

// unreportedVerdict is the verdict about a cluster whose spoke does not report about all applications, and about each
// of these.
func (f Facts) unreportedVerdict() verdict {
	return verdict{ready: condition.Unknown, reason: condition.ReportsLimited, since: f.Spoke.Since,
		message: fmt.Sprintf("How %s of the cluster are is unknown: a hub takes reports about %d of a cluster",
			wording.Count(f.Spoke.Unreported, "application"), reporting.MaxApplications)}
}

// offlineSince returns since when a spoke has no session, and, if that is known, when the hub last heard from it.
func offlineSince(s *store.Spoke) string {
	if s.Heard.IsZero() {
		return wording.Time(s.Since)
	}
	return wording.Time(s.Since) + ", last heard from at " + wording.Time(s.Heard)
}

// certificateNotice returns the end of a message about a registered spoke whose certificate ends soon, or was ended by
// an operator; "" for any other.
func (f Facts) certificateNotice() string {
	switch s := f.Spoke; {
	case s.Registration == store.Ended:
		return fmt.Sprintf("; it is refused, because an operator ended its certificate: apply what nave cluster rotate "+
			"%[1]s printed, or get a new manifest with nave cluster add %[1]s", f.Resource.Key.Name)
	case s.Expiring:
		return "; its certificate ends at " + wording.Time(s.CertificateExpiry) + " and was not renewed"
	}
	return ""
}

// heldBackVerdict returns True unless the newest bundle has a feature that the connected spoke does not know.
func (f Facts) heldBackVerdict() verdict {
	if f.Bundle == nil || f.Spoke.Lacks(*f.Bundle) == "" {
		return verdict{ready: condition.True}
	}
	return failing(condition.BundleHeldBack,
		fmt.Sprintf("Bundle %d is held back: spoke %s does not know bundle feature %s; "+
			"upgrade the spoke", f.Bundle.Bundle.Sequence, f.Spoke.Version, f.Spoke.Lacks(*f.Bundle)), f.Bundle.ChangedAt)
}

// registered reports whether the spoke has ever registered.
func registered(s *store.Spoke) bool { return s != nil && s.HasRegistered() }

// sentence returns a text of another package with a capital first letter.
func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// runningVerdict returns how far a connected spoke has come with its bundle.
func runningVerdict(s *store.Spoke, d *store.SignedBundle) verdict {
	v := verdict{ready: condition.Unknown, reason: condition.Progressing, since: d.ChangedAt}
	number := fmt.Sprintf("bundle %d", d.Bundle.Sequence)
	switch {
	case acked(s, d, bundle.Healthy):
		v.ready, v.reason, v.message = condition.True, condition.ReconciliationSucceeded, "Runs "+number
	case acked(s, d, bundle.Applied):
		v.message = "The spoke has applied " + number + "; not every application is ready yet"
	case acked(s, d, bundle.Received):
		v.message = "The spoke is applying " + number
	default:
		v.message = "The hub is sending " + number
	}
	return v
}

// clusterDetails sets the fields that the spoke reported, and the bundle that the hub wants there.
func (f Facts) clusterDetails(c *conditions, status fields) {
	f.setConnected(c)
	f.setPinned(c)
	f.setUpgrade(status)
	if d := f.Bundle; d != nil {
		status["bundle"] = bundleOf(d.Bundle)
		status["bundleExpires"] = wording.Time(d.ExpiresAt)
	}
	if p := f.Pin; p != nil {
		status["pinned"] = map[string]any{"bundle": bundleOf(p.Bundle), "since": wording.Time(p.PinnedAt),
			"by": identity.NameOf(p.By), "applications": f.pinProgress()}
	}
	s := f.Spoke
	if s == nil {
		return
	}
	if !s.RegisteredAt.IsZero() {
		status["registeredAt"] = wording.Time(s.RegisteredAt)
	}
	if !s.CertificateExpiry.IsZero() {
		status["certificateExpires"] = wording.Time(s.CertificateExpiry)
	}
	if s.Expiring {
		status["certificateExpiring"] = true
	}
	status.set("version", s.Version)
	status.set("kubernetesVersion", s.KubernetesVersion)
	status.set("image", s.Image)
	status.set("rejected", s.Rejected)
	acks := map[string]any{}
	for stage, id := range s.Acks {
		acks[stage.String()] = bundleOf(id)
	}
	if len(acks) > 0 {
		status["acks"] = acks
	}
}

// setConnected sets the condition Connected of a Cluster.
func (f Facts) setConnected(c *conditions) {
	s := f.Spoke
	switch {
	case !registered(s):
		c.set(condition.Connected, condition.False, condition.NotRegistered, "The spoke has not registered yet",
			f.Resource.Created)
	case s.Connected:
		c.set(condition.Connected, condition.True, condition.Online, "The spoke is connected"+f.certificateNotice(), s.Since)
	default:
		c.set(condition.Connected, condition.False, condition.Offline,
			"The spoke has been offline since "+offlineSince(s)+f.certificateNotice(), s.Since)
	}
}

// bundleOf returns the ID of a bundle in the format of a status.
func bundleOf(id bundle.ID) map[string]any {
	return map[string]any{"epoch": id.Epoch, "sequence": id.Sequence, "digest": id.Digest.String()}
}
