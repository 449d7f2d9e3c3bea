package template_test

import (
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/internal/template"
)

func TestExecute_refused(t *testing.T) {
	const double = `{{ $s := "xx" }}{{ range until 100 }}{{ $s = %s }}{{ end }}`
	for name, c := range map[string]struct{ text, want string }{
		"removed":        {"{{ range .Updated.Images }}{{ . }}{{ end }}", "range over .Changed.Changes"},
		"removed_result": {"{{ range .Changed.ImageResult.Images }}{{ . }}{{ end }}", "range over .Changed.Objects"},
		"malformed":      {"{{ range }}", "missing value for range"},
		"unknown":        {"{{ .Change }}", "Change"},
		"empty":          {"{{ if false }}x{{ end }}", "the message is empty"},
		"long":           {`{{ range until 9000 }}{{ repeat 100 "x" }}{{ end }}`, "the message has more than 64 KiB"},
		"repeat":         {`{{ repeat 1000000000 "x" }}`, "repeat makes more than"},
		"until":          {`{{ until 1000000000 }}`, "steps"},
		"steps":          {`{{ untilStep 0 1000000000 1 }}`, "steps"},
		"overflow":       {`{{ untilStep -9000000000000000000 9000000000000000000 1 }}`, "steps"},
		"indent":         {`{{ indent 1000000000 "x" }}`, "indent makes more than 64 KiB"},
		"nindent":        {`{{ nindent 9000 "x\nx\nx\nx\nx\nx\nx\nx\nx" }}`, "nindent makes more than"},
		"no_step":        {`{{ untilStep 0 5 0 }}`, "steps"},
		"environment":    {`{{ env "HOME" }}`, `"env" not defined`},
		"time":           {`{{ now }}`, `"now" not defined`},
		"key":            {`{{ genPrivateKey "rsa" }}`, `"genPrivateKey" not defined`},

		"range":         {`{{ range 1000000000 }}{{ end }}`, "more than 100000 steps"},
		"nested_ranges": {`{{ range 99999 }}{{ range 99999 }}{{ end }}{{ end }}`, "more than 100000 steps"},
		"in_if":         {`{{ if true }}{{ range 1000000000 }}{{ if true }}{{ end }}{{ end }}{{ end }}`, "steps"},
		"in_else":       {`{{ with "" }}{{ else }}{{ range 1000000000 }}{{ end }}{{ end }}`, "steps"},
		"recursion":     {`{{ define "f" }}{{ if . }}{{ template "f" (rest .) }}{{ template "f" (rest .) }}{{ end }}{{ end }}{{ template "f" (until 60) }}`, "steps"},
		"doubled":       {strings.ReplaceAll(double, "%s", "print $s $s"), "print makes more than 64 KiB"},
		"formatted":     {strings.ReplaceAll(double, "%s", `printf "%s%s" $s $s`), "printf makes more than"},
		"escaped":       {`{{ $s := repeat 10000 "&" }}{{ range until 9999 }}{{ $s = html $s }}{{ end }}`, "html makes more than"},
		"doubled_list":  {strings.ReplaceAll(double, "%s", "list $s $s"), "list makes more than"},
		"cycle":         {`{{ $d := dict }}{{ $_ := set $d "a" $d }}{{ $d }}`, "set makes more than"},
		"width":         {`{{ printf "%999999999d" 1 }}`, "widths of up to 3 digits"},
		"width_of":      {`{{ printf "%*d" 999999999 1 }}`, "widths of up to 3 digits"},
		"replaced":      {`{{ $s := repeat 10000 "xxxxx" }}{{ replace "" $s $s }}`, "replace gets more"},
		"joined":        {`{{ join (repeat 10000 "xxxxx") (until 9000) }}`, "join gets more"},
		"compared":      {`{{ uniq (until 9000) }}`, "uniq gets more"},
		"panic":         {`{{ first 1 }}`, "Cannot find first"},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			got, err := template.Execute(c.text, map[string]any{}, 0)
			if name == "unknown" {
				got, err = template.Execute(c.text, struct{}{}, 0)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "nextStep") {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// TestExecute_allowed has templates as people write them, with values of some size.
func TestExecute_allowed(t *testing.T) {
	var changes []map[string]any
	for range 500 {
		changes = append(changes, map[string]any{"Old": "org/web:1", "New": strings.Repeat("x", 80)})
	}
	data := map[string]any{"Changes": changes, "Values": map[string]string{"team": "a"}}
	for name, c := range map[string]struct{ text, want string }{
		"rounds":   {`{{ range $i, $c := .Changes }}{{ if lt $i 2 }}{{ $c.Old | replace "org/" "" }} {{ end }}{{ end }}`, "web:1 web:1 "},
		"list":     {`{{ $l := list }}{{ range .Changes }}{{ $l = append $l .New }}{{ end }}{{ len (join ", " $l) }}`, "40998"},
		"printf":   {`{{ printf "%-10s|%5.1f|%d" "a" 1.5 3 }}`, "a         |  1.5|3"},
		"print":    {`{{ print 1 2 "x" }}{{ println "y" }}`, "1 2x" + "y\n"},
		"break":    {`{{ range 1000000000 }}{{ . }}{{ if eq . 2 }}{{ break }}{{ end }}{{ end }}`, "012"},
		"block":    {`{{ block "b" .Values }}{{ .team }}{{ end }}`, "a"},
		"trimmed":  {"{{- range until 2 -}} a {{- end -}}", "aa"},
		"variadic": {`{{ coalesce "" "b" }}{{ dict "a" 1 | toJson }}{{ html "<" }}`, `b{"a":1}&lt;`},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := template.Execute(c.text, data, len(changes)); err != nil || got != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
			if err := template.Check(c.text); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	for text, want := range map[string]string{
		"{{ range .Changed.Changes }}": "unexpected EOF", "{{ nosuch }}": `"nosuch" not defined`, "{{ .A": "unclosed action",
	} {
		if err := template.Check(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}
