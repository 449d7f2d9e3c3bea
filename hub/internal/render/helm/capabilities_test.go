package helm

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/navefleet/nave/hub/internal/render"
)

func TestScan(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want render.Asked
	}{
		"nothing":         {`{{ .Values.a }} capabilities: {drop: [ALL]}`, render.Asked{}},
		"has":             {`{{ .Capabilities.APIVersions.Has "v1" }}`, render.Asked{}},
		"list":            {`{{ range .Capabilities.APIVersions }}`, render.Asked{AllAPIVersions: true}},
		"piped":           {`{{ .Capabilities.APIVersions | has "v1" }}`, render.Asked{AllAPIVersions: true}},
		"has_and_list":    {`{{ .Capabilities.APIVersions.Has "v1" }}{{ .Capabilities.APIVersions }}`, render.Asked{AllAPIVersions: true}},
		"version":         {`{{ $.Capabilities.KubeVersion.Version }}`, render.Asked{KubeVersion: true}},
		"of_a_variable":   {`{{ $c.KubeVersion.Minor }}{{ $c.APIVersions.Has "x" }}`, render.Asked{KubeVersion: true}},
		"whole":           {`{{ with .Capabilities }}`, render.Asked{KubeVersion: true, AllAPIVersions: true}},
		"whole_at_end":    {`.Capabilities`, render.Asked{KubeVersion: true, AllAPIVersions: true}},
		"helm":            {`{{ .Capabilities.HelmVersion.Version }}`, render.Asked{}},
		"release_name":    {`{{ .Release.Name }} {{ $.Release.Namespace }} {{ .Release.Service }}`, render.Asked{}},
		"release_install": {`{{ if .Release.IsInstall }}`, render.Asked{Upgrade: true}},
		"release_upgrade": {`{{ if $.Release.IsUpgrade }}`, render.Asked{Upgrade: true}},
		"revision":        {`{{ .Release.Revision }}`, render.Asked{Revision: true}},
		"release_whole":   {`{{ dict "r" .Release }}`, render.Asked{Upgrade: true, Revision: true}},
		"release_word":    {`# the Release of the chart`, render.Asked{}},
	} {
		t.Run(name, func(t *testing.T) {
			var got render.Asked
			scan(c.text, &got)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// TestRecorderPrinted checks that a template that prints everything is noted to have read everything.
func TestRecorderPrinted(t *testing.T) {
	var asked render.Asked
	text, err := json.Marshal(recorderOf(apiVersions{"v1"}, &asked))
	if err != nil || string(text) != `["v1"]` || !asked.AllAPIVersions || !asked.KubeVersion {
		t.Errorf("%s, %v, %+v", text, err, asked)
	}
}
