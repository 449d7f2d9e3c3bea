package main

import (
	"bytes"
	"strings"
	"testing"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// TestPrintEvents_columns aligns the messages behind the longest reason.
func TestPrintEvents_columns(t *testing.T) {
	var out bytes.Buffer
	printEvents(&out, []*adminv1.Event{
		{Type: "Normal", Reason: "ReconciliationSucceeded", Message: "message"},
		{Type: "Warning", Reason: "Pinned", Message: "message"},
	})
	lines := strings.Split(out.String(), "\n")
	if a, b := strings.Index(lines[0], "message"), strings.Index(lines[1], "message"); a != b || a < 0 {
		t.Errorf("the messages are in columns %d and %d:\n%s", a, b, out.String())
	}
}
