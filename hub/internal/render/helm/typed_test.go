package helm

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/sealed"
)

// TestTyped renders templates with values of which a spoke told the types alone. What a template only writes stays a
// placeholder; what it looks at is refused, with the value and the annotation that reveals it.
func TestTyped(t *testing.T) {
	salt := sealed.NewSalt([]byte("salt"))
	on, n, text := string(salt.Placeholder("s", []string{"on"})), string(salt.Placeholder("s", []string{"n"})),
		string(salt.Placeholder("s", []string{"text"}))
	port := string(salt.Placeholder("p", nil))
	asText := string(salt.Placeholder("s as text", []string{"n"}))
	for name, c := range map[string]struct{ template, want, reveal string }{
		"written":     {configMap(`"{{ .Values.auth.on }} {{ .Values.n }} {{ .Values.text }}"`), on + " " + asText + " " + text, ""},
		"yaml":        {configMap(`{{ .Values.auth | toYaml | quote }}`), `"on": ` + on, ""},
		"quoted":      {configMap(`{{ .Values.n | quote }}`), asText, ""},
		"in_text":     {configMap(`"a-{{ .Values.n }}-{{ .Values.text }}"`), "a-" + asText + "-" + text, ""},
		"json":        {configMap(`{{ list .Values.n .Values.text | toJson | quote }}`), `[` + n + `,"` + text + `"]`, ""},
		"both":        {configMap(`{{ printf "%v %s" .Values.n (toJson .Values.n) | quote }}`), asText + " " + n, ""},
		"in_yaml":     {configMap(`{{ dict "n" .Values.n | toYaml | quote }}`), `"n": ` + n, ""},
		"base64":      {secret(`{{ .Values.n | toString | b64enc }}`), base64Of(asText), ""},
		"json_base64": {secret(`{{ list .Values.n | toJson | b64enc }}`), base64Of("[" + n + "]"), ""},
		"set":         {configMap(`"a-{{ .Values.port }}"`), "a-" + port, ""},
		"plain":       {configMap(`{{ .Values.n }}`), n, ""},
		"revealed":    {configMap(`{{ if .Values.open }}yes{{ else }}shut{{ end }}`), "shut", ""},
		"text":        {configMap(`{{ if .Values.text }}{{ .Values.text }}{{ end }}`), text, ""},
		"if":          {configMap(`{{ if .Values.auth.on }}yes{{ else }}no{{ end }}`), "", "auth.on"},
		"not":         {configMap(`{{ not .Values.auth.on | quote }}`), "", "auth.on"},
		"object":      {`{{ if .Values.auth.on }}` + configMap(`x`) + `{{ end }}`, "", "auth.on"},
		"ternary":     {configMap(`{{ ternary "a" "b" (eq (toString .Values.auth.on) "true") }}`), "", "auth.on"},
		"int":         {configMap(`{{ add1 .Values.n | quote }}`), "", "n"},
		"default":     {configMap(`{{ .Values.n | default 3 | quote }}`), "", "n"},
		"compared":    {configMap(`{{ if gt .Values.n 3.0 }}many{{ end }}`), "", "n"},
		"ranged":      {configMap(`{{ range until (int .Values.n) }}x{{ end }}`), "", "n"},
		"port_zero":   {configMap(`{{ with .Values.port }}{{ . | quote }}{{ end }}`), "", "port"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBuild()
			tree, _ := json.Marshal(map[string]any{"auth": map[string]any{"on": on}, "n": n, "text": text, "open": false})
			whole, _ := json.Marshal(port)
			b.ValuesFrom = []api.ChartValues{
				{Asked: true, Tree: tree, Types: map[string]string{on: "bool", n: "int"},
					Texts: map[string]string{n: asText}, Key: "values.yaml",
					Input: api.Input{Kind: "Secret", Namespace: "apps", Name: "db"}},
				{Asked: true, Tree: whole, Types: map[string]string{port: "int"}, Key: "port", TargetPath: "port",
					Input: api.Input{Kind: "Secret", Namespace: "apps", Name: "db"}},
			}
			result, err := render1(t, chartTree(t, map[string]string{
				"charts/app/templates/a.yaml": "", "charts/app/templates/hook.yaml": "", "charts/app/templates/b.yaml": c.template,
			}), b)
			if c.reveal != "" {
				want := "of Secret apps/db; if it is no secret, annotate the Secret with fleet.nave.io/reveal: " + c.reveal
				if !errors.Is(err, render.ErrInspected) || !strings.HasSuffix(err.Error(), want) ||
					!strings.Contains(err.Error(), "templates/b.yaml, line ") {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := result.Objects[0].Object["data"].(map[string]any)["x"]; got != c.want {
				t.Errorf("got %v, want %s", got, c.want)
			}
		})
	}
}
