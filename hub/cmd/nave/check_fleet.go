package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/wording"
)

// clusters checks the connections, the versions and the certificates of all spokes.
func (c *checkup) clusters(ctx context.Context, client adminv1.AdminServiceClient, hub string, now time.Time) error {
	rows, err := listRows(ctx, client, &adminv1.ListRequest{Kind: api.ClusterKind}, chunkSize, "")
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		c.note("clusters", checkWarning, "the hub has no clusters: register one with nave cluster add")
		return nil
	}
	var absent, other, ending []string
	for _, r := range rows {
		name := r.key.GetName()
		connected := api.FindCondition(r.object, condition.Connected)
		if fieldText(connected, "status") != condition.True {
			absent = append(absent, fmt.Sprintf("%s (%s)", name, fieldText(connected, "message")))
		}
		status, _, _ := unstructured.NestedMap(r.object, "status")
		// A spoke sends its commit and its Go, too: "v1.2.3 (commit, go1.26)".
		if v, _, _ := strings.Cut(fieldText(status, "version"), " "); v != "" && v != hub {
			other = append(other, name+" "+v)
		}
		ends, err := time.Parse(time.RFC3339, fieldText(status, "certificateExpires"))
		if err == nil && (status["certificateExpiring"] == true || now.After(ends)) {
			ending = append(ending, name+" at "+wording.Time(ends))
		}
	}
	c.of("connections", checkFailed, absent, len(rows), "cluster", "connected", "not connected")
	c.of("versions", checkWarning, other, len(rows), "cluster", "without a spoke of another version than the hub",
		"with a spoke of another version than the hub ("+hub+")")
	c.of("certificates", checkFailed, ending, len(rows), "cluster", "without a certificate that ends and was not renewed",
		"with a certificate that ends and was not renewed")
	return nil
}

// of notes how many of some things are otherwise than they should be, or that none is.
func (c *checkup) of(check, result string, wrong []string, total int, noun, right, otherwise string) {
	if len(wrong) == 0 {
		c.note(check, checkOK, fmt.Sprintf("%s %s", wording.Count(total, noun), right))
		return
	}
	c.note(check, result, fmt.Sprintf("%d of %s %s", len(wrong), wording.Count(total, noun), otherwise), wrong...)
}

// heldReasons are the reasons of what waits for an operator to confirm, release or upgrade something.
var heldReasons = []string{condition.RemovalHeld, condition.PruneHeld, condition.DriftHeld, condition.ReleaseHeld,
	condition.BundleHeldBack}

// objects checks what the hub explains. Clusters that are not connected were checked before.
func (c *checkup) objects(ctx context.Context, client adminv1.AdminServiceClient) error {
	answer, err := client.Explain(ctx, &adminv1.ExplainRequest{Key: &adminv1.ObjectKey{}})
	if err != nil {
		return err
	}
	found := map[string][]string{}
	for _, e := range answer.GetExplanations() {
		state, why := stateOf(e, time.Now()), oneLine(e.GetReason())
		if n := len(e.GetAffects()); n > 0 {
			why += fmt.Sprintf(", affects %d more", n)
		}
		found[state] = append(found[state], fmt.Sprintf("%s (%s)", show(e.GetObject()), why))
	}
	for _, state := range []struct{ name, result, text string }{
		{"failed", checkFailed, "not ready"}, {"held", checkFailed, "held until an operator does something"},
		{"late", checkFailed, "in progress for more than " + longProgress.String()},
		{"progressing", checkWarning, "in progress"}, {"incomplete", checkWarning, "ready with a warning"},
		{"paused", checkWarning, "suspended or pinned"},
	} {
		if names := found[state.name]; len(names) > 0 {
			c.note("objects", state.result, wording.Count(len(names), "object")+" "+state.text, names...)
		}
	}
	switch absent := len(found["absent"]) > 0; {
	case len(found) == 0:
		c.note("objects", checkOK, "all objects are ready")
	case len(found) == 1 && absent:
		c.note("objects", checkOK, "all objects were ready, as far as the spokes have reported")
	default:
		c.heading("nave explain says why, since when, and what to do")
	}
	return nil
}

// longProgress is how long anything may be in progress.
const longProgress = 5 * time.Minute

// isOfCluster reports whether an object is one of the graph of a cluster.
func isOfCluster(k *adminv1.ObjectKey) bool { return k.GetCluster() != "" }

// stateOf returns the state of an object that is not as it should be; "absent" for a Cluster that is not connected and
// has all that it should have, as far as its spoke has reported.
func stateOf(e *adminv1.Explanation, now time.Time) string {
	reason := e.GetReason()
	isAbsent := reason == condition.Offline || reason == condition.NotRegistered
	switch {
	case e.GetInVain(), isAbsent && slices.ContainsFunc(e.GetAffects(), isOfCluster):
		return "failed"
	case isAbsent && keyOf(e.GetObject()).Role() == api.ClusterRole:
		return "absent"
	case slices.Contains(heldReasons, reason):
		return "held"
	case isWanted(e):
		return "paused"
	case isWarning(e):
		return "incomplete"
	case reason == condition.Progressing && now.Sub(e.GetSince().AsTime()) > longProgress:
		return "late"
	case reason == condition.Progressing:
		return "progressing"
	}
	return "failed"
}
