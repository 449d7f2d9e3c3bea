package helm

import (
	"context"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// TestRecipes_no_text refuses the hash of what is no text, as Helm does, and does not hash an empty text.
func TestRecipes_no_text(t *testing.T) {
	for name, call := range map[string]string{
		"bcrypt": `bcrypt 5`, "password": `htpasswd "u" 5`, "user": `htpasswd 5 "p"`, "nothing": `bcrypt .Values.none`,
	} {
		t.Run(name, func(t *testing.T) {
			result, err := renderWith(t, secret("{{ "+call+" | b64enc }}"))
			if err == nil {
				t.Errorf("got %v", result.Objects)
			}
		})
	}
}

// describeRecipes returns recipes as text, with the indexes of recipes in the place of placeholders.
func describeRecipes(recipes []render.Recipe) (all []string) {
	var names []string
	for i, r := range recipes {
		names = append(names, r.Placeholder, fmt.Sprintf("<%d>", i))
		if r.Key != "" {
			names = append(names, r.Key, fmt.Sprintf("<%d key>", i))
		}
	}
	for _, r := range recipes {
		all = append(all, strings.NewReplacer(names...).Replace(r.Function+string(r.Arguments)))
	}
	return all
}

// TestRecipes checks which calls become recipes, and that the values are nowhere else.
func TestRecipes(t *testing.T) {
	hook := "apiVersion: v1\nkind: Pod\n" +
		"metadata:\n  name: h-{{ randAlpha 8 | lower }}\n  annotations: {helm.sh/hook: test}\n"
	webhook := "apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\n" +
		"metadata: {name: b}\nwebhooks: [{clientConfig: {caBundle: {{ $ca.Cert | b64enc }}}}]\n"
	for name, c := range map[string]struct {
		template string
		want     []string
		cluster  bool // the hub generates a secret
	}{
		"plain":    {configMap(`{{ randAlphaNum 20 | quote }}`), []string{"randAlphaNum[20]"}, false},
		"piped":    {configMap(`{{ 20 | randAlphaNum | quote }}`), []string{"randAlphaNum[20]"}, false},
		"numeric":  {configMap(`{{ randNumeric 6 | quote }}`), []string{"randNumeric[6]"}, false},
		"ascii":    {configMap(`{{ randAscii 6 | quote }}`), []string{"randAscii[6]"}, false},
		"bytes":    {secret(`{{ randBytes 32 }}`), []string{"randBytes[32]"}, false},
		"uuid":     {configMap(`{{ uuidv4 }}`), []string{"uuidv4[]"}, false},
		"argument": {configMap(`{{ default uuidv4 .Values.none }}`), []string{"uuidv4[]"}, false},
		"part":     {configMap(`"http://a:{{- randAlphaNum 20 -}}@b"`), []string{"randAlphaNum[20]"}, false},
		"base64":   {secret(`{{ randAlphaNum 20 | b64enc }}`), []string{"randAlphaNum[20]"}, false},
		"variable": {secret(`{{ $p := randAlphaNum (int 20) }}{{ printf "%s:%s" $p $p | b64enc }}`),
			[]string{"randAlphaNum[20]"}, false},
		"each_call": {configMap(`{{ range list 1 2 }}{{ randAlphaNum 20 }}{{ end }}`),
			[]string{"randAlphaNum[20]", "randAlphaNum[20]"}, false},
		"included": {`{{ define "p" }}{{ randAlphaNum 20 }}{{ end }}` +
			configMap(`"{{ include "p" . }}-{{ include "p" . }}"`),
			[]string{"randAlphaNum[20]", "randAlphaNum[20]"}, false},
		"guarded": {configMap(`{{ $s := lookup "v1" "Secret" "a" "b" }}{{ if $s }}x{{ else }}{{ randAlpha 9 }}{{ end }}`),
			[]string{"randAlpha[9]"}, false},
		"lookup_list": {configMap(`{{ if (lookup "v1" "Secret" "" "").items }}x{{ else }}{{ randAlpha 9 }}{{ end }}`),
			[]string{"randAlpha[9]"}, false},
		"unused": {configMap(`{{ $p := randAlpha 9 }}{{ if $p }}x{{ end }}`), nil, false},
		"empty":  {configMap(`{{ randAlpha 0 | quote }}`), nil, false},
		"lower":  {configMap(`{{ randAlphaNum 9 | lower | quote }}`), []string{"randAlphaNum[9]", `lower["<0>"]`}, false},
		"cut": {configMap(`{{ (randAlphaNum 99 | sha256sum | trunc 16) }}`),
			[]string{"randAlphaNum[99]", `sha256sum["<0>"]`, `trunc[16,"<1>"]`}, false},
		"url":    {configMap(`{{ randAlphaNum 9 | urlquery }}`), []string{"randAlphaNum[9]"}, false},
		"sealed": {configMap(`{{ .Values.password }}-{{ randAlpha 9 }}`), []string{"randAlpha[9]"}, false},
		"htpasswd": {secret(`{{ $p := randAlpha 9 }}{{ printf "%s %s" $p (htpasswd "u" $p) | b64enc }}`),
			[]string{"randAlpha[9]", `htpasswd["u","<0>"]`}, false},
		"hash_alone": {secret(`{{ randAlpha 9 | bcrypt | b64enc }}`), []string{"randAlpha[9]", `bcrypt["<0>"]`}, false},
		"key":        {secret(`{{ genPrivateKey "ed25519" | b64enc }}`), []string{`genPrivateKey["ed25519"]`}, false},
		"certificate": {`{{- $ca := genCA "ca" 365 }}{{ $c := genSignedCert "a" nil (list "a.b") 365 $ca }}` +
			secret(`{{ $c.Key | b64enc }}`) + "  y: {{ $c.Cert | b64enc }}\n---\n" + webhook,
			[]string{`genCA["ca",365]`, `genSignedCert["a",null,["a.b"],365,{"Cert":"<0>","Key":"<0 key>"}]`}, false},
		"with_key": {secret(`{{ (genSelfSignedCertWithKey "a" (list "1.2.3.4") nil 1 ` +
			`(genPrivateKey "ecdsa")).Cert | b64enc }}`),
			[]string{`genPrivateKey["ecdsa"]`, `genSelfSignedCertWithKey["a",["1.2.3.4"],null,1,"<0>"]`}, false},
		"indented": {configMap("|-\n" + `{{ (genCA "a" 1).Cert | indent 4 }}`), []string{`genCA["a",1]`}, false},
		"checksum": {strings.Replace(secret(`{{ randAlpha 9 | b64enc }}`), "name: b",
			`name: b, annotations: {checksum/x: "{{ randAlpha 9 | toJson | sha256sum }}"}`, 1), []string{"randAlpha[9]"}, false},
		"looked_into": {configMap(`{{ $p := randAlpha 9 }}{{ $p | sha256sum }}`), nil, true},
		"other_stays": {configMap(`{{ $p := randAlpha 9 }}{{ $p | sha256sum }}-{{ randAlpha 9 }}`),
			[]string{"randAlpha[9]"}, true},
		"compared": {configMap(`{{ $p := randAlpha 9 }}{{ if regexMatch "^[0-9]" $p }}1{{ else }}2{{ end }}`), nil, true},
		"measured": {configMap(`{{ $p := randAlpha 9 }}{{ len $p | quote }}`), nil, true},
		"number":   {"kind: X\napiVersion: v1\nmetadata: {name: b}\nspec: [{port: 30{{ randNumeric 3 }}}]\n", nil, true},
		"number_text": {"kind: X\napiVersion: v1\nmetadata: {name: b}\nspec: {{ dict \"a\" (randNumeric 3) | toYaml | nindent 2 }}\n",
			[]string{"randNumeric[3]"}, false},
		"wrong_key": {configMap(`{{ genPrivateKey "none" | quote }}`), nil, true},
		"hook":      {hook, nil, false},
		"tpl":       {configMap(`{{ tpl "{{ randAlpha 9 }}" . }}`), []string{"randAlpha[9]"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			result, err := renderWith(t, c.template)
			if err != nil {
				t.Fatal(err)
			}
			if got := describeRecipes(result.Release.Recipes); !slices.Equal(got, c.want) {
				t.Errorf("recipes %q\nwant    %q", got, c.want)
			}
			if result.Release.Asked.Cluster != c.cluster {
				t.Errorf("for a cluster: %v", result.Release.Asked.Cluster)
			}
			if len(c.want) > 0 && !c.cluster && len(result.Release.Generated) > 0 {
				t.Errorf("generated %v", result.Release.Generated)
			}
			again, err := renderWith(t, c.template)
			if err != nil {
				t.Fatal(err)
			}
			if fields, err := differences(result, again); !c.cluster && name != "hook" && (err != nil || len(fields) > 0) {
				t.Errorf("differs from render to render: %v %v", fields, err)
			}
		})
	}
}

// TestRecipes_part checks that a placeholder stands where the value belongs.
func TestRecipes_part(t *testing.T) {
	result, err := renderWith(t, configMap(`"http://a:{{ randAlphaNum 20 }}@b"`))
	if err != nil {
		t.Fatal(err)
	}
	want := "http://a:" + result.Release.Recipes[0].Placeholder + "@b"
	if got := result.Objects[0].Object["data"].(map[string]any)["x"]; got != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// TestRecipes_sealed checks that a sealed value in a field caBundle is refused, as in a spoke of before.
func TestRecipes_sealed(t *testing.T) {
	o := &manifest.Object{Object: map[string]any{"a": []any{map[string]any{"caBundle": base64Of("x" + password)}}}}
	if !sealedBundle(o, pairs{}) {
		t.Error("not found")
	}
	if sealedBundle(o, pairs{password: string(sealed.Placeholder(password).Other())}) {
		t.Error("a generated value is taken for a sealed one")
	}
}

// TestRewritten checks rewritten templates.
func TestRewritten(t *testing.T) {
	call := func(at int, function string) string {
		return fmt.Sprintf(`(lookup "calls.nave.io/v1" "Calls" "" "calls").calls.Generate "t:%d" %q`, at, function)
	}
	for text, want := range map[string]string{
		`a {{ randAlpha 5 }} b`:       `a {{ ` + call(5, "randAlpha") + ` 5 }} b`,
		`{{ (genCA "a" 5).Cert }}`:    `{{ (` + call(4, "genCA") + ` "a" 5).Cert }}`,
		`{{ default uuidv4 .x }}`:     `{{ default (` + call(11, "uuidv4") + `) .x }}`,
		`{{ 5 | randAlpha | quote }}`: `{{ 5 | ` + call(7, "randAlpha") + ` | quote }}`,
		`{{ randAlpha 5 | lower | trunc 3 | quote }}`: `{{ ` + call(3, "randAlpha") + ` 5 | ` + call(17, "lower") + ` | ` +
			call(25, "trunc") + ` 3 | quote }}`,
		`{{ (randAlpha 5) | lower }}`:                `{{ (` + call(4, "randAlpha") + ` 5) | ` + call(19, "lower") + ` }}`,
		`{{ sha1sum (randAlpha 5) }}`:                `{{ ` + call(3, "sha1sum") + ` (` + call(12, "randAlpha") + ` 5) }}`,
		`{{ randAlpha 5 | quote | lower }}`:          `{{ ` + call(3, "randAlpha") + ` 5 | quote | lower }}`,
		`{{ if .x }}{{ lower .x | upper }}{{ end }}`: `{{ if .x }}{{ lower .x | upper }}{{ end }}`,
		`{{ randAlpha`:                               `{{ randAlpha`,
	} {
		s := &generatingSites{known: map[string]bool{}, open: map[string]bool{}}
		if got := s.template(text, "t"); got != want {
			t.Errorf("%s\nbecame %s\nwant   %s", text, got, want)
		}
	}
}

// TestRecipes_helm compares a rewritten chart with the real helm: it is the same but for the values.
func TestRecipes_helm(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a helm command")
	}
	x := &example{archive: &txtar.Archive{}, dir: filepath.Join(t.TempDir(), "chart")}
	x.in.Release = Release{Name: "demo", Namespace: "prod", Revision: 1}
	x.in.Capabilities, x.in.Compat = DefaultCapabilities(), Helm4
	x.write(t, "Chart.yaml", []byte("apiVersion: v2\nname: demo\nversion: 1.0.0\n"))
	x.write(t, "templates/_p.tpl", []byte(`{{- define "p" -}}{{ .n | int | randAlphaNum | trunc 7 }}{{- end -}}`))
	x.write(t, "templates/a.yaml", []byte(`{{- $ca := genCA "ca" (int 365) }}
{{- $c := genSignedCert "c" (list "10.0.0.1") (list (printf "%s.svc" .Release.Name)) 9 $ca -}}
apiVersion: v1
kind: Secret
metadata: {name: a, annotations: {seed: {{ uuidv4 | quote }}}}
data:
  tls.crt: {{ $c.Cert | b64enc }}
  tls.key: {{ b64enc $c.Key }}
  {{- range $i := until 2 }}
  p{{ $i }}: {{ include "p" (dict "n" 9) | b64enc | quote }}
  {{- end }}
stringData:
  {{- with (randAlphaNum 12 | upper) }}
  upper: {{ . }}
  {{- end }}
  htpasswd: {{ htpasswd "u" (randAlpha 9) }}
  list: {{ list "a" (randNumeric 5) | join "," | quote }}
  ca: |
{{ $ca.Cert | indent 4 }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: b}
data: {url: "x://u:{{- randAlphaNum 9 -}}@h", none: {{ randAlpha 0 | quote }}, key: {{ genPrivateKey "ecdsa" | quote }}}
---
apiVersion: a.example.com/v1
kind: Hook
metadata: {name: c}
caBundle: {{ (genSelfSignedCert "s" nil nil 1).Cert | b64enc }}
`))
	in := x.in
	var err error
	if in.Files, err = filesBelow(t, x.dir); err != nil {
		t.Fatal(err)
	}
	sites := &generatingSites{known: map[string]bool{}, open: map[string]bool{}}
	unchanged := func(_ context.Context, all []document) ([]document, error) { return all, nil }
	r, err := renderChart(t.Context(), V3{}, sites.rewrite(in), unchanged)
	if err != nil {
		t.Fatal(err)
	}
	documents, err := newHelm(t, Helm4).Template(t.Context(), x.arguments(t)...)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := objectsOf(t, documents)
	for i, o := range objectsIn(r) {
		for _, difference := range besideValues(o.Object, want[i].Object, isSecret(o), "") {
			t.Errorf("%s%s differs", manifest.IDOf(o), difference)
		}
	}
	if len(r.Release.Recipes) != 15 || len(want) != len(r.Objects) {
		t.Errorf("%d recipes in %d objects: %v", len(r.Release.Recipes), len(r.Objects), describeRecipes(r.Release.Recipes))
	}
}

// besideValues returns where a value of helm differs from one with placeholders in more than what they stand for.
func besideValues(ours, helm any, decode bool, at string) (found []string) {
	switch v := ours.(type) {
	case map[string]any:
		other, _ := helm.(map[string]any)
		for _, key := range keysOf(v, other) {
			isData := at == "" && key == "data" || at == "/data"
			found = append(found, besideValues(v[key], other[key], decode && isData || sealed.IsBase64(key), at+"/"+key)...)
		}
		return found
	case string:
		text, isText := helm.(string)
		if decode && at != "/data" {
			for _, s := range []*string{&v, &text} {
				if data, err := base64.StdEncoding.DecodeString(*s); err == nil {
					*s = string(data)
				}
			}
		}
		if len(sealed.Find(v)) == 0 {
			ours, helm = v, any(text)
			break
		}
		pattern := regexp.QuoteMeta(strings.TrimSuffix(v, "\n"))
		for _, p := range sealed.Find(v) {
			pattern = strings.ReplaceAll(pattern, string(p), ".+")
		}
		if isText && regexp.MustCompile("^(?s:"+pattern+")$").MatchString(strings.TrimSuffix(text, "\n")) {
			return nil
		}
	}
	if !reflect.DeepEqual(ours, helm) {
		return []string{at}
	}
	return nil
}
