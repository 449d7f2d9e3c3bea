package store

import (
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
)

func TestCondition(t *testing.T) {
	first, second := time.Unix(1, 0), time.Unix(2, 0)
	fails := Condition{Ready: "False", Reason: "BuildFailed", Message: "a", Since: first, Revision: "main@1",
		Attempted: "main@2"}
	works := Condition{Ready: "True", Reason: "BuildSucceeded", Message: "good", Since: first, Revision: "main@1"}
	waits := Condition{Ready: "False", Reason: "SourceNotReady", Message: "a", Since: first, NotYet: true}
	for name, tt := range map[string]struct {
		old, now Condition
		since    time.Time
		event    string // type and message
	}{
		"first_failure":  {Condition{}, fails, second, "Warning a"},
		"first_success":  {Condition{}, works, second, ""},
		"first_waits":    {Condition{}, waits, second, "Normal a"},
		"still_waits":    {waits, waits, first, ""},
		"wait_fails":     {waits, fails, first, "Warning a"},
		"end_of_wait":    {waits, works, second, "Normal good"},
		"same_failure":   {fails, fails, first, ""},
		"other_message":  {fails, Condition{Ready: "False", Reason: "BuildFailed", Message: "b"}, first, "Warning b"},
		"other_reason":   {fails, Condition{Ready: "False", Reason: "Refused", Message: "b"}, first, "Warning b"},
		"failure":        {works, fails, second, "Warning a"},
		"end_of_failure": {fails, works, second, "Normal good"},
		"still_works":    {works, Condition{Ready: "True", Reason: "BuildSucceeded", Message: "better"}, first, ""},
		"suspended":      {works, Condition{Ready: "Unknown", Reason: "Suspended"}, second, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := tt.now.After(tt.old, second)
			if !got.Since.Equal(tt.since) || tt.old.Revision != "" && got.Revision != "main@1" {
				t.Errorf("got %+v", got)
			}
			key, event := api.ClusterKey("east"), ""
			if e, ok := got.EventAfter(tt.old, key, second); ok {
				event = e.Type + " " + e.Message
				if e.Object != key || e.Reason != tt.now.Reason || !e.Time.Equal(second) {
					t.Errorf("event %+v", e)
				}
			}
			if event != tt.event {
				t.Errorf("event %q, want %q", event, tt.event)
			}
		})
	}
}

// TestOriginOf keeps what the artifacts of the last two revisions were made from.
func TestOriginOf(t *testing.T) {
	var c Condition
	for _, next := range []Condition{
		{Revision: "1", Origin: "a"}, {Revision: "2", Origin: "b"}, {Ready: "False"}, {Revision: "2", Origin: "b"},
		{Revision: "3"},
	} {
		c = next.After(c, time.Time{})
	}
	for revision, want := range map[string]string{"": "", "1": "", "2": "b", "3": ""} {
		if got := c.OriginOf(revision); got != want {
			t.Errorf("%q: %q, want %q", revision, got, want)
		}
	}
}

// TestCondition_long_message stores a part of a message that is as long as a name in a manifest, with the cause.
func TestCondition_long_message(t *testing.T) {
	long := Condition{Ready: "False", Reason: "BuildFailed",
		Message: "a.yaml: " + strings.Repeat("x", 1<<20) + ": too long"}
	first := long.After(Condition{}, time.Unix(1, 0))
	if len(first.Message) > maxConditionMessage+10 || !strings.HasSuffix(first.Message, "x: too long") {
		t.Errorf("%d bytes", len(first.Message))
	}
	if e, ok := long.After(first, time.Unix(2, 0)).EventAfter(first, api.ClusterKey("east"), time.Unix(2, 0)); ok {
		t.Errorf("an event of %d bytes about the same failure", len(e.Message))
	}
}
