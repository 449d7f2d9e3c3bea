package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// clusterWith returns a Cluster with a status.
func clusterWith(status string) *adminv1.Object {
	return &adminv1.Object{Key: &adminv1.ObjectKey{Kind: "Cluster", Name: "east"}, Json: fmt.Appendf(nil,
		`{"apiVersion":"fleet.nave.io/v1alpha1","kind":"Cluster","metadata":{"name":"east"},"status":%s}`, status)}
}

// checkCluster checks a Cluster with a status, and returns what the check says.
func checkCluster(t *testing.T, is check, status string) (done bool, message string, err error) {
	t.Helper()
	object, err := decode(clusterWith(status))
	if err != nil {
		t.Fatal(err)
	}
	return is(object)
}

// TestRolledBack ends the wait for a rollback when what the pin has is ready, or failed; nothing else counts.
func TestRolledBack(t *testing.T) {
	const bundles = `"bundle":{"sequence":8,"digest":"x"},"acks":{"received":{"digest":"x"}}`
	const old = `"bundle":{"sequence":7,"digest":"w"},"acks":{"received":{"digest":"w"}}`
	pinned := func(applications string) string {
		return `{` + bundles + `,"pinned":{"bundle":{"sequence":3},"applications":` + applications + `}}`
	}
	all := pinned(`{"total":2,"ready":2}`)
	for _, tt := range []struct {
		name, status string
		done         bool
		message      string
		failure      string
	}{
		{"ready", all, true, "2/2 applications of bundle 3 ready", ""},
		{"waits", pinned(`{"total":2,"ready":1,"waits":"app: at work"}`), false, "1/2 applications of bundle 3 ready, waiting for app: at work", ""},
		{"failed", pinned(`{"total":2,"ready":1,"failed":"app: sick"}`), false, "", "1/2 applications of bundle 3 ready: app: sick"},
		{"no_new_bundle_yet", strings.Replace(all, bundles, old, 1), false, "2/2 applications of bundle 3 ready, waiting for the bundle of the hub", ""},
		{"not_sent_yet", strings.Replace(all, `:{"digest":"x"}`, `:{"digest":"w"}`, 1), false, "2/2 applications of bundle 3 ready, waiting until the spoke has the bundle of the pin", ""},
		{"released", `{` + bundles + `}`, false, "", "the pin was ended meanwhile"},
		{"pinned_elsewhere", strings.Replace(all, `:3}`, `:2}`, 1), false, "", "it was pinned to bundle 2 meanwhile"},
		{"old_hub", `{` + bundles + `,"pinned":{"bundle":{"sequence":3}}}`, false, "", "the hub is too old for waiting"},
		{"git_fails", strings.Replace(all, `{"b`, `{"conditions":[{"type":"Ready","status":"False","reason":"BuildFailed"}],"b`, 1), true, "2/2 applications of bundle 3 ready", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := rolledBack(&adminv1.RollbackResponse{Sequence: 3, Replaces: 7})
			done, message, err := checkCluster(t, is, tt.status)
			if done != tt.done || message != tt.message || (err == nil) != (tt.failure == "") ||
				err != nil && !strings.HasPrefix(err.Error(), tt.failure) {
				t.Errorf("done %v, %q, %v", done, message, err)
			}
		})
	}
}

// TestReleasedSince ends the wait for a release when what is in Git is ready, or failed since.
func TestReleasedSince(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ready := func(sequence int, status, reason, since string) string {
		return fmt.Sprintf(`{"bundle":{"sequence":%d},"conditions":[{"type":"Ready","status":%q,"reason":%q,"message":"m",`+
			`"lastTransitionTime":%q}]}`, sequence, status, reason, since)
	}
	const before, after = "2026-01-02T03:04:00Z", "2026-01-02T03:04:09Z"
	for _, tt := range []struct {
		name, status string
		done         bool
		message      string
		failure      string
	}{
		{"ready", ready(8, "True", "ReconciliationSucceeded", after), true, "m", ""},
		{"no_new_bundle_yet", ready(7, "True", "ReconciliationSucceeded", before), false, "waiting for the bundle of the hub", ""},
		{"at_work", ready(8, "Unknown", "Progressing", after), false, "m", ""},
		{"sick_since", ready(8, "False", "HealthCheckFailed", after), false, "m", "m"},
		{"sick_before", ready(8, "False", "HealthCheckFailed", before), false, "m", ""},
		{"build_fails", ready(7, "False", "BuildFailed", before), false, "m", "m"},
		{"pinned_again", `{"pinned":{"bundle":{"sequence":3}}}`, false, "", "it was pinned again meanwhile"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := releasedSince(&adminv1.ReleaseResponse{Replaces: 7, ReleasedAt: timestamppb.New(at)})
			done, message, err := checkCluster(t, is, tt.status)
			text := ""
			if err != nil {
				text = err.Error()
			}
			if done != tt.done || message != tt.message || text != tt.failure {
				t.Errorf("done %v, %q, %q", done, message, text)
			}
		})
	}
	if _, _, err := checkCluster(t, releasedSince(&adminv1.ReleaseResponse{}), "{}"); err == nil {
		t.Error("an older hub does not tell when it released the cluster")
	}
}

// watchedClusters is a hub whose clusters are as they are, but that b has failed.
type watchedClusters struct{ fleetClient }

func (watchedClusters) Watch(_ context.Context, r *adminv1.WatchRequest, _ ...grpc.CallOption) (
	grpc.ServerStreamingClient[adminv1.WatchResponse], error) {
	return &oneObject{name: r.GetName()}, nil
}

// oneObject is a watch that sends one Cluster.
type oneObject struct {
	grpc.ClientStream
	name string
}

func (s *oneObject) Recv() (*adminv1.WatchResponse, error) {
	o := clusterWith(fmt.Sprintf(`{"name":%q}`, s.name))
	return &adminv1.WatchResponse{Type: adminv1.WatchType_WATCH_TYPE_CHANGED, Object: o}, nil
}

// TestClusterWaits waits for all of several clusters, counts them, and names those that failed.
func TestClusterWaits(t *testing.T) {
	cmd, w := &cobra.Command{}, &clusterWaits{waiting: waiting{wait: true}}
	cmd.SetContext(t.Context())
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	for _, name := range []string{"a", "b", "c"} {
		w.add(name, func(object map[string]any) (bool, string, error) {
			if name == "b" {
				return false, "", fmt.Errorf("app is sick")
			}
			return true, "well", nil
		})
	}
	err := w.after(cmd, watchedClusters{}, time.Minute, nil)
	if err == nil || err.Error() != "1 of 3 clusters are not as they should be: b" {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"1/3 clusters done, well", "2/3 clusters done, well", "✗ Cluster b: app is sick"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s lacks %q", out.String(), want)
		}
	}
}
