package status

import (
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
)

// TestExplain_incomplete warns of an automation that is ready and passed over markers. If it is not ready, that is said
// in place of the warning.
func TestExplain_incomplete(t *testing.T) {
	key := api.Key{Kind: api.ImageUpdateAutomationKind, Namespace: "apps", Name: "app"}
	o := api.StoredObject(key, []byte(`{"spec":{"interval":"1h","sourceRef":{"kind":"GitRepository","name":"apps"},`+
		`"git":{"commit":{"author":{"email":"a@example.com"}}}}}`))
	const failed, warns = "ImageUpdateFailed", "ImageUpdateIncomplete"
	for name, c := range map[string]struct{ ready, reason, status, want string }{
		"complete":   {condition.True, condition.Succeeded, `{"lastPushCommit":"1"}`, ""},
		"incomplete": {condition.True, condition.Succeeded, `{"problems":["a.yaml: line 3: no policy"]}`, warns},
		"fails":      {condition.False, failed, `{"problems":["a.yaml: line 3: no policy"]}`, failed},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(Facts{Resource: store.Resource{Key: key, Object: o},
				Condition: &store.Condition{Ready: c.ready, Reason: c.reason, Message: "said", Since: at(1)},
				Fetched:   &store.Fetched{Artifact: &artifact.Artifact{Status: c.status}}})
			var got []string
			for _, e := range Explain(w, api.Key{}) {
				got = append(got, e.Reason)
				if e.Message != "said" || !strings.Contains(e.Advice, "image update app") {
					t.Errorf("%v", e)
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
