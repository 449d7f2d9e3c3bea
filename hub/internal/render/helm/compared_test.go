package helm

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
)

// TestComparer checks that a rewritten template gives the same where nothing matches.
func TestComparer(t *testing.T) {
	const text = `{{- /* eq */ -}}
{{ define "a\"b" -}} {{ if eq . "x" }}1{{ else if contains "2" . }}2{{ else }}3{{ end }} {{- end }}
{{ block "c" .Values }}{{ with .n }}{{ . | eq 1.0 }}{{ else }}no{{ end }}{{ end }}
{{- $last := "" }}{{ range $i, $x := list "a" "b" "c" }}{{ if eq $x "c" }}{{ break }}{{ end }}
{{- if (has $x (list "b" | compact)) }}{{ continue }}{{ end }}{{ $last = print $i $x | quote }}{{ else }}{{ end }}
` + "{{ printf `%s-%q` (ternary \"y\" \"n\" (and (ne $last \"\") (not (hasPrefix \"z\" \"a\")))) \"\\n<&>\" }}" + `
{{ include "a\"b" "x2" }}{{ include "a\"b" "x" }}{{ template "a\"b" (eq "a" "b" | toString) }}
{{ (dict "k" (gt 3 2)).k }} {{ (semverCompare ">=1.2" "1.3.0") }} {{ "now" | regexMatch "^n" }} {{ eq nil nil }}`
	c := comparer{pattern: "never", active: map[int]bool{}}
	c.template(text)
	for n := range c.found {
		c.active[n] = true
	}
	total := len(c.found)
	c.found = nil
	rewritten := c.template(text)
	if total != 12 || strings.Count(rewritten, "regexFind") != total {
		t.Errorf("%d comparisons: %s", total, rewritten)
	}
	render := func(text string) string {
		out, err := (V3{}).Render(Input{Files: []File{{"Chart.yaml", []byte("apiVersion: v2\nname: app\nversion: 1.0.0\n")},
			{"templates/a.yaml", []byte(text)}}, Values: map[string]any{"n": 1.0}, Capabilities: DefaultCapabilities()})
		if err != nil {
			t.Fatalf("%v:\n%s", err, text)
		}
		return out.Texts["app/templates/a.yaml"]
	}
	if got, want := render(rewritten), render(text); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestCompared_values checks comparisons in values that are templates.
func TestCompared_values(t *testing.T) {
	const compares = `{{ if eq .Values.password \"x\" }}1{{ else }}2{{ end }}`
	for template, refused := range map[string]bool{
		configMap(`{{ tpl .Values.text . | quote }}`):                          true,
		configMap(`{{ .Values.text | quote }}`):                                false,
		configMap(`{{ print .Values.text (eq .Values.password "") | quote }}`): false,
	} {
		b := newBuild()
		b.Values = json.RawMessage(`{"text": "` + compares + `"}`)
		b.ValuesFrom = []api.ChartValues{{Data: &password, TargetPath: "password", Key: "p",
			Input: api.Input{Kind: "Secret", Namespace: "apps", Name: "db"}}}
		_, err := render1(t, chartTree(t, map[string]string{
			"charts/app/templates/a.yaml": "", "charts/app/templates/hook.yaml": "", "charts/app/templates/b.yaml": template,
		}), b)
		if errors.Is(err, render.ErrInspected) != refused || !refused && err != nil ||
			refused && !strings.Contains(err.Error(), "a template in the values, eq: the value password of Secret apps/db;") {
			t.Errorf("%s: %v", template, err)
		}
	}
}
