package main

import (
	"strings"
	"testing"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

func TestHandled(t *testing.T) {
	const asked = "2026-01-02T03:04:05.1Z"
	for name, c := range map[string]struct {
		status  string
		done    bool
		failure string
	}{
		"nothing_known":         {`{}`, false, ""},
		"an_earlier_request":    {`{"lastHandledReconcileAt":"2026-01-02T03:04:05.09Z","conditions":[{"type":"Ready","status":"True","message":"m"}]}`, false, ""},
		"no_request_yet":        {`{"conditions":[{"type":"Ready","status":"False","message":"m"}]}`, false, ""},
		"handled_ready":         {`{"lastHandledReconcileAt":"2026-01-02T03:04:05.1Z","conditions":[{"type":"Ready","status":"True","message":"m"}]}`, true, ""},
		"a_later_one_ready":     {`{"lastHandledReconcileAt":"2026-01-02T03:04:05.11Z","conditions":[{"type":"Ready","status":"True","message":"m"}]}`, true, ""},
		"handled_still_at_work": {`{"lastHandledReconcileAt":"2026-01-02T03:04:05.1Z","conditions":[{"type":"Ready","status":"Unknown","message":"m"}]}`, false, ""},
		"handled_failed":        {`{"lastHandledReconcileAt":"2026-01-02T03:04:05.1Z","conditions":[{"type":"Ready","status":"False","message":"path not found"}]}`, false, "path not found"},
		"drift_is_held":         {`{"lastHandledReconcileAt":"2026-01-02T03:04:05.1Z","conditions":[{"type":"Ready","status":"False","reason":"DriftHeld","message":"soon"}]}`, false, ""},
		"nonsense_was_handled":  {`{"lastHandledReconcileAt":"yesterday","conditions":[{"type":"Ready","status":"True","message":"m"}]}`, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			object, err := decode(&adminv1.Object{Json: []byte(`{"status":` + c.status + `}`)})
			if err != nil {
				t.Fatal(err)
			}
			done, _, err := handled(object, asked)
			if done != c.done || (err != nil) != (c.failure != "") || err != nil && !strings.Contains(err.Error(), c.failure) {
				t.Fatalf("done %v, error %v; want %v, %q", done, err, c.done, c.failure)
			}
		})
	}
}
