package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// TestDecisionText names a command that is about the same policy.
func TestDecisionText(t *testing.T) {
	r := &adminv1.ControlTagsRequest{Pin: "1.1.0", Key: &adminv1.ObjectKey{Cluster: "east", Kind: "ImagePolicy",
		Namespace: "apps", Name: "app"}}
	text := decisionText(r, &adminv1.ControlTagsResponse{Changed: true})
	if !strings.HasSuffix(text, ": nave image release app -n apps --cluster east") {
		t.Error(text)
	}
}

// TestChoosing waits until a policy has chosen after a request, also if it is not ready for another reason.
func TestChoosing(t *testing.T) {
	const asked = "2026-01-02T12:00:01Z"
	for name, c := range map[string]struct {
		handled, ready, tag string
		accepts             bool // the pinned tag alone
		done, err           bool
	}{
		"not_yet":      {"2026-01-02T12:00:00Z", "True", "1.1.0", true, false, false},
		"failed":       {"2026-01-02T12:00:00Z", "False", "1.0.0", true, false, false},
		"there":        {asked, "True", "1.0.0", true, true, false},
		"registry":     {asked, "False", "1.0.0", true, true, false},
		"not_pinned":   {asked, "False", "1.1.0", true, false, true},
		"released":     {asked, "True", "1.1.0", false, true, false},
		"not_released": {asked, "False", "1.0.0", false, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			text := fmt.Sprintf(`{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":%q}},"status":{"latestRef":
				{"tag":%q},"lastHandledReconcileAt":%q,"conditions":[{"type":"Ready","status":%q,"reason":"R","message":"said"}]}}`,
				asked, c.tag, c.handled, c.ready)
			var object map[string]any
			if err := json.Unmarshal([]byte(text), &object); err != nil {
				t.Fatal(err)
			}
			var accepts func(string) bool
			if c.accepts {
				accepts = func(tag string) bool { return tag == "1.0.0" }
			}
			done, message, err := choosing(asked, accepts)(object)
			if done != c.done || (err != nil) != c.err {
				t.Error(done, message, err)
			}
		})
	}
}
