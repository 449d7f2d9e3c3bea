package status

import (
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
)

// TestExplain_input tells of the source that a source of a cluster reads, and of no other one that has the same name.
func TestExplain_input(t *testing.T) {
	source := func(key api.Key, spec, ready, reason, message string) Facts {
		return Facts{Resource: store.Resource{Key: key, Object: api.StoredObject(key, []byte(spec))},
			Condition: &store.Condition{Ready: ready, Reason: reason, Message: message}}
	}
	hub := api.Key{Kind: api.HelmRepositoryKind, Namespace: "flux-system", Name: "charts"}
	chart := api.Key{Cluster: "east", Kind: api.HelmChartKind, Namespace: "flux-system", Name: "web"}
	waiting := source(chart, `{"metadata":{"namespace":"flux-system"},"spec":{"chart":"web","sourceRef":{"kind":"HelmRepository","name":"charts"}}}`,
		condition.False, condition.SourceNotReady, "not fetched yet")
	failing := source(hub, `{"spec":{"url":"https://example.com"}}`, condition.False, condition.FetchFailed, "no route")
	own := source(hub.In("east"), `{"spec":{"url":"https://example.com"}}`, condition.True, condition.Succeeded, "")
	for want, facts := range map[string][]Facts{
		`HelmRepository/charts FetchFailed "no route" affects HelmChart/web` + "\n": {waiting, failing},
		`HelmChart/web SourceNotReady "not fetched yet"` + "\n":                     {waiting, failing, own},
	} {
		if got := lines(Explain(newWorld(facts...), api.Key{Kind: chart.Kind})); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
}

// TestExplain_upstream names one cause, the source, if what asks the source's server fails as the source does. The
// advice names the object that has the Secret.
func TestExplain_upstream(t *testing.T) {
	object := func(kind, name, spec string, ready, reason, message string) Facts {
		key := api.Key{Kind: kind, Namespace: "flux-system", Name: name}
		return Facts{Resource: store.Resource{Key: key, Object: api.StoredObject(key, []byte(spec))},
			Condition: &store.Condition{Ready: ready, Reason: reason, Message: message}}
	}
	const failed = condition.AuthenticationFailed
	automation := func(reason, message string) Facts {
		return object(api.ImageUpdateAutomationKind, "update", `{"metadata":{"namespace":"flux-system"},"spec":{"sourceRef":`+
			`{"kind":"GitRepository","name":"apps"},"git":{"commit":{"author":{"email":"a@example.com"}}}}}`,
			condition.False, reason, message)
	}
	repository := func(ready, reason, message string) Facts {
		return object(api.GitRepositoryKind, "apps", `{"spec":{"url":"https://example.com"}}`, ready, reason, message)
	}
	const both = " affects ImageUpdateAutomation/update\n"
	for name, c := range map[string]struct {
		facts  []Facts
		want   string
		advice string
	}{
		"same_reason": {[]Facts{automation(failed, "branch image: 401"), repository("False", failed, "branch main: 401")},
			`GitRepository/apps AuthenticationFailed "branch main: 401"` + both, "Fix the source first"},
		"same_message": {[]Facts{automation("ImageUpdateFailed", "no route"), repository("False", "GitOperationFailed", "no route")},
			`GitRepository/apps GitOperationFailed "no route"` + both, "Fix the source first"},
		"another_failure": {[]Facts{automation(failed, "403"), repository("False", "GitOperationFailed", "no route")},
			`ImageUpdateAutomation/update AuthenticationFailed "403"` + "\n", "spec.secretRef is that of GitRepository flux-system/apps"},
		"may_read_only": {[]Facts{automation(failed, "403"), repository("True", condition.Succeeded, "")},
			`ImageUpdateAutomation/update AuthenticationFailed "403"` + "\n", "spec.secretRef is that of GitRepository flux-system/apps"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(c.facts...)
			if got := lines(Explain(w, api.Key{Kind: api.ImageUpdateAutomationKind})); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
			asked := Explain(w, c.facts[0].Resource.Key)
			if len(asked) != 1 || !strings.Contains(asked[0].Advice, c.advice) {
				t.Errorf("asked for it: %v; want the advice %q", asked, c.advice)
			}
		})
	}
}
