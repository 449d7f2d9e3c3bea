package api

import (
	"maps"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/manifest"
)

func TestDataOf(t *testing.T) {
	placeholder := "a0sealed0" + strings.Repeat("b", 26)
	for _, c := range []struct {
		name, object string
		want         map[string]string
		err          string
	}{
		{"config_map", `kind: ConfigMap, data: {a: x, b: ""}, binaryData: {c: eA==}`, map[string]string{"a": "x", "b": ""}, ""},
		{"empty", `kind: ConfigMap`, map[string]string{}, ""},
		{"null", `kind: ConfigMap, data: {a: null}`, map[string]string{"a": ""}, ""},
		{"secret", `kind: Secret, data: {a: eA==, b: eA==}, stringData: {b: plain, c: more}`,
			map[string]string{"a": "x", "b": "plain", "c": "more"}, ""},
		{"sealed", `kind: Secret, data: {a: ` + placeholder + `}`, map[string]string{"a": placeholder}, ""},
		{"number", `kind: ConfigMap, data: {a: x, port: 80}`, nil, "ConfigMap vars: data.port is not a string"},
		{"list", `kind: ConfigMap, data: [a]`, nil, "ConfigMap vars: data is not a map"},
		{"no_base64", `kind: Secret, data: {a: "s3cr3t!"}`, nil, "Secret vars: data.a is not base64"},
	} {
		t.Run(c.name, func(t *testing.T) {
			objects, err := manifest.Parse([]byte(`{apiVersion: v1, metadata: {name: vars}, ` + c.object + `}`))
			if err != nil {
				t.Fatal(err)
			}
			got, err := DataOf(objects[0])
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "s3cr3t") {
					t.Errorf("got %v, want %s", err, c.err)
				}
				return
			}
			if err != nil || !maps.Equal(got, c.want) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}
