package render

import (
	"testing"

	"github.com/navefleet/nave/hub/api"
)

func TestAskedSameFor(t *testing.T) {
	one := api.Capabilities{KubeVersion: "v1.36.0", APIVersions: []string{"v1", "a/v1"}}
	for name, c := range map[string]struct {
		asked Asked
		other api.Capabilities
		want  bool
	}{
		"nothing_asked":   {Asked{}, api.Capabilities{}, true},
		"version":         {Asked{KubeVersion: true}, api.Capabilities{KubeVersion: "v1.37.0"}, false},
		"equal_version":   {Asked{KubeVersion: true}, api.Capabilities{KubeVersion: "v1.36.0"}, true},
		"all_in_order":    {Asked{AllAPIVersions: true}, api.Capabilities{APIVersions: []string{"a/v1", "v1"}}, true},
		"all_with_more":   {Asked{AllAPIVersions: true}, api.Capabilities{APIVersions: []string{"a/v1", "v1", "b"}}, false},
		"one_still_there": {Asked{APIVersions: map[string]bool{"v1": true}}, api.Capabilities{APIVersions: []string{"v1"}}, true},
		"one_gone":        {Asked{APIVersions: map[string]bool{"a/v1": true}}, api.Capabilities{}, false},
		"one_new":         {Asked{APIVersions: map[string]bool{"b/v1": false}}, api.Capabilities{APIVersions: []string{"b/v1"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.asked.SameFor(one, c.other); got != c.want {
				t.Errorf("%v", got)
			}
		})
	}
}
