package status

import (
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
)

// TestTagPin never shows a pinned ImagePolicy as if it followed its spec.
func TestTagPin(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	key := api.Key{Cluster: "a", Kind: api.ImagePolicyKind, Namespace: "apps", Name: "app"}
	const by = "Pinned to tag 1.0.0 since 2026-01-02T12:00:00Z by alice; to follow the policy again: " +
		"nave image release app -n apps --cluster a"
	for name, c := range map[string]struct {
		tag, asked, handled string
		ready               string // the hub's own
		want                string
		condition           string // Pinned
	}{
		"none":    {"", "", "", "True", "True Succeeded: said", ""},
		"pinned":  {"1.0.0", "2", "2", "True", "True Succeeded: said. " + by, "True"},
		"later":   {"1.0.0", "2", "3", "True", "True Succeeded: said. " + by, "True"},
		"asked":   {"1.0.0", "2", "1", "True", "Unknown Progressing: The hub is to choose the tag as an operator decided. Before that: said. " + by, "Unknown"},
		"fails":   {"1.0.0", "2", "2", "False", "False Succeeded: said. " + by, "True"},
		"release": {"", "3", "2", "True", "Unknown Progressing: The hub is to choose the tag as an operator decided. Before that: said", ""},
	} {
		t.Run(name, func(t *testing.T) {
			at := func(second string) string {
				if second == "" {
					return ""
				}
				return "2026-01-02T12:00:0" + second + "Z"
			}
			f := Facts{Resource: store.Resource{Key: key, Object: api.StoredObject(key, []byte(`{}`)), RequestedAt: at("3")},
				Condition: &store.Condition{Ready: c.ready, Reason: "Succeeded", Message: "said", HandledRequest: at(c.handled)}}
			f.Resource.Tags = store.TagDecisions{RequestedAt: at(c.asked)}
			if c.tag != "" {
				f.Resource.Tags.Pin = store.TagDecision{Tag: c.tag, At: noon, By: "alice"}
			}
			v := f.verdict()
			if got := v.ready + " " + v.reason + ": " + v.message; got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
			set, status := &conditions{}, fields{}
			f.details(set, status)
			got := ""
			for _, one := range set.list {
				if one.Type == condition.Pinned {
					got = string(one.Status)
				}
			}
			if _, has := status["pinned"]; got != c.condition || has != (c.condition != "") {
				t.Errorf("Pinned is %q, status %v", got, status)
			}
			if c.tag != "" {
				if e := f.explainPin(v); !strings.Contains(e.Advice, "nave image release app -n apps --cluster a") {
					t.Errorf("the advice is %q", e.Advice)
				}
			}
		})
	}
}

// TestExcluded names the excluded tags, the last ones first, and who excluded them.
func TestExcluded(t *testing.T) {
	key := api.Key{Kind: api.ImagePolicyKind, Namespace: api.DefaultNamespace, Name: "app"}
	f := Facts{Resource: store.Resource{Key: key, Object: api.StoredObject(key, []byte(`{}`))},
		Condition: &store.Condition{Ready: "True", Message: "said"}}
	for n, tag := range []string{"1", "2", "3", "4", "5", "6"} {
		f.Resource.Tags.Excluded = append(f.Resource.Tags.Excluded,
			store.TagDecision{Tag: tag, At: time.Unix(int64(n), 0), By: "alice"})
	}
	const want = "said. Excluded: 6 by alice, 5 by alice, 4 by alice, 3 by alice, 2 by alice, and 1 more; " +
		"to allow one again: nave image include app TAG"
	if got := f.verdict().message; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	status := fields{}
	f.details(&conditions{}, status)
	if list, _ := status["excluded"].([]any); len(list) != 6 {
		t.Errorf("the status has %v", status)
	}
}

// TestAdvice_policy names the ImageRepository of an ImagePolicy, and the field that names it.
func TestAdvice_policy(t *testing.T) {
	key := api.Key{Cluster: "a", Kind: api.ImagePolicyKind, Namespace: "apps", Name: "app"}
	f := Facts{Resource: store.Resource{Key: key, Object: api.StoredObject(key, []byte(
		`{"metadata":{"namespace":"apps"},"spec":{"imageRepositoryRef":{"name":"tags"},"policy":{"semver":{"range":"*"}}}}`))}}
	for reason, want := range map[string]string{
		api.PolicyFailed:         "nave reconcile image repository tags -n apps --cluster a reads the tags again",
		condition.SourceNotReady: "or correct spec.imageRepositoryRef",
	} {
		if got := f.advice(reason); !strings.Contains(got, want) {
			t.Errorf("%s: %q lacks %q", reason, got, want)
		}
	}
}

// TestExplain_pinned_waiting names the pin of a policy also while its ImageRepository fails.
func TestExplain_pinned_waiting(t *testing.T) {
	key := api.Key{Kind: api.ImagePolicyKind, Namespace: "apps", Name: "app"}
	policy := Facts{Resource: store.Resource{Key: key, Object: api.StoredObject(key, []byte(`{"metadata":{"namespace":"apps"},
		"spec":{"imageRepositoryRef":{"name":"app"},"policy":{"semver":{"range":"1.x"}}}}`))},
		Condition: &store.Condition{Ready: condition.False, Reason: condition.SourceNotReady, Message: "no route"}}
	policy.Resource.Tags.Pin = store.TagDecision{Tag: "1.0.0", At: at(1), By: "alice"}
	key.Kind = api.ImageRepositoryKind
	repository := Facts{Resource: store.Resource{Key: key, Object: api.StoredObject(key, []byte(`{"spec":{"image":"a.io/b"}}`))},
		Condition: &store.Condition{Ready: condition.False, Reason: "ReadOperationFailed", Message: "no route"}}
	var got []string
	for _, e := range Explain(newWorld(policy, repository), api.Key{}) {
		got = append(got, e.Object.Kind+" "+e.Reason)
	}
	if all := strings.Join(got, ", "); all != "ImageRepository ReadOperationFailed, ImagePolicy Pinned" {
		t.Errorf("got %s", all)
	}
}

// TestAdvice_suspended names the whole command that ends a suspension.
func TestAdvice_suspended(t *testing.T) {
	key := api.Key{Cluster: "east", Kind: api.ImagePolicyKind, Namespace: "apps", Name: "app"}
	f := Facts{Resource: store.Resource{Key: key, Object: api.StoredObject(key, []byte(`{}`))}}
	const want = "To go on: nave resume imagepolicy app -n apps --cluster east, or "
	if got := f.advice(condition.Suspended); !strings.HasPrefix(got, want) {
		t.Error(got)
	}
}
