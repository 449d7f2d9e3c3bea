package store

import (
	"fmt"
	"testing"

	"github.com/navefleet/nave/hub/api"
)

// TestSetObject replaces objects with annotations after requests of an operator.
func TestSetObject(t *testing.T) {
	object := func(requested, force, reset string) *api.Object {
		return api.StoredObject(api.Key{}, fmt.Appendf(nil, `{"metadata":{"annotations":{
			"reconcile.fluxcd.io/requestedAt":%q,"reconcile.fluxcd.io/forceAt":%q,"reconcile.fluxcd.io/resetAt":%q}}}`,
			requested, force, reset))
	}
	for name, tt := range map[string]struct {
		was, now            *api.Object
		asked, force, reset string
	}{
		"new_row":          {nil, object("a", "a", "a"), "op", "op", "op"},
		"same":             {object("a", "a", "a"), object("a", "a", "a"), "op", "op", "op"},
		"reconcile":        {object("a", "a", "a"), object("b", "a", "a"), "b", "op", "op"},
		"reset":            {object("a", "a", "a"), object("b", "a", "b"), "b", "op", ""},
		"force":            {object("a", "", ""), object("b", "b", ""), "b", "", "op"},
		"force_counts_now": {object("a", "b", ""), object("b", "b", ""), "b", "", "op"},
		"force_alone":      {object("a", "", ""), object("a", "b", ""), "op", "op", "op"},
		"gone":             {object("a", "a", "a"), object("", "", ""), "op", "op", "op"},
	} {
		t.Run(name, func(t *testing.T) {
			r := Resource{Object: tt.was, RequestedAt: "op", Requests: ReleaseRequests{"op", "op", "test"}}
			r.SetObject(tt.now)
			if got := r.Requested(); got != tt.asked || r.Requests != (ReleaseRequests{tt.force, tt.reset, "test"}) {
				t.Errorf("got %q, %+v", got, r.Requests)
			}
		})
	}
}
