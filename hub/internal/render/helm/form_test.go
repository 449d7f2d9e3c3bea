package helm

import (
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/manifest"
)

// formOf renders a template, and returns the digest of what is around its generated values.
func formOf(t *testing.T, template string) string {
	t.Helper()
	r, err := renderWith(t, template)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Release.Generated) == 0 {
		t.Fatal("no field is generated")
	}
	return objectNamed(t, r, "b").GetAnnotations()[manifest.FormAnnotation]
}

func objectNamed(t *testing.T, r *render.Result, name string) *manifest.Object {
	t.Helper()
	for _, o := range r.Objects {
		if o.GetName() == name {
			return o
		}
	}
	t.Fatal("no object ", name)
	return nil
}

// TestForm tells a change of a text from another time or random number in it.
func TestForm(t *testing.T) {
	keys, values := `keys (dict "a" 1 "b" 2 "c" 3 "d" 4)`, `values (dict "a" 1 "b" 2 "c" 3 "d" 4)`
	for name, c := range map[string]struct {
		before, after string
		want          bool // the form is another one
	}{
		"same":   {configMap(`"a: {{ now }} b"`), configMap(`"a: {{ now }} b"`), false},
		"text":   {configMap(`"a: {{ now }} b"`), configMap(`"a: {{ now }} c"`), true},
		"value":  {configMap(`"a {{ randInt 1 100000 }} {{ .Values.n }}"`), configMap(`"a {{ randInt 1 100000 }} 2"`), true},
		"others": {configMap(`"a: {{ now }} b"`), configMap(`"a: {{ now }} b"`) + "  y: 'c'", false},
		"base64": {secret(`{{ printf "a: %s" (now | toString) | b64enc }}`), secret(`{{ printf "b: %s" (now | toString) | b64enc }}`), true},
		"keys":   {configMap(`"{{ now }} {{ ` + keys + ` | join "," }}"`), configMap(`"{{ now }} {{ ` + keys + ` | join "," }}"`), false},
		"values": {configMap(`"{{ now }} {{ ` + values + ` }}"`), configMap(`"{{ now }} {{ ` + values + ` }}"`), false},
		"beside": {configMap(`"a: {{ now }} b"`) + `  y: "{{ randAlpha 9 | b64enc }} a"`,
			configMap(`"a: {{ now }} b"`) + `  y: "{{ randAlpha 9 | b64enc }} b"`, false},
		"secrets": {configMap(`"a: {{ now }} b"`), configMap(`"a: {{ now }} b"`) + "---\n" + strings.Replace(secret(`{{ uuidv4 | b64enc }}`), "name: b", "name: a", 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := formOf(t, c.before), formOf(t, c.after)
			if before == "" || after == "" || (before != after) != c.want {
				t.Errorf("%q became %q", before, after)
			}
		})
	}
}

// TestForm_none checks that a field with nothing but a generated value has no form, and none with a secret in it.
func TestForm_none(t *testing.T) {
	for _, call := range []string{`{{ now | quote }}`, `{{ now | date "2006-01-02" | quote }}`,
		`{{ randInt 1 100000 | quote }}`, `{{ now | unixEpoch | quote }}`, `"v-{{ now | unixEpoch }}"`,
		`{{ uuidv4 | replace "-" "" }}`, `"a: {{ randAlpha 9 | b64enc }}"`, `"{{ now }}: {{ randAlpha 9 | b64enc }}"`,
		"|\n    ca: |{{ (genCA \"a\" 1).Cert | nindent 6 }}\n    level: 1"} {
		if form := formOf(t, configMap(call)); form != "" {
			t.Errorf("%s: %s", call, form)
		}
	}
}
