package agent

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/wording"
	"github.com/navefleet/nave/spoke/internal/release"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// releaseStatus is what is known about the release that an application is. It is not changed once it is in a node.
type releaseStatus struct {
	id         release.Identity
	conditions []release.Condition
	history    []release.Revision // the newest first
	journal    release.Journal
	acted      bool // the last run did something
	pinned     int  // the revision that it stays at; 0: it is not pinned, or not there yet
}

// isRelease reports whether the application is a release of Helm, or was one when it was last applied.
func (n *node) isRelease() bool { return n.app != nil && n.app.Release != nil || n.mark.Release != nil }

// status returns what is known after a run.
func (c *carrier) status(r release.Result) *releaseStatus {
	subject := r.Journal.Subject(c.desired)
	history := slices.Clone(r.Found.History[max(0, len(r.Found.History)-reporting.MaxRevisions):])
	slices.Reverse(history)
	s := &releaseStatus{id: subject, conditions: r.Found.Conditions(c.desired), history: history, journal: r.Journal,
		acted: len(r.Done) > 0, pinned: c.pinnedTo(r)}
	if len(history) > 0 {
		history[0].Tests = r.Found.Tests
	}
	if !c.desired.HasTests {
		s.journal.HandledTest = c.desired.Tested
	}
	return s
}

// noteRelease notes the state of a release after a run, and returns the events about what the run did.
func (n *node) noteRelease(in applied) (out []action) {
	if in.release == nil {
		return nil
	}
	before := n.release
	if n.release = in.release; !in.release.acted {
		return nil
	}
	if in.uninstalled != "" {
		out = append(out, event{name: n.entry.Name, reason: condition.UninstallSucceeded, message: in.uninstalled})
	}
	for _, c := range in.release.conditions {
		if in.uninstalled != "" && c.Reason == condition.UninstallSucceeded {
			continue // it has the event
		}
		if c.Reason == in.failure.reason || before != nil && slices.Contains(before.conditions, c) {
			continue // a failure has its own event
		}
		out = append(out, event{name: n.entry.Name, warning: c.Status != condition.True, reason: c.Reason,
			message: c.Message})
	}
	return out
}

// progressed is the input that an action on a release has come to another step.
type progressed struct {
	name    bundle.ApplicationName
	run     uint64
	journal release.Journal
}

func (in progressed) advance(m *model) []action {
	n := m.nodes[in.name]
	if n == nil || n.run != in.run || n.work == idle {
		return nil
	}
	var s releaseStatus
	if n.release != nil {
		s = *n.release
	}
	s.journal = in.journal
	if in.journal.Release != (release.Identity{}) {
		s.id = in.journal.Release
	}
	n.release = &s
	return nil
}

// progress says which action runs; empty if none does.
func (s *releaseStatus) progress() string {
	if s == nil || s.journal.Running.Action == release.NoAction {
		return ""
	}
	return fmt.Sprintf("running Helm %s: %s, until %s at most", s.journal.Running.Action, s.journal.Step(),
		wording.Time(s.journal.Running.Deadline))
}

// equal reports whether both are the same for the hub.
func (s *releaseStatus) equal(o *releaseStatus) bool {
	if s == nil || o == nil {
		return s == o
	}
	return s.id == o.id && slices.Equal(s.conditions, o.conditions) && slices.Equal(s.history, o.history) &&
		s.journal == o.journal && s.pinned == o.pinned
}

// wire returns the protocol message; nil if nothing is known.
func (s *releaseStatus) wire(d discretion) *spokev1.ReleaseReport {
	if s == nil {
		return nil
	}
	j := s.journal
	w := &spokev1.ReleaseReport{
		Name: s.id.Name, Namespace: s.id.Namespace, StorageNamespace: s.id.StorageNamespace,
		Attempted: string(j.Attempted), InstallFailures: uint32(j.InstallFailures),
		UpgradeFailures: uint32(j.UpgradeFailures),
		HandledForce:    j.HandledForce, HandledReset: j.HandledReset, HandledTest: j.HandledTest,
		PinnedRevision: uint32(s.pinned),
	}
	if j.Running.Action != release.NoAction {
		w.Action, w.Step, w.Deadline = string(j.Running.Action), j.Step(), timestamppb.New(j.Running.Deadline)
	}
	for _, c := range s.conditions {
		w.Conditions = append(w.Conditions, &spokev1.ReleaseCondition{Type: c.Type, Status: c.Status, Reason: c.Reason,
			Message: d.text(c.Message)})
	}
	for _, r := range s.history {
		v := &spokev1.RevisionReport{Revision: uint32(r.Version), Status: string(r.Status), Chart: r.Chart.Name,
			ChartVersion: r.Chart.Version, AppVersion: r.Chart.AppVersion, Tests: string(r.Tests)}
		v.WrittenAt, v.FirstDeployed, v.LastDeployed = momentOf(r.WrittenAt), momentOf(r.Events.FirstDeployed),
			momentOf(r.Events.LastDeployed)
		v.Description = d.text(r.Events.Description)
		w.History = append(w.History, v)
	}
	return w
}

// momentOf returns the protocol message of a time; nil if the time is zero.
func momentOf(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
