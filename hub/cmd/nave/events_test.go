package main

import (
	"context"
	"strings"
	"testing"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// olderHub is a hub that does not know namespaces of events.
type olderHub struct {
	adminv1.UnimplementedAdminServiceServer
	asked chan *adminv1.ListEventsRequest
}

func (h olderHub) ListEvents(_ context.Context, r *adminv1.ListEventsRequest) (*adminv1.ListEventsResponse, error) {
	h.asked <- r
	answer := &adminv1.ListEventsResponse{}
	for _, namespace := range []string{"apps", "other", ""} {
		answer.Events = append(answer.Events, &adminv1.Event{Message: "in '" + namespace + "'",
			Object: &adminv1.ObjectKey{Kind: "Kustomization", Namespace: namespace, Name: "a"}})
	}
	return answer, nil
}

// TestEvents lists the events of a namespace, or of all.
func TestEvents(t *testing.T) {
	h := olderHub{asked: make(chan *adminv1.ListEventsRequest, 1)}
	config := serve(t, h)
	for args, want := range map[string]struct {
		namespace string
		events    int
	}{
		"events": {"", 3}, "events -A": {"", 3}, "events -n apps": {"apps", 1},
		"events -n flux-system --cluster east": {"flux-system", 0},
	} {
		none := ""
		if want.events == 0 {
			none = "No events found.\n"
		}
		out, errOut := nave(t, config, strings.Fields(args)...)
		if got := (<-h.asked).GetNamespace(); got != want.namespace || strings.Count(out, "in '") != want.events ||
			errOut != none {
			t.Errorf("%s: asked for namespace %q, and printed %s%s", args, got, out, errOut)
		}
	}
}
