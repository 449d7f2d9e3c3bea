package api

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
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

// TestInputData_Equal changes one field after the other.
func TestInputData_Equal(t *testing.T) {
	var none InputData
	fields := reflect.VisibleFields(reflect.TypeFor[InputData]())
	for _, field := range fields {
		if field.Anonymous {
			continue
		}
		var d InputData
		switch f := reflect.ValueOf(&d).Elem().FieldByIndex(field.Index); f.Interface().(type) {
		case string, bundle.ShapeForm:
			f.SetString("a")
		case bool:
			f.SetBool(true)
		case map[string]string:
			f.Set(reflect.ValueOf(map[string]string{"a": "b"}))
		case json.RawMessage:
			f.SetBytes([]byte("1"))
		case []bundle.SealedFile:
			f.Set(reflect.ValueOf([]bundle.SealedFile{{}}))
		case bundle.SecretReference:
			f.Field(0).SetString("a")
		case *bundle.ShapeQuestion:
			f.Set(reflect.ValueOf(&bundle.ShapeQuestion{}))
		case *bundle.ValueSource:
			f.Set(reflect.ValueOf(&bundle.ValueSource{}))
		default:
			t.Fatalf("no value for %s", field.Name)
		}
		if same := d; none.Equal(&d) || d.Equal(&none) || !d.Equal(&same) {
			t.Errorf("%s is not compared", field.Name)
		}
	}
}
