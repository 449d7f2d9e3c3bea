package render

import (
	"testing"

	"github.com/navefleet/nave/hub/api"
)

func TestAsked_Answers(t *testing.T) {
	version := api.Capabilities{KubeVersion: "v1.36.0"}
	served := api.Capabilities{KubeVersion: "v1.36.0", APIVersions: []string{"v1", "a/v1"}}
	upgrade := api.ChartFacts{Upgrade: true}
	tests := map[string]struct {
		asked      Asked
		one, other api.ChartFacts
		same       bool
	}{
		"nothing":       {Asked{}, api.ChartFacts{Capabilities: served}, upgrade, true},
		"version":       {Asked{KubeVersion: true}, api.ChartFacts{Capabilities: version}, api.ChartFacts{}, false},
		"equal_version": {Asked{KubeVersion: true}, api.ChartFacts{Capabilities: version}, api.ChartFacts{Capabilities: served}, true},
		"all": {Asked{AllAPIVersions: true}, api.ChartFacts{Capabilities: served}, api.ChartFacts{Capabilities: version},
			false},
		"all_in_order": {Asked{AllAPIVersions: true}, api.ChartFacts{Capabilities: served},
			api.ChartFacts{Capabilities: api.Capabilities{APIVersions: []string{"a/v1", "v1"}}}, true},
		"one": {Asked{APIVersions: map[string]bool{"a/v1": true}}, api.ChartFacts{Capabilities: served},
			api.ChartFacts{Capabilities: version}, false},
		"one_still_there": {Asked{APIVersions: map[string]bool{"v1": true}}, api.ChartFacts{Capabilities: served},
			api.ChartFacts{Capabilities: api.Capabilities{APIVersions: []string{"v1"}}}, true},
		"upgrade":  {Asked{Upgrade: true}, api.ChartFacts{}, upgrade, false},
		"revision": {Asked{Revision: true}, api.ChartFacts{}, upgrade, false},
		"later_revision": {Asked{Revision: true}, api.ChartFacts{Upgrade: true, Last: 5}, api.ChartFacts{Upgrade: true, Last: 6},
			false},
		"second_revision":     {Asked{Revision: true}, api.ChartFacts{Upgrade: true, Last: 1}, upgrade, true},
		"installed_again":     {Asked{Revision: true}, api.ChartFacts{Last: 4}, api.ChartFacts{}, false},
		"upgrade_of_revision": {Asked{Upgrade: true}, api.ChartFacts{Upgrade: true, Last: 5}, upgrade, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := test.asked.Answers(test.one) == test.asked.Answers(test.other); got != test.same {
				t.Errorf("the same: %v", got)
			}
		})
	}
}

func TestAsked_SameQuestions(t *testing.T) {
	one := Asked{APIVersions: map[string]bool{"a/v1": true}}
	if !one.SameQuestions(Asked{APIVersions: map[string]bool{"a/v1": false}}) {
		t.Error("other answers are other questions")
	}
	if one.SameQuestions(Asked{APIVersions: map[string]bool{"b/v1": true}}) ||
		one.SameQuestions(Asked{KubeVersion: true}) {
		t.Error("other questions are the same")
	}
}
