package helm

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/sealed"
)

// password is the placeholder of the sealed value that charts of these tests have as .Values.password.
var password = string(sealed.NewSalt([]byte("salt")).Placeholder("ENC[x]", []string{"data", "p"}))

// renderWith renders a chart with one more template and the sealed value.
func renderWith(t *testing.T, template string) (*render.Result, error) {
	t.Helper()
	b := newBuild()
	b.Values = json.RawMessage(`{"n": 1}`)
	b.ValuesFrom = []api.ChartValues{{Data: &password, TargetPath: "password", Key: "p",
		Input: api.Input{Kind: "Secret", Namespace: "apps", Name: "db"}}}
	return render1(t, chartTree(t, map[string]string{
		"charts/app/templates/a.yaml": "", "charts/app/templates/hook.yaml": "",
		"charts/app/templates/b.yaml": template,
	}), b)
}

func configMap(data string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata:\n  x: " + data + "\n"
}

func base64Of(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func secret(data string) string {
	return "apiVersion: v1\nkind: Secret\nmetadata: {name: b}\ndata:\n  x: " + data + "\n"
}

// TestSealed checks what templates can do with a value that the hub does not know.
func TestSealed(t *testing.T) {
	for name, c := range map[string]struct {
		template string
		want     string // of data.x; empty: the render is refused
	}{
		"plain":       {configMap(`{{ .Values.password }}`), password},
		"quoted":      {configMap(`{{ .Values.password | quote }}`), password},
		"inside":      {configMap(`"a:{{ .Values.password }}@b"`), "a:" + password + "@b"},
		"tpl":         {configMap(`{{ tpl "{{ .Values.password }}" . }}`), password},
		"yaml":        {configMap(`{{ dict "p" .Values.password | toYaml | quote }}`), "p: " + password},
		"condition":   {configMap(`{{ if .Values.password }}set{{ end }}`), "set"},
		"trimmed":     {configMap(`{{ printf " %s\n" .Values.password | trim }}`), password},
		"encoded":     {secret(`{{ .Values.password | b64enc }}`), base64Of(password)},
		"in_encoded":  {secret(`{{ printf "p=%s" .Values.password | b64enc }}`), base64Of("p=" + password)},
		"not_there":   {configMap(`{{ .Values.n | quote }}`), "1"},
		"b64_in_map":  {configMap(`{{ .Values.password | b64enc }}`), ""},
		"hash":        {configMap(`{{ .Values.password | sha256sum }}`), ""},
		"cut":         {configMap(`{{ .Values.password | trunc 5 }}`), ""},
		"cut_end":     {configMap(`{{ trunc -5 .Values.password }}`), ""},
		"upper":       {configMap(`{{ .Values.password | upper }}`), ""},
		"lower":       {configMap(`{{ .Values.password | lower }}`), ""},
		"cut_if_long": {configMap(`{{ .Values.password | trunc 63 }}`), ""},
		"in_url":      {configMap(`http://a:{{ .Values.password | urlquery }}@b`), ""},
		"escaped":     {configMap(`{{ .Values.password | replace "$" "$$" }}`), ""},
		"refused": {configMap(`{{ if regexMatch "[A-Z]" .Values.password }}{{ fail "no" }}{{ end }}{{ .Values.password }}`),
			password},
		"to_number":  {configMap(`{{ .Values.password | int | quote }}`), ""},
		"any_number": {configMap(`{{ if regexMatch "^[0-9]+$" .Values.password }}1{{ else }}2{{ end }}`), ""},
		"no_numbers": {configMap(`{{ if regexMatch "^[0-9]+$" .Values.password }}{{ fail "no" }}{{ end }}{{ .Values.password }}`),
			password},
		"in_checksum": {strings.Replace(configMap("z"), "name: b",
			`name: b, annotations: {checksum/x: "{{ .Values.password | sha256sum | trunc 16 }}"}`, 1), "z"},
		"no_checksum": {strings.Replace(configMap("y"), "name: b",
			`name: b, annotations: {checksum/x: "{{ .Values.password | upper }}"}`, 1), ""},
		"other_key": {strings.Replace(configMap("y"), "name: b",
			`name: b, annotations: {x: "{{ .Values.password | sha256sum }}"}`, 1), ""},
		"compared":    {configMap(`{{ hasPrefix "` + password[:3] + `" .Values.password | quote }}`), ""},
		"eq":          {configMap(`{{ if eq .Values.password "x" }}1{{ else }}2{{ end }}`), ""},
		"eq_piped":    {configMap(`{{ .Values.password | eq "x" | ternary "1" "2" | quote }}`), ""},
		"eq_variable": {configMap(`{{ $p := .Values.password }}{{ if (eq $p "x") }}1{{ else }}2{{ end }}`), ""},
		"eq_included": {`{{ define "a" }}{{ if eq .p "x" }}1{{ end }}{{ end }}` +
			configMap(`"{{ include "a" (dict "p" .Values.password) }}"`), ""},
		"eq_number":    {configMap(`{{ if eq (int .Values.password) 8080 }}1{{ else }}2{{ end }}`), ""},
		"eq_number_of": {configMap(`{{ $n := .Values.password | int }}{{ if eq $n 8080 }}1{{ else }}2{{ end }}`), ""},
		"eq_length":    {configMap(`{{ if eq (len .Values.password) 7 }}1{{ else }}2{{ end }}`), ""},
		"contains":     {configMap(`{{ if contains "x" .Values.password }}1{{ else }}2{{ end }}`), ""},
		"has":          {configMap(`{{ if has .Values.password (list "a" "b") }}1{{ else }}2{{ end }}`), ""},
		"matches":      {configMap(`{{ if regexMatch "^a" .Values.password }}1{{ else }}2{{ end }}`), ""},
		"and_ne": {configMap(`{{ if and (eq .Values.password "a") (ne .Values.password "b") }}1{{ else }}2{{ end }}`),
			""},
		"two_fields": {configMap(`{{ $a := eq .Values.password "a" }}{{ $b := eq .Values.password "b" }}` +
			`{{ if and $a (or $b .Values.n) }}1{{ else }}2{{ end }}`), ""},
		"ne_empty":    {configMap(`{{ if ne .Values.password "" }}1{{ else }}2{{ end }}`), "1"},
		"unused_eq":   {configMap(`{{ if eq .Values.password "x" }}1{{ else }}1{{ end }}`), "1"},
		"other_eq":    {configMap(`{{ if eq (int .Values.n) 1 }}{{ .Values.password }}{{ end }}`), password},
		"fail_eq":     {configMap(`{{ if eq .Values.password "x" }}{{ fail "no" }}{{ end }}{{ .Values.password }}`), password},
		"counted_to":  {configMap(`{{ range until (int .Values.password) }}x{{ end }}{{ if .Values.n }}1{{ end }}`), ""},
		"named":       {strings.Replace(configMap("y"), "name: b", `name: "{{ .Values.password }}"`, 1), ""},
		"named_long":  {strings.Replace(configMap("y"), "name: b", `name: "{{ repeat 200 "a" }}{{ .Values.password }}{{ repeat 200 "a" }}"`, 1), ""},
		"counted":     {"{{ if hasPrefix \"" + password[:3] + "\" .Values.password }}" + configMap("y") + "{{ end }}", ""},
		"htpasswd":    {secret(`{{ htpasswd "u" .Values.password | b64enc }}`), ""},
		"bcrypt":      {configMap(`{{ bcrypt .Values.password | quote }}`), ""},
		"and_chance":  {configMap(`"{{ .Values.password }}-{{ "a" }}"`), password + "-a"},
		"double_base": {secret(`{{ .Values.password | b64enc | b64enc }}`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			result, err := renderWith(t, c.template)
			if c.want == "" {
				if !errors.Is(err, render.ErrInspected) {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := result.Objects[0].Object["data"].(map[string]any)["x"]
			if text := strings.TrimSpace(fmt.Sprint(got)); text != c.want || len(result.Release.Generated) > 0 {
				t.Errorf("%q, want %q, generated %v", text, c.want, result.Release.Generated)
			}
		})
	}
}

// TestInspected_value checks how the error names values of other places than a targetPath.
func TestInspected_value(t *testing.T) {
	data := "a.b: {l: [x, " + password + "]}"
	root := chartTree(t, map[string]string{"charts/app/templates/a.yaml": "",
		"charts/app/templates/b.yaml": configMap(`{{ index .Values "a.b" | toJson | sha256sum }}`)})
	fromSecret, inline := newBuild(), newBuild()
	fromSecret.ValuesFrom = []api.ChartValues{{Data: &data, Key: "values.yaml",
		Input: api.Input{Kind: "Secret", Namespace: "apps", Name: "db"}}}
	inline.Values = json.RawMessage(`{"a.b": {"l": ["` + password + `"]}}`)
	for want, b := range map[string]api.ChartBuild{
		`the value a\.b.l.1 of Secret apps/db; if it is no secret, leave it unencrypted, or annotate the Secret with ` +
			`fleet.nave.io/reveal: a\.b.l.1`: fromSecret,
		`the value a\.b.l.0 of HelmRelease flux/hr; if it is no secret, leave it unencrypted`: inline,
	} {
		if _, err := render1(t, root, b); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("error %v, want it to end with %s", err, want)
		}
	}
}

// TestSealed_usual renders what most charts do with passwords.
func TestSealed_usual(t *testing.T) {
	result, err := renderWith(t, `{{- define "password" -}}
{{- if .Values.password }}{{ .Values.password }}{{ else }}{{ randAlphaNum 16 }}{{ end }}
{{- end -}}
{{- define "render" -}}
{{- $value := typeIs "string" .value | ternary .value (.value | toYaml) }}
{{- if contains "{{" (toJson .value) }}{{ tpl $value .context }}{{ else }}{{ $value }}{{ end }}
{{- end -}}
apiVersion: v1
kind: Secret
metadata: {name: b}
data:
  password: {{ include "password" . | b64enc | quote }}
  url: {{ printf "postgres://u:%s@db:5432" (required "a password" .Values.password) | b64enc }}
  config.yaml: {{ tpl (toYaml .Values) . | b64enc }}
stringData:
  rendered: {{ include "render" (dict "value" .Values.password "context" $) | quote }}
  lines: |-
    first
    {{- .Values.password | nindent 4 }}
  default: {{ .Values.password | default "x" | trim | quote }}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: b, labels: {app: {{ .Release.Name | trunc 63 | trimSuffix "-" }}}}
spec:
  template:
    metadata:
      annotations:
        checksum/secret: {{ include "password" . | sha256sum }}
        config-hash: {{ .Values | toJson | sha1sum | quote }}
    spec:
      containers:
      - env:
        {{- range $key, $value := .Values }}
        - {name: {{ $key | upper }}, value: {{ $value | quote }}}
        {{- end }}
        {{- if and .Values.password (not (empty .Values.password)) (ne .Values.password "") }}
        - {name: SET, value: "true"}
        {{- end }}
`)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Release.Generated) > 0 {
		t.Errorf("generated %v", result.Release.Generated)
	}
}

// TestSealed_schema checks that a schema does not judge placeholders, and judges other values.
func TestSealed_schema(t *testing.T) {
	for schema, valid := range map[string]bool{
		`{"properties": {"password": {"type": "integer"}}}`:                               true,
		`{"properties": {"password": {"oneOf": [{"maxLength": 8}, {"type": "object"}]}}}`: true,
		`{"properties": {"password": {"type": "integer"}, "n": {"type": "string"}}}`:      false,
		`{"properties": {"n": {"maximum": 0}}}`:                                           false,
		`{"additionalProperties": false}`:                                                 false,
	} {
		b := newBuild()
		b.Values = json.RawMessage(`{"n": 1}`)
		b.ValuesFrom = []api.ChartValues{{Data: &password, TargetPath: "password"}}
		_, err := render1(t, chartTree(t, map[string]string{"charts/app/values.schema.json": schema}), b)
		if (err == nil) != valid {
			t.Errorf("%s: %v", schema, err)
		}
	}
}

// TestInspected checks that the error for a template that looks into a sealed value names the place and the value.
func TestInspected(t *testing.T) {
	const way = "the value password of Secret apps/db; if it is no secret, leave it unencrypted, or annotate the Secret " +
		"with fleet.nave.io/reveal: p"
	named := strings.Replace(configMap("y"), "name: b", `name: "{{ .Values.password }}"`, 1)
	for name, c := range map[string]struct {
		template string
		want     string // the line and the expression; empty: they cannot be found
	}{
		"hash":   {configMap(`{{ .Values.password | sha256sum }}`), "line 5, .Values.password: "},
		"second": {configMap("{{ .Values.password }}\n  y: {{ $.Values.password | lower }}"), "line 6, $.Values.password: "},
		"with":   {configMap(`{{ with .Values }}{{ .password | lower }}{{ end }}`), "line 5, .password: "},
		"range": {configMap(`{{ range $k, $v := .Values }}{{ if eq $k "password" }}{{ upper $v }}{{ end }}{{ end }}`),
			"line 5, $v: "},
		"include": {"{{ define \"x\" }}{{ . | sha1sum }}{{ end }}\n" + configMap(`{{ include "x" .Values.password }}`),
			"line 6, .Values.password: "},
		"map": {"{{ define \"x\" }}\n{{- .p | b64enc }}{{ end }}\n" +
			configMap(`{{ include "x" (dict "root" $ "p" .Values.password) }}`), "line 7, .Values.password: "},
		"whole": {configMap(`{{ toYaml .Values | sha256sum }}`), "line 5, .Values: "},
		"index": {configMap(`{{ index .Values "password" | lower }}`), "line 5, .Values: "},
		"counted": {"{{ if hasPrefix \"" + password[:3] + "\" $.Values.password }}" + configMap("y") + "{{ end }}",
			"line 1, $.Values.password: "},
		"bcrypt": {configMap("\n    {{ bcrypt .Values.password | quote }}"), "line 6, bcrypt: "},
		"name":   {named, "line 3, .Values.password: "},
		"number": {configMap(`{{ if gt (int .Values.password) 1 }}2{{ else }}1{{ end }}`), "line 5, .Values.password: "},
		"eq":     {configMap(`{{ if eq .Values.password "x" }}2{{ else }}1{{ end }}`), "line 5, eq: "},
		"tpl":    {configMap(`{{ tpl "{{ .Values.password | lower }}" . }}`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := renderWith(t, c.template)
			place := ": "
			if c.want != "" {
				place += "templates/b.yaml, " + c.want
			}
			if !errors.Is(err, render.ErrInspected) || !strings.HasSuffix(err.Error(), render.ErrInspected.Error()+place+way) {
				t.Errorf("%v\nwant it to end with %s%s", err, place, way)
			}
		})
	}
}

// TestGenerated_chance renders a chart with a sealed value whose generated value is the same in some renders.
func TestGenerated_chance(t *testing.T) {
	for range 20 {
		result, err := renderWith(t, configMap(`"{{ .Values.password }}"`)+
			`  y: "{{ randNumeric 4 | trunc 1 | int }}"`)
		if err != nil {
			t.Fatal(err)
		}
		if len(result.Release.Recipes) > 0 {
			t.Fatal(result.Release.Recipes)
		}
	}
}

// TestGenerated checks which fields are found to be generated.
func TestGenerated(t *testing.T) {
	hook := "apiVersion: v1\nkind: Pod\n" +
		"metadata:\n  name: h-{{ randAlpha 8 | lower }}\n  annotations: {helm.sh/hook: test}\n"
	for name, c := range map[string]struct {
		template string
		want     []string
		fails    string
	}{
		"none":      {configMap("y"), nil, ""},
		"hash":      {configMap(`{{ randAlpha 9 | toJson | sha256sum }}`), []string{"/data/x"}, ""},
		"small":     {configMap(`{{ randInt 0 2 | quote }}`), []string{"/data/x"}, ""},
		"no_int":    {configMap(`"{{ range until (randInt 3 4) }}{{ end }}{{ randInt 0 99999999 }}"`), []string{"/data/x"}, ""},
		"shuffle":   {configMap(`{{ shuffle "a" | quote }}`), []string{"/data/x"}, ""},
		"now":       {configMap(`{{ now | date "2006" | quote }}`), []string{"/data/x"}, ""},
		"now_piped": {configMap(`{{ with now }}{{ .Year | quote }}{{ end }}`), []string{"/data/x"}, ""},
		"ago":       {configMap(`{{ ago now | quote }}`), []string{"/data/x"}, ""},
		"defined": {`{{ define "t" }}{{ if true }}{{ (now).Unix }}{{ end }}{{ end }}` + configMap(`{{ include "t" . | quote }}`),
			[]string{"/data/x"}, ""},
		"word_now": {configMap(`now` + "\n  y: {{ \"now\" }}"), nil, ""},
		"key_of":   {configMap(`"a"` + "\n  k{{ randAlpha 9 }}: y"), []string{"/data"}, ""},
		"name":     {strings.Replace(configMap("y"), "name: b", "name: b{{ randAlpha 9 | lower }}", 1), nil, "fixed name"},
		"name_now": {strings.Replace(configMap("y"), "name: b", `name: b{{ now | date "2006" }}`, 1), nil, "fixed name"},
		"hook":     {hook, []string{"/metadata/name"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			result, err := renderWith(t, c.template)
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) || errors.Is(err, render.ErrInspected) {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, g := range result.Release.Generated {
				got = append(got, g.Fields...)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// TestGenerated_packed checks that fields of a packed subchart are found to be generated.
func TestGenerated_packed(t *testing.T) {
	x := &example{dir: t.TempDir()}
	x.write(t, "sub/Chart.yaml", []byte("apiVersion: v2\nname: sub\nversion: 1.0.0\n"))
	x.write(t, "sub/templates/a.yaml", []byte(configMap(`{{ now | date "2006" | quote }}`)))
	root := chartTree(t, map[string]string{"charts/app/charts/sub.tgz": string(archiveOf(t, x.dir))})
	result, err := render1(t, root, newBuild())
	if err != nil {
		t.Fatal(err)
	}
	if g := result.Release.Generated; len(g) != 1 || g[0].ID.Name != "b" ||
		!slices.Equal(g[0].Fields, []string{"/data/x"}) {
		t.Errorf("%v", g)
	}
}

// TestEstrange checks that a second template has the same text but for the functions.
func TestEstrange(t *testing.T) {
	for text, want := range map[string]string{
		`a {{ "now" }} now {{- .now }} {{ $now := 1 }}`: `a {{ "now" }} now {{- .now }} {{ $now := 1 }}`,
		`é{{ now }}{{/* now */}}{{ if (now) }}{{ end }}`: `é{{ ` + strange["now"] + ` }}{{/* now */}}{{ if (` + strange["now"] +
			`) }}{{ end }}`,
		`{{ define "x" }}{{ randInt 1 2 }}{{ end }}{{ range list (shuffle "a") }}{{ else }}{{ ago .x }}{{ end }}`: `{{ define ` +
			`"x" }}{{ add 1009 1 2 }}{{ end }}{{ range list (print "~" "a") }}{{ else }}{{ unixEpoch .x }}{{ end }}`,
		`{{ broken`: `{{ broken`,
	} {
		if got := estrange(text, strange); got != want {
			t.Errorf("%s\nbecame %s\nwant   %s", text, got, want)
		}
	}
}

func TestDiffering(t *testing.T) {
	for name, c := range map[string]struct {
		a, b string
		want []string
	}{
		"equal":   {`{"a": [1, {"b": null}]}`, `{"a": [1, {"b": null}]}`, nil},
		"deep":    {`{"a": [1, {"b": 1}], "c": 1}`, `{"a": [1, {"b": 2}], "c": 2}`, []string{"/a/1/b", "/c"}},
		"missing": {`{"a": 1}`, `{"b": 1}`, []string{""}},
		"length":  {`{"a": [1]}`, `{"a": [1, 2]}`, []string{"/a"}},
		"type":    {`{"a": {"b": 1}}`, `{"a": [1]}`, []string{"/a"}},
		"null":    {`{"c": {"a": null}}`, `{"c": {}}`, []string{"/c"}},
	} {
		t.Run(name, func(t *testing.T) {
			var a, b any
			decode(t, c.a, &a)
			decode(t, c.b, &b)
			if got := differing(a, b, ""); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}
