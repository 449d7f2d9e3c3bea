package helm

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestAskedScan(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want Asked
	}{
		"nothing":         {`{{ .Values.a }} capabilities: {drop: [ALL]}`, Asked{}},
		"has":             {`{{ .Capabilities.APIVersions.Has "v1" }}`, Asked{}},
		"list":            {`{{ range .Capabilities.APIVersions }}`, Asked{AllAPIVersions: true}},
		"piped":           {`{{ .Capabilities.APIVersions | has "v1" }}`, Asked{AllAPIVersions: true}},
		"has_and_list":    {`{{ .Capabilities.APIVersions.Has "v1" }}{{ .Capabilities.APIVersions }}`, Asked{AllAPIVersions: true}},
		"version":         {`{{ $.Capabilities.KubeVersion.Version }}`, Asked{KubeVersion: true}},
		"of_a_variable":   {`{{ $c.KubeVersion.Minor }}{{ $c.APIVersions.Has "x" }}`, Asked{KubeVersion: true}},
		"whole":           {`{{ with .Capabilities }}`, Asked{KubeVersion: true, AllAPIVersions: true}},
		"whole_at_end":    {`.Capabilities`, Asked{KubeVersion: true, AllAPIVersions: true}},
		"helm":            {`{{ .Capabilities.HelmVersion.Version }}`, Asked{}},
		"release_name":    {`{{ .Release.Name }} {{ $.Release.Namespace }} {{ .Release.Service }}`, Asked{}},
		"release_install": {`{{ if .Release.IsInstall }}`, Asked{Upgrade: true}},
		"release_upgrade": {`{{ if $.Release.IsUpgrade }}`, Asked{Upgrade: true}},
		"revision":        {`{{ .Release.Revision }}`, Asked{Revision: true}},
		"release_whole":   {`{{ dict "r" .Release }}`, Asked{Upgrade: true, Revision: true}},
		"release_word":    {`# the Release of the chart`, Asked{}},
	} {
		t.Run(name, func(t *testing.T) {
			var got Asked
			got.scan(c.text)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestAskedSameFor(t *testing.T) {
	one := Capabilities{KubeVersion: "v1.36.0", APIVersions: []string{"v1", "a/v1"}}
	for name, c := range map[string]struct {
		asked Asked
		other Capabilities
		want  bool
	}{
		"nothing_asked":   {Asked{}, Capabilities{}, true},
		"version":         {Asked{KubeVersion: true}, Capabilities{KubeVersion: "v1.37.0"}, false},
		"equal_version":   {Asked{KubeVersion: true}, Capabilities{KubeVersion: "v1.36.0"}, true},
		"all_in_order":    {Asked{AllAPIVersions: true}, Capabilities{APIVersions: []string{"a/v1", "v1"}}, true},
		"all_with_more":   {Asked{AllAPIVersions: true}, Capabilities{APIVersions: []string{"a/v1", "v1", "b"}}, false},
		"one_still_there": {Asked{APIVersions: map[string]bool{"v1": true}}, Capabilities{APIVersions: []string{"v1"}}, true},
		"one_gone":        {Asked{APIVersions: map[string]bool{"a/v1": true}}, Capabilities{}, false},
		"one_new":         {Asked{APIVersions: map[string]bool{"b/v1": false}}, Capabilities{APIVersions: []string{"b/v1"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.asked.SameFor(one, c.other); got != c.want {
				t.Errorf("%v", got)
			}
		})
	}
}

// TestRecorderPrinted checks that a template that prints everything is noted to have read everything.
func TestRecorderPrinted(t *testing.T) {
	var asked Asked
	text, err := json.Marshal(recorderOf(apiVersions{"v1"}, &asked))
	if err != nil || string(text) != `["v1"]` || !asked.AllAPIVersions || !asked.KubeVersion {
		t.Errorf("%s, %v, %+v", text, err, asked)
	}
}
