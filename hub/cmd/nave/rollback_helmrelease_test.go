package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

func TestRevisionIn(t *testing.T) {
	for text, want := range map[string]uint32{"": 0, "3": 3, "0": 0, "-1": 0, "x": 0, "4294967296": 0} {
		args := []string{"web", text}
		if text == "" {
			args = args[:1]
		}
		got, err := revisionIn(args)
		if got != want || (err != nil) != (want == 0 && text != "") {
			t.Errorf("%q is revision %d, %v", text, got, err)
		}
	}
}

func TestRevisionText(t *testing.T) {
	if got := revisionText(nil); got != "no revision that is known" {
		t.Error(got)
	}
	r := &adminv1.HelmRevision{Revision: 3, Status: "superseded", Chart: "web-1.0.0",
		DeployedAt: timestamppb.New(time.Unix(0, 0))}
	if got := revisionText(r); got != "revision 3 (web-1.0.0, superseded, of 1970-01-01T00:00:00Z)" {
		t.Error(got)
	}
}

// TestIsPinned waits until a release is at the revision of its pin, or cannot get there.
func TestIsPinned(t *testing.T) {
	condition := func(kind, status, reason string) string {
		return `{"type":"` + kind + `","status":"` + status + `","reason":"` + reason + `","message":"said"}`
	}
	for name, c := range map[string]struct {
		conditions []string
		running    string
		done, err  bool
	}{
		"not_yet": {[]string{condition("Ready", "True", "Succeeded")}, "", false, false},
		"going": {[]string{condition("Ready", "Unknown", "Progressing"), condition("Pinned", "Unknown", "Progressing")}, "",
			false, false},
		"there": {[]string{condition("Ready", "Unknown", "Pinned"), condition("Pinned", "True", "Pinned")}, "",
			true, false},
		"running": {[]string{condition("Pinned", "True", "Pinned")}, `,"running":{"action":"test"}`, false, false},
		"fails": {[]string{condition("Ready", "False", "RollbackFailed"), condition("Pinned", "Unknown", "Progressing")}, "",
			false, true},
		"failed_before": {[]string{condition("Ready", "False", "RollbackFailed")}, "", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			var object map[string]any
			text := `{"status":{"conditions":[` + strings.Join(c.conditions, ",") + `]` + c.running + `}}`
			if err := json.Unmarshal([]byte(text), &object); err != nil {
				t.Fatal(err)
			}
			if done, message, err := isPinned(object); done != c.done || (err != nil) != c.err {
				t.Error(done, message, err)
			}
		})
	}
}
