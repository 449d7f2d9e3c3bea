package status

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/wording"
)

// superseded is the status of a revision that a later one replaced. Its record was written again at that time.
const superseded = "superseded"

// releaseDetails sets the fields of Flux's HelmReleaseStatus that the spoke reports.
func (f Facts) releaseDetails(c *conditions, status fields) {
	r := f.Report.Release
	if r == nil {
		return
	}
	for _, reported := range r.Conditions {
		c.set(reported.Type, reported.Status, reported.Reason, reported.Message, f.Report.Since.AsTime())
	}
	status.set("storageNamespace", r.StorageNamespace)
	status.set("lastAttemptedReleaseAction", r.Attempted)
	status.set("lastHandledForceAt", r.HandledForce)
	status.set("lastHandledResetAt", r.HandledReset)
	status.set("lastHandledTestAt", r.HandledTest)
	for name, n := range map[string]uint32{"installFailures": r.InstallFailures, "upgradeFailures": r.UpgradeFailures,
		"failures": r.InstallFailures + r.UpgradeFailures} {
		if n > 0 {
			status[name] = int64(n)
		}
	}
	if r.Action != "" {
		running := fields{"action": r.Action}
		running.set("step", r.Step)
		if r.Deadline != nil {
			running["deadline"] = wording.Time(r.Deadline.AsTime())
		}
		status["running"] = map[string]any(running)
	}
	var history []any
	for _, revision := range r.History {
		history = append(history, snapshotOf(r, revision))
	}
	if history != nil {
		status["history"] = history
	}
}

// snapshotOf returns the entry of a revision in Flux's status.history.
func snapshotOf(r *spokev1.ReleaseReport, revision *spokev1.RevisionReport) map[string]any {
	snapshot := fields{"name": r.Name, "namespace": r.Namespace, "version": int64(revision.Revision)}
	snapshot.set("status", revision.Status)
	snapshot.set("chartName", revision.Chart)
	snapshot.set("chartVersion", revision.ChartVersion)
	snapshot.set("appVersion", revision.AppVersion)
	snapshot.set("tests", revision.Tests)
	snapshot.set("description", revision.Description)
	last := revision.LastDeployed
	if last == nil && revision.Status != superseded { // of a spoke that reports only when the record was written
		last = revision.WrittenAt
	}
	for name, at := range map[string]*timestamppb.Timestamp{"firstDeployed": revision.FirstDeployed,
		"lastDeployed": last} {
		if at != nil {
			snapshot[name] = wording.Time(at.AsTime())
		}
	}
	return snapshot
}
