package apply

import (
	"encoding/json"
	"testing"

	"github.com/navefleet/nave/shared/manifest"
)

func TestKeepGenerated(t *testing.T) {
	for name, c := range map[string]struct {
		desired, live string
		path          []string
		want          string
	}{
		"value": {`{"data":{"a":"new","b":"new"}}`, `{"data":{"a":"old","b":"old"}}`, []string{"data", "a"},
			`{"data":{"a":"old","b":"new"}}`},
		"new_in_the_cluster": {`{"data":{"a":"new"}}`, `{"data":{}}`, []string{"data", "a"}, `{"data":{"a":"new"}}`},
		"gone_from_desired":  {`{"data":{}}`, `{"data":{"a":"old"}}`, []string{"data", "a"}, `{"data":{}}`},
		"whole_map": {`{"data":{"a":"new"}}`, `{"data":{"b":"old"}}`, []string{"data"},
			`{"data":{"b":"old"}}`},
		"text_of_secret": {`{"apiVersion":"v1","kind":"Secret","stringData":{"a":"new","b":"new"}}`,
			`{"data":{"a":"b2xk","b":"b2xk"}}`, []string{"stringData", "a"},
			`{"apiVersion":"v1","data":{"a":"b2xk","b":"bmV3"},"kind":"Secret"}`},
		"text_of_another_kind": {`{"kind":"X","stringData":{"a":"new"}}`, `{"data":{"a":"old"}}`, []string{"stringData", "a"},
			`{"kind":"X","stringData":{"a":"new"}}`},
		"named_element": {`{"env":[{"name":"a","value":"new"}]}`,
			`{"env":[{"name":"injected"},{"name":"a","value":"old"}]}`, []string{"env", "0", "value"},
			`{"env":[{"name":"a","value":"old"}]}`},
		"element_gone": {`{"env":[{"name":"a","value":"new"}]}`, `{"env":[{"name":"b","value":"old"}]}`,
			[]string{"env", "0", "value"}, `{"env":[{"name":"a","value":"new"}]}`},
		"element": {`{"args":["new","x"]}`, `{"args":["old","x"]}`, []string{"args", "0"}, `{"args":["old","x"]}`},
		"other_length": {`{"args":["new"]}`, `{"args":["injected","old"]}`, []string{"args", "0"},
			`{"args":["new"]}`},
		"same_form": {`{"data":{"a/b":"new","c":"new"},"metadata":{"annotations":{"fleet.nave.io/generated-forms":"{\"/data/a~1b\":\"1\"}"}}}`,
			`{"data":{"a/b":"old","c":"old"},"metadata":{"annotations":{"fleet.nave.io/generated-forms":"{\"/data/a~1b\":\"1\"}"}}}`, []string{"data", "a/b"},
			`{"data":{"a/b":"old","c":"new"},"metadata":{"annotations":{"fleet.nave.io/generated-forms":"{\"/data/a~1b\":\"1\"}"}}}`},
		"other_form": {`{"data":{"a/b":"new","c":"new"},"metadata":{"annotations":{"fleet.nave.io/generated-forms":"{\"/data/a~1b\":\"2\"}"}}}`,
			`{"data":{"a/b":"old","c":"old"},"metadata":{"annotations":{"fleet.nave.io/generated-forms":"{\"/data/a~1b\":\"1\"}"}}}`, []string{"data", "a/b"},
			`{"data":{"a/b":"new","c":"new"},"metadata":{"annotations":{"fleet.nave.io/generated-forms":"{\"/data/a~1b\":\"2\"}"}}}`},
		"form_gone": {`{"data":{"a/b":"new","c":"new"}}`,
			`{"data":{"a/b":"old","c":"old"},"metadata":{"annotations":{"fleet.nave.io/generated-forms":"{\"/data/a~1b\":\"1\"}"}}}`, []string{"data", "a/b"},
			`{"data":{"a/b":"old","c":"new"}}`},
		"first_form": {`{"data":{"a/b":"new","c":"new"},"metadata":{"annotations":{"fleet.nave.io/generated-forms":"{\"/data/a~1b\":\"1\"}"}}}`,
			`{"data":{"a/b":"old","c":"old"}}`, []string{"data", "a/b"},
			`{"data":{"a/b":"new","c":"new"},"metadata":{"annotations":{"fleet.nave.io/generated-forms":"{\"/data/a~1b\":\"1\"}"}}}`},
		"form_of_another_field": {`{"data":{"a/b":"new","c":"new"},"metadata":{"annotations":{"fleet.nave.io/generated-forms":"{\"/data/a~1b\":\"2\"}"}}}`,
			`{"data":{"a/b":"old","c":"old"},"metadata":{"annotations":{"fleet.nave.io/generated-forms":"{\"/data/a~1b\":\"1\"}"}}}`, []string{"data", "c"},
			`{"data":{"a/b":"new","c":"old"},"metadata":{"annotations":{"fleet.nave.io/generated-forms":"{\"/data/a~1b\":\"2\"}"}}}`},
		"other_shape": {`{"a":{"b":"new"}}`, `{"a":["old"]}`, []string{"a", "b"}, `{"a":{"b":"new"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			desired, live := &manifest.Object{}, &manifest.Object{}
			if err := json.Unmarshal([]byte(c.desired), &desired.Object); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(c.live), &live.Object); err != nil {
				t.Fatal(err)
			}
			KeepGenerated(desired, live, [][]string{c.path})
			if got, _ := json.Marshal(desired.Object); string(got) != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
